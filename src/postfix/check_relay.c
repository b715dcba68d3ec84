/* Access restrictions of the SMTP server: names, arguments, order, and whether a
 * stranger may relay. */
#include "postfix/check.h"

#include "table/table.h"

#define SEPARATORS ", \t\r\n"
#define DEPTH_MAX  20

enum effect { GOES_ON, PERMITS, REFUSES, RELAY_CONTROL, PREFIX, REMOVED };
enum argument { NONE, TABLE, DOMAIN, SECONDS, ENDPOINT };

/* Effect: on a stranger who sends to a foreign domain. */
static const struct restriction {
    const char *name;
    enum effect effect;
    enum argument argument;
} known[] = {
    {"permit", PERMITS, NONE},
    {"reject", REFUSES, NONE},
    {"defer", REFUSES, NONE},
    {"defer_if_permit", RELAY_CONTROL, NONE},
    {"defer_if_reject", GOES_ON, NONE},
    {"warn_if_reject", PREFIX, NONE},
    {"sleep", GOES_ON, SECONDS},
    {"check_policy_service", GOES_ON, ENDPOINT},
    {"reject_unauth_destination", RELAY_CONTROL, NONE},
    {"defer_unauth_destination", RELAY_CONTROL, NONE},
    {"check_relay_domains", REMOVED, NONE},
    {"permit_naked_ip_address", REMOVED, NONE},
    {"reject_maps_rbl", REMOVED, NONE},
    {"permit_mynetworks", GOES_ON, NONE},
    {"permit_inet_interfaces", GOES_ON, NONE},
    {"permit_sasl_authenticated", GOES_ON, NONE},
    {"permit_tls_clientcerts", GOES_ON, NONE},
    {"permit_tls_all_clientcerts", GOES_ON, NONE},
    {"permit_auth_destination", GOES_ON, NONE},
    {"permit_mx_backup", GOES_ON, NONE},
    {"permit_dnswl_client", GOES_ON, DOMAIN},
    {"permit_rhswl_client", GOES_ON, DOMAIN},
    {"reject_rbl_client", GOES_ON, DOMAIN},
    {"reject_rbl", GOES_ON, DOMAIN},
    {"reject_rhsbl_client", GOES_ON, DOMAIN},
    {"reject_rhsbl_reverse_client", GOES_ON, DOMAIN},
    {"reject_rhsbl_helo", GOES_ON, DOMAIN},
    {"reject_rhsbl_sender", GOES_ON, DOMAIN},
    {"reject_rhsbl_recipient", GOES_ON, DOMAIN},
    {"check_client_access", GOES_ON, TABLE},
    {"check_reverse_client_hostname_access", GOES_ON, TABLE},
    {"check_client_a_access", GOES_ON, TABLE},
    {"check_client_mx_access", GOES_ON, TABLE},
    {"check_client_ns_access", GOES_ON, TABLE},
    {"check_reverse_client_hostname_a_access", GOES_ON, TABLE},
    {"check_reverse_client_hostname_mx_access", GOES_ON, TABLE},
    {"check_reverse_client_hostname_ns_access", GOES_ON, TABLE},
    {"check_ccert_access", GOES_ON, TABLE},
    {"check_sasl_access", GOES_ON, TABLE},
    {"check_helo_access", GOES_ON, TABLE},
    {"check_helo_a_access", GOES_ON, TABLE},
    {"check_helo_mx_access", GOES_ON, TABLE},
    {"check_helo_ns_access", GOES_ON, TABLE},
    {"check_sender_access", GOES_ON, TABLE},
    {"check_sender_a_access", GOES_ON, TABLE},
    {"check_sender_mx_access", GOES_ON, TABLE},
    {"check_sender_ns_access", GOES_ON, TABLE},
    {"check_recipient_access", GOES_ON, TABLE},
    {"check_recipient_a_access", GOES_ON, TABLE},
    {"check_recipient_mx_access", GOES_ON, TABLE},
    {"check_recipient_ns_access", GOES_ON, TABLE},
    {"check_etrn_access", GOES_ON, TABLE},
    {"check_recipient_maps", GOES_ON, NONE},
    {"reject_unauth_pipelining", GOES_ON, NONE},
    {"reject_plaintext_session", GOES_ON, NONE},
    {"reject_multi_recipient_bounce", GOES_ON, NONE},
    {"reject_unknown_client_hostname", GOES_ON, NONE},
    {"reject_unknown_client", GOES_ON, NONE},
    {"reject_unknown_reverse_client_hostname", GOES_ON, NONE},
    {"reject_invalid_helo_hostname", GOES_ON, NONE},
    {"reject_invalid_hostname", GOES_ON, NONE},
    {"reject_non_fqdn_helo_hostname", GOES_ON, NONE},
    {"reject_non_fqdn_hostname", GOES_ON, NONE},
    {"reject_unknown_helo_hostname", GOES_ON, NONE},
    {"reject_unknown_hostname", GOES_ON, NONE},
    {"reject_non_fqdn_sender", GOES_ON, NONE},
    {"reject_unknown_sender_domain", GOES_ON, NONE},
    {"reject_unknown_address", GOES_ON, NONE},
    {"reject_unverified_sender", GOES_ON, NONE},
    {"reject_unlisted_sender", GOES_ON, NONE},
    {"reject_sender_login_mismatch", GOES_ON, NONE},
    {"reject_authenticated_sender_login_mismatch", GOES_ON, NONE},
    {"reject_known_sender_login_mismatch", GOES_ON, NONE},
    {"reject_unauthenticated_sender_login_mismatch", GOES_ON, NONE},
    {"reject_non_fqdn_recipient", GOES_ON, NONE},
    {"reject_unknown_recipient_domain", GOES_ON, NONE},
    {"reject_unlisted_recipient", GOES_ON, NONE},
    {"reject_unverified_recipient", GOES_ON, NONE},
};

