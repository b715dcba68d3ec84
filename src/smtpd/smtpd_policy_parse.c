/* From the texts of main.cf to lists of checks. Mistakes in them do not stop the
 * server: the check that stands for one says so when it is reached. */
#include "global/mail_table.h"
#include "global/match_list.h"
#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

#define SEPARATORS ", \t\r\n"

struct smtpd_table {
    struct smtpd_table *next;
    const char *name;
    struct maps *maps;
};

static const struct smtpd_restriction unknown = {"unknown", smtpd_check_unknown,
                                                 SMTPD_ARG_NONE, false};
static const struct smtpd_restriction bad_arg = {"bad_arg", smtpd_check_bad_arg,
                                                 SMTPD_ARG_NONE, false};
static const struct smtpd_restriction no_default = {
    "no_default", smtpd_check_no_default, SMTPD_ARG_NONE, false};
static const struct smtpd_restriction class_def = {"class", smtpd_check_class,
                                                   SMTPD_ARG_NONE, false};

/* Tables live as long as the process, also those named by a result of another table
 * in the middle of a session. */
static struct maps *open_table(struct smtpd_policy *policy, const char *name)
{
    struct smtpd_table *table = policy->tables;

    while (table && strcmp(table->name, name) != 0)
        table = table->next;
    if (!table) {
        table = xcalloc(1, sizeof *table);
        table->name = xstrdup(name);
        table->maps = mail_maps(policy->cfg, table->name, table->name);
        table->next = policy->tables;
        policy->tables = table;
    }
    return table->maps;
}

/* Does the token look like type:name? */
static bool is_table(struct span token)
{
    ssize_t colon = span_chr(token, ':');

    return colon > 0 && token.ptr[0] != '{';
}

static const struct smtpd_class_list *find_class(const struct smtpd_policy *policy,
                                                 struct span name)
{
    const struct smtpd_class_list *class = policy->classes;

    while (class && !span_eq_str(name, class->name))
        class = class->next;
    return class;
}

static void set_argument(struct smtpd_policy *policy, struct arena *arena,
                         struct smtpd_check *check, struct span *rest)
{
    struct span token, after = *rest;
    bool have = table_next_element(&after, &token);
    bool good = have && (check->def->arg == SMTPD_ARG_TABLE ? is_table(token)
                                                            : span_all_digits(token));

    check->arg = arena_span_str(arena, have ? token : span_str(check->name));
    if (have && (good || check->def->arg == SMTPD_ARG_TABLE))
        *rest = after;
    if (!good)
        check->def = &bad_arg;
    else if (check->def->arg == SMTPD_ARG_TABLE)
        check->maps = open_table(policy, check->arg);
}

static struct smtpd_check *parse_one(struct smtpd_policy *policy, struct arena *arena,
                                     struct span token, struct span *rest,
                                     const struct smtpd_restriction *bare)
{
    struct smtpd_check *check = arena_alloc(arena, sizeof *check);

    check->name = arena_span_str(arena, token);
    check->class = find_class(policy, token);
    if (check->class) {
        check->def = &class_def;
        return check;
    }
    check->def = smtpd_restriction_find(token);
    if (!check->def && is_table(token)) {
        check->def = bare ? bare : &no_default;
        check->arg = check->name;
        if (bare) {
            check->name = bare->name;
            check->maps = open_table(policy, check->arg);
        }
        return check;
    }
    if (!check->def)
        check->def = &unknown;
    if (check->def->arg != SMTPD_ARG_NONE)
        set_argument(policy, arena, check, rest);
    return check;
}

struct smtpd_check *smtpd_policy_parse(struct smtpd_policy *policy, struct arena *arena,
                                       const char *text,
                                       const struct smtpd_restriction *bare)
{
    struct smtpd_check *head = NULL, **tail = &head;
    struct span rest = span_str(text), token;

    while (table_next_element(&rest, &token)) {
        *tail = parse_one(policy, arena, token, &rest, bare);
        tail = &(*tail)->next;
    }
    return head;
}

