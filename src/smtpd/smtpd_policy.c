#include "smtpd/smtpd_policy.h"

#include "util/msg.h"

struct smtpd_policy {
    const struct config *cfg;
    struct arena *arena;
    struct smtpd_check *lists[SMTPD_STAGE_COUNT];
};

static const struct smtpd_restriction unknown = {"unknown", smtpd_check_unknown,
                                                 SMTPD_ARG_NONE};

static struct smtpd_check *parse_list(struct arena *arena, const char *text)
{
    struct smtpd_check *head = NULL, **tail = &head;
    struct span rest = span_str(text), token;

    while (span_token_braces(&rest, ", \t\r\n", &token)) {
        struct smtpd_check *check = arena_alloc(arena, sizeof *check);

        check->name = arena_span_str(arena, token);
        check->def = smtpd_restriction_find(token);
        if (!check->def)
            check->def = &unknown;
        if (check->def->arg == SMTPD_ARG_TEXT &&
            span_token_braces(&rest, ", \t\r\n", &token))
            check->arg = arena_span_str(arena, token);
        *tail = check;
        tail = &check->next;
    }
    return head;
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
    policy->arena = arena;
    for (size_t i = 0; i < SMTPD_STAGE_COUNT; i++)
        policy->lists[i] = parse_list(arena, texts[i]);
    return policy;
}

static enum smtpd_verdict run_list(struct smtpd_eval *ev, const struct smtpd_check *check)
{
    for (; check; check = check->next) {
        enum smtpd_verdict verdict = check->def->fn(ev, check);

        if (verdict != SMTPD_DUNNO)
            return verdict;
    }
    return SMTPD_DUNNO;
}

static bool refused(struct smtpd_eval *ev, enum smtpd_stage stage)
{
    ev->stage = stage;
    return run_list(ev, ev->s->ss->policy->lists[stage]) == SMTPD_REJECT;
}

static const char *run_now(struct smtpd_session *s, enum smtpd_stage stage,
                           const char *where)
{
    struct smtpd_eval ev = {.s = s, .where = where};

    return refused(&ev, stage) ? ev.reply : NULL;
}

const char *smtpd_policy_connect(struct smtpd_session *s)
{
    return s->cfg->smtpd_delay_reject ? NULL
                                      : run_now(s, SMTPD_STAGE_CLIENT, "CONNECT");
}

const char *smtpd_policy_helo(struct smtpd_session *s)
{
    return s->cfg->smtpd_delay_reject ? NULL : run_now(s, SMTPD_STAGE_HELO, s->where);
}

const char *smtpd_policy_mail(struct smtpd_session *s)
{
    return s->cfg->smtpd_delay_reject ? NULL : run_now(s, SMTPD_STAGE_SENDER, "MAIL");
}

const char *smtpd_policy_rcpt(struct smtpd_session *s, const char *recipient)
{
    struct smtpd_eval ev = {.s = s, .where = "RCPT", .recipient = recipient};
    bool relay_first = s->cfg->smtpd_relay_before_recipient_restrictions;
    const enum smtpd_stage stages[] = {
        SMTPD_STAGE_CLIENT,
        SMTPD_STAGE_HELO,
        SMTPD_STAGE_SENDER,
        relay_first ? SMTPD_STAGE_RELAY : SMTPD_STAGE_RCPT,
        relay_first ? SMTPD_STAGE_RCPT : SMTPD_STAGE_RELAY,
    };

    for (size_t i = s->cfg->smtpd_delay_reject ? 0 : 3; i < ARRAY_LEN(stages); i++)
        if (refused(&ev, stages[i]))
            return ev.reply;
    return NULL;
}

const char *smtpd_policy_data(struct smtpd_session *s)
{
    return run_now(s, SMTPD_STAGE_DATA, "DATA");
}

const char *smtpd_policy_eod(struct smtpd_session *s)
{
    return run_now(s, SMTPD_STAGE_EOD, "END-OF-MESSAGE");
}