static const char *const lists[] = {
    "smtpd_client_restrictions",      "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",      "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",   "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions",
};

/* One element of a list. */
struct item {
    struct span name;
    const struct restriction *def; /* NULL: a table, a class, or unknown */
    struct span argument;
    bool is_table, is_class;
};

static const struct restriction *find_known(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (span_ieq_str(name, known[i].name))
            return &known[i];
    return NULL;
}

static bool is_class(const struct check_view *view, struct span name)
{
    struct span rest = span_str(view->cfg->smtpd_restriction_classes), word;

    while (span_token(&rest, SEPARATORS, &word))
        if (span_ieq(word, name))
            return true;
    return false;
}

static bool argument_fits(enum argument kind, struct span text)
{
    switch (kind) {
    case TABLE:
        return span_chr(text, ':') > 0;
    case SECONDS:
        return span_all_digits(text);
    case ENDPOINT:
        return span_chr(text, ':') > 0;
    case DOMAIN:
        return !find_known(text);
    case NONE:
        break;
    }
    return true;
}

static bool next_item(const struct check_view *view, struct span *rest,
                      struct item *item)
{
    struct span after, argument;

    *item = (struct item){.name = SPAN_EMPTY};
    if (!table_next_element(rest, &item->name))
        return false;
    item->is_class = is_class(view, item->name);
    item->def = item->is_class ? NULL : find_known(item->name);
    item->is_table = !item->is_class && !item->def && span_chr(item->name, ':') > 0;
    after = *rest;
    if (item->def && item->def->argument != NONE &&
        table_next_element(&after, &argument) &&
        argument_fits(item->def->argument, argument)) {
        item->argument = argument;
        *rest = after;
    }
    return true;
}

/* -- each list of each view -- */

static void each_list(struct check *check,
                      void (*fn)(struct check *check, const struct check_view *view,
                                 const char *parameter, struct span text))
{
    for (size_t i = 0; i < check->view_count; i++) {
        const struct check_view *view = &check->views[i];
        struct span rest = span_str(view->cfg->smtpd_restriction_classes), word;

        if (view->entry && !entry_runs(view->entry, "smtpd"))
            continue;
        for (size_t j = 0; j < ARRAY_LEN(lists); j++)
            if (view_sets(view, lists[j]))
                fn(check, view, lists[j], span_str(view_value(view, lists[j])));
        while (span_token(&rest, SEPARATORS, &word)) {
            const char *name = arena_span_str(check->arena, word);

            if (view_sets(view, name))
                fn(check, view, name, span_str(view_value(view, name)));
        }
    }
}

static void report_unknown(struct check *check, const struct check_view *view,
                           const char *parameter, struct span rest)
{
    struct item item;

    while (next_item(view, &rest, &item))
        if (!item.def && !item.is_table && !item.is_class)
            check_found(check, at_view(check, view, parameter),
                        "unknown smtpd restriction: \"%.*s\"", SPAN_ARG(item.name));
}