static void parse_classes(struct smtpd_policy *policy, struct arena *arena)
{
    struct span rest = span_str(policy->cfg->smtpd_restriction_classes), token;

    while (span_token(&rest, SEPARATORS, &token)) {
        struct smtpd_class_list *class = arena_alloc(arena, sizeof *class);

        class->name = arena_span_str(arena, token);
        class->next = policy->classes;
        policy->classes = class;
    }
    for (struct smtpd_class_list *class = policy->classes; class; class = class->next) {
        const char *text = config_value(policy->cfg, class->name);

        if (!text || !*text)
            msg_fatal("restriction class `%s' needs a definition", class->name);
        class->list = smtpd_policy_parse(policy, arena, text, NULL);
    }
}

static bool controls_relay(const struct smtpd_check *check, unsigned depth)
{
    for (; check; check = check->next) {
        if (check->def->controls_relay)
            return true;
        if (check->class && depth < 100 &&
            controls_relay(check->class->list, depth + 1))
            return true;
    }
    return false;
}

static void require_relay_control(const struct smtpd_policy *policy)
{
    if (!controls_relay(policy->lists[SMTPD_STAGE_RELAY], 0) &&
        !controls_relay(policy->lists[SMTPD_STAGE_RCPT], 0))
        msg_fatal("in parameter smtpd_relay_restrictions or "
                  "smtpd_recipient_restrictions, specify at least one working instance "
                  "of: reject_unauth_destination, defer_unauth_destination, reject, "
                  "defer, defer_if_permit or check_relay_domains");
}

static void warn_of_dead_ends(const struct smtpd_check *check)
{
    for (; check && check->next; check = check->next)
        if (strcmp(check->def->name, "permit") == 0 ||
            strcmp(check->def->name, "reject") == 0)
            msg_warn("restriction `%s' after `%s' is ignored", check->next->name,
                     check->name);
}

struct smtpd_policy *smtpd_policy_new(const struct config *cfg, struct arena *arena)
{
    struct smtpd_policy *policy = arena_alloc(arena, sizeof *policy);
    const char *const texts[SMTPD_STAGE_COUNT] = {
        [SMTPD_STAGE_CLIENT] = cfg->smtpd_client_restrictions,
        [SMTPD_STAGE_HELO] = cfg->smtpd_helo_restrictions,
        [SMTPD_STAGE_SENDER] = cfg->smtpd_sender_restrictions,
        [SMTPD_STAGE_RELAY] = cfg->smtpd_relay_restrictions,
        [SMTPD_STAGE_RCPT] = cfg->smtpd_recipient_restrictions,
        [SMTPD_STAGE_DATA] = cfg->smtpd_data_restrictions,
        [SMTPD_STAGE_EOD] = cfg->smtpd_end_of_data_restrictions,
        [SMTPD_STAGE_ETRN] = cfg->smtpd_etrn_restrictions,
    };

    policy->cfg = cfg;
    parse_classes(policy, arena);
    for (enum smtpd_stage i = 0; i < SMTPD_STAGE_COUNT; i++) {
        policy->lists[i] =
            smtpd_policy_parse(policy, arena, texts[i], smtpd_restriction_bare(i));
        warn_of_dead_ends(policy->lists[i]);
    }
    require_relay_control(policy);
    policy->log_permits =
        match_list_open(cfg, "smtpd_log_access_permit_actions",
                        cfg->smtpd_log_access_permit_actions, MATCH_STRING);
    return policy;
}

const char *smtpd_policy_changed(const struct smtpd_policy *policy)
{
    for (const struct smtpd_table *table = policy->tables; table; table = table->next) {
        const char *name = maps_changed(table->maps);

        if (name)
            return name;
    }
    return match_list_changed(policy->log_permits);
}