static void unknown(struct check *check)
{
    each_list(check, report_unknown);
}

static void report_removed(struct check *check, const struct check_view *view,
                           const char *parameter, struct span rest)
{
    struct item item;

    while (next_item(view, &rest, &item))
        if (item.def && item.def->effect == REMOVED)
            check_found(check, at_view(check, view, parameter),
                        "restriction %s is no longer supported", item.def->name);
}

static void removed(struct check *check)
{
    each_list(check, report_removed);
}

static void report_argument(struct check *check, const struct check_view *view,
                            const char *parameter, struct span rest)
{
    struct item item;

    while (next_item(view, &rest, &item))
        if (item.def && item.def->argument != NONE && !item.argument.len)
            check_found(check, at_view(check, view, parameter),
                        "restriction %s lacks its argument", item.def->name);
}

static void missing_argument(struct check *check)
{
    each_list(check, report_argument);
}

static void report_unreachable(struct check *check, const struct check_view *view,
                               const char *parameter, struct span rest)
{
    struct item item, end = {.name = SPAN_EMPTY};
    bool prefixed = false;

    while (next_item(view, &rest, &item)) {
        if (end.name.len) {
            check_found(check, at_view(check, view, parameter),
                        "restriction %.*s after %.*s is never reached",
                        SPAN_ARG(item.name), SPAN_ARG(end.name));
            return;
        }
        if (item.def && !prefixed &&
            (item.def->effect == PERMITS || item.def->effect == REFUSES))
            end = item;
        prefixed = item.def && item.def->effect == PREFIX;
    }
}

static void unreachable(struct check *check)
{
    each_list(check, report_unreachable);
}

static void report_late(struct check *check, const struct check_view *view,
                        const char *parameter, struct span rest)
{
    static const char *const permits[] = {
        "permit_mynetworks", "permit_sasl_authenticated", "permit_tls_clientcerts"};
    bool refused = false;
    struct item item;

    while (next_item(view, &rest, &item)) {
        if (item.def &&
            span_ends(span_str(item.def->name), SPAN_LIT("_unauth_destination")))
            refused = true;
        for (size_t i = 0; refused && item.def && i < ARRAY_LEN(permits); i++)
            if (strcmp(item.def->name, permits[i]) == 0) {
                check_found(check, at_view(check, view, parameter),
                            "%s comes after the refusal of foreign destinations",
                            item.def->name);
                return;
            }
    }
}

static void late_permit(struct check *check)
{
    each_list(check, report_late);
}

static void report_bare(struct check *check, const struct check_view *view,
                        const char *parameter, struct span rest)
{
    struct item item;

    if (strcmp(parameter, "smtpd_data_restrictions") != 0 &&
        strcmp(parameter, "smtpd_end_of_data_restrictions") != 0)
        return;
    while (next_item(view, &rest, &item))
        if (item.is_table)
            check_found(check, at_view(check, view, parameter),
                        "%.*s without a check_..._access in front of it",
                        SPAN_ARG(item.name));
}

static void bare_table(struct check *check)
{
    each_list(check, report_bare);
}

/* The settings of each SMTP server that runs. */
static void each_server(struct check *check,
                        void (*fn)(struct check *check, const struct check_view *view))
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];

        if (entry_runs(entry, "smtpd") && !entry_is_off(check, entry))
            fn(check, entry_view(check, entry));
    }
}

static void report_class(struct check *check, const struct check_view *view)
{
    struct span rest = span_str(view->cfg->smtpd_restriction_classes), word;

    while (span_token(&rest, SEPARATORS, &word))
        if (!view_value(view, arena_span_str(check->arena, word))[0])
            check_found(check, at_view(check, view, "smtpd_restriction_classes"),
                        "restriction class %.*s has no definition", SPAN_ARG(word));
}

static void class_definition(struct check *check)
{
    each_server(check, report_class);
}

/* -- may a stranger relay? -- */

/* What a list does to a stranger who sends to a foreign domain; PERMITS ends this list
 * only. Classes are looked into. */
static enum effect evaluate(const struct check *check, const struct check_view *view,
                            struct span rest, int depth)
{
    struct item item;
    bool prefixed = false;

    while (depth < DEPTH_MAX && next_item(view, &rest, &item)) {
        enum effect effect = item.def ? item.def->effect : GOES_ON;

        if (item.is_class) {
            const char *name = arena_span_str(check->arena, item.name);

            effect = evaluate(check, view, span_str(view_value(view, name)), depth + 1);
        }
        if (effect == PERMITS)
            return PERMITS;
        if ((effect == REFUSES || effect == RELAY_CONTROL) && !prefixed)
            return effect;
        prefixed = effect == PREFIX;
    }
    return GOES_ON;
}

static bool has_control(const struct check *check, const struct check_view *view,
                        struct span rest, int depth)
{
    struct item item;

    while (depth < DEPTH_MAX && next_item(view, &rest, &item)) {
        if (item.def &&
            (item.def->effect == REFUSES || item.def->effect == RELAY_CONTROL))
            return true;
        if (item.is_class &&
            has_control(
                check, view,
                span_str(view_value(view, arena_span_str(check->arena, item.name))),
                depth + 1))
            return true;
    }
    return false;
}

static bool view_controls(const struct check *check, const struct check_view *view)
{
    return has_control(check, view, span_str(view->cfg->smtpd_relay_restrictions), 0) ||
           has_control(check, view, span_str(view->cfg->smtpd_recipient_restrictions),
                       0);
}

/* The list to blame: the one that is set. */
static struct check_place relay_place(const struct check *check,
                                      const struct check_view *view)
{
    struct check_place place = at_view(check, view, "smtpd_relay_restrictions");

    return place.line ? place : at_view(check, view, "smtpd_recipient_restrictions");
}

static void report_no_control(struct check *check, const struct check_view *view)
{
    if (!view_controls(check, view))
        check_found(check, relay_place(check, view),
                    "neither smtpd_relay_restrictions nor "
                    "smtpd_recipient_restrictions controls relaying");
}

static void no_control(struct check *check)
{
    each_server(check, report_no_control);
}

/* Refused for good by one of the lists that come at every recipient? */
static bool is_refused(const struct check *check, const struct check_view *view)
{
    for (size_t i = 0; i < 5; i++) {
        struct span text = span_str(view_value(view, lists[i]));
        enum effect effect = evaluate(check, view, text, 0);

        if (effect == REFUSES || effect == RELAY_CONTROL)
            return true;
    }
    return false;
}

static void report_open(struct check *check, const struct check_view *view)
{
    if (view_controls(check, view) && !is_refused(check, view))
        check_found(check, relay_place(check, view),
                    "a stranger may send to any destination: the lists end, or "
                    "permit, before a refusal of foreign destinations");
}

static void open_relay(struct check *check)
{
    each_server(check, report_open);
}

const struct check_rule check_relay_rules[] = {
    {"no-relay-control", CHECK_ERROR, CHECK_FATAL, no_control,
     "the SMTP server refuses to run, lest it be an open relay",
     "let smtpd_relay_restrictions end with reject_unauth_destination"},
    {"open-relay", CHECK_ERROR, 0, open_relay,
     "spammers find it within hours, and other servers then refuse all mail from here",
     "put reject_unauth_destination before the restriction that permits"},
    {"restriction-class", CHECK_ERROR, CHECK_FATAL, class_definition,
     "the SMTP server refuses to run", "define it: NAME = restriction, ..."},
    {"unknown-restriction", CHECK_ERROR, 0, unknown,
     "clients get \"451 4.3.5 Server configuration error\"",
     "correct the name; postconf(5) lists them, and smtpd_restriction_classes names "
     "your own"},
    {"removed-restriction", CHECK_ERROR, 0, removed,
     "clients get \"451 4.3.5 Server configuration error\"",
     "use reject_unauth_destination, or reject_rbl_client with a domain"},
    {"restriction-argument", CHECK_ERROR, 0, missing_argument,
     "clients get \"451 4.3.5 Server configuration error\"",
     "give the table, domain, service or time that it needs"},
    {"restriction-table", CHECK_ERROR, 0, bare_table,
     "in this list a table alone has no meaning, and clients get \"451 4.3.5 Server "
     "configuration error\"",
     "say what to look up, such as check_client_access"},
    {"unreachable-restriction", CHECK_WARNING, 0, unreachable,
     "the decision is made before", "remove it, or put it in front"},
    {"late-permit", CHECK_WARNING, 0, late_permit,
     "those clients are refused before it is their turn", "put it in front"},
    {.code = NULL},
};
