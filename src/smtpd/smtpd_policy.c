#include "smtpd/smtpd_policy.h"

#include <stdlib.h>

#include "global/match_list.h"
#include "smtpd/smtpd_lists.h"
#include "util/msg.h"

#define DEPTH_MAX 100 /* of lists named by access tables and classes */

static void log_permit(struct smtpd_eval *ev, const struct smtpd_check *check)
{
    struct match_list *list = ev->s->ss->policy->log_permits;
    const char *what = ev->s->client.namaddr;

    if (match_list_empty(list) ||
        match_list_find(list, span_str(check->name)) != MATCH_YES)
        return;
    smtpd_note(ev, "permit",
               arena_printf(ev->s->scratch, "action=%s for Client host=%s ",
                            check->name, what));
}

static enum smtpd_verdict run_list(struct smtpd_eval *ev,
                                   const struct smtpd_check *check)
{
    bool warn_all = ev->warn_only;
    enum smtpd_verdict verdict = SMTPD_DUNNO;

    for (; check && verdict == SMTPD_DUNNO; check = check->next) {
        verdict = check->def->fn(ev, check);
        if (check->def->fn != smtpd_check_warn_if_reject)
            ev->warn_only = warn_all;
        if (verdict == SMTPD_PERMIT)
            log_permit(ev, check);
    }
    ev->warn_only = warn_all;
    return verdict;
}

static enum smtpd_verdict run_deeper(struct smtpd_eval *ev,
                                     const struct smtpd_check *check)
{
    enum smtpd_verdict verdict;

    if (ev->depth >= DEPTH_MAX) {
        msg_warn("restrictions are nested too deep: possible loop");
        return smtpd_server_error(ev);
    }
    ev->depth++;
    verdict = run_list(ev, check);
    ev->depth--;
    return verdict;
}

SMTPD_RESTRICTION(smtpd_check_class)
{
    return run_deeper(ev, check->class->list);
}

enum smtpd_verdict smtpd_policy_nested(struct smtpd_eval *ev, const char *list,
                                       const char *table)
{
    struct smtpd_check *checks =
        smtpd_policy_parse(ev->s->ss->policy, ev->s->scratch, list, NULL);

    for (struct smtpd_check *check = checks; check; check = check->next) {
        if (check->def->arg != SMTPD_ARG_TABLE && !strchr(check->name, ':'))
            continue;
        msg_warn("access table %s has entry with lookup table: %s", table, list);
        msg_warn("do not specify lookup tables inside SMTPD access maps");
        msg_warn("define a restriction class and specify its name instead.");
        return smtpd_server_error(ev);
    }
    return run_deeper(ev, checks);
}

/* -- stages -- */

/* What a list is about. NULL: the client has not yet said it. */
static const char *subject(struct smtpd_eval *ev, enum smtpd_stage stage)
{
    const struct smtpd_session *s = ev->s;

    switch (stage) {
    case SMTPD_STAGE_CLIENT:
        ev->class = SMTPD_CLASS_CLIENT;
        return s->client.namaddr;
    case SMTPD_STAGE_HELO:
        ev->class = SMTPD_CLASS_HELO;
        return s->helo;
    case SMTPD_STAGE_SENDER:
        ev->class = SMTPD_CLASS_SENDER;
        return s->trans.sender;
    case SMTPD_STAGE_RELAY:
    case SMTPD_STAGE_RCPT:
        ev->class = SMTPD_CLASS_RCPT;
        return ev->recipient;
    case SMTPD_STAGE_DATA:
        ev->class = SMTPD_CLASS_DATA;
        return "DATA";
    case SMTPD_STAGE_EOD:
        ev->class = SMTPD_CLASS_EOD;
        return "END-OF-MESSAGE";
    default:
        ev->class = SMTPD_CLASS_ETRN;
        return ev->etrn_name;
    }
}

static bool refused(struct smtpd_eval *ev, enum smtpd_stage stage)
{
    if (ev->s->trans.flags & CLEANUP_DISCARD)
        return false;
    ev->stage = stage;
    ev->what = subject(ev, stage);
    ev->if_reject = NULL;
    ev->depth = 0;
    return ev->what && run_list(ev, ev->s->ss->policy->lists[stage]) == SMTPD_REJECT;
}

/* The end of all lists is a permit. */
static const char *finish(struct smtpd_eval *ev)
{
    if (ev->if_permit && !(ev->s->trans.flags & CLEANUP_DISCARD))
        smtpd_refuse_deferred(ev);
    return ev->reply;
}

/* Without smtpd_delay_reject a conditional deferral waits for the recipients. */
static const char *run_early(struct smtpd_session *s, enum smtpd_stage stage,
                             const char *where)
{
    struct smtpd_eval ev = {.s = s, .where = where};

    if (!s->ss->policy)
        return NULL;
    free(s->deferred[stage]);
    s->deferred[stage] = NULL;
    if (s->cfg->smtpd_delay_reject)
        return NULL;
    if (refused(&ev, stage))
        return ev.reply;
    if (ev.if_permit)
        s->deferred[stage] = xstrdup(ev.if_permit);
    return NULL;
}

const char *smtpd_policy_connect(struct smtpd_session *s)
{
    return run_early(s, SMTPD_STAGE_CLIENT, "CONNECT");
}

const char *smtpd_policy_helo(struct smtpd_session *s)
{
    return run_early(s, SMTPD_STAGE_HELO, s->where);
}

const char *smtpd_policy_mail(struct smtpd_session *s)
{
    return run_early(s, SMTPD_STAGE_SENDER, "MAIL");
}

static void recall_deferrals(struct smtpd_eval *ev)
{
    for (size_t i = 0; i < ARRAY_LEN(ev->s->deferred) && !ev->if_permit; i++)
        ev->if_permit = ev->s->deferred[i];
}

static bool unlisted_sender(struct smtpd_eval *ev)
{
    ev->class = SMTPD_CLASS_SENDER;
    return ev->s->cfg->smtpd_reject_unlisted_sender &&
           smtpd_check_unlisted_sender(ev, NULL) == SMTPD_REJECT;
}

static bool unlisted_recipient(struct smtpd_eval *ev)
{
    if (!ev->s->cfg->smtpd_reject_unlisted_recipient || ev->s->ss->any_recipient ||
        (ev->s->trans.flags & CLEANUP_DISCARD))
        return false;
    ev->if_reject = NULL;
    return smtpd_check_unlisted_recipient(ev, NULL) == SMTPD_REJECT;
}

static const char *run_rcpt(struct smtpd_session *s, const char *recipient,
                            const char *where)
{
    struct smtpd_eval ev = {.s = s, .where = where, .recipient = recipient};
    bool relay_first = s->cfg->smtpd_relay_before_recipient_restrictions;
    const enum smtpd_stage stages[] = {
        SMTPD_STAGE_CLIENT,
        SMTPD_STAGE_HELO,
        SMTPD_STAGE_SENDER,
        relay_first ? SMTPD_STAGE_RELAY : SMTPD_STAGE_RCPT,
        relay_first ? SMTPD_STAGE_RCPT : SMTPD_STAGE_RELAY,
    };

    /* Everybody must be able to reach somebody here (RFC 5321 section 4.5.1). */
    if (!s->ss->policy || span_ieq_str(span_str(recipient), "postmaster"))
        return NULL;
    recall_deferrals(&ev);
    if (unlisted_sender(&ev))
        return ev.reply;
    for (size_t i = s->cfg->smtpd_delay_reject ? 0 : 3; i < ARRAY_LEN(stages); i++)
        if (refused(&ev, stages[i]))
            return ev.reply;
    if (unlisted_recipient(&ev))
        return ev.reply;
    return finish(&ev);
}

const char *smtpd_policy_rcpt(struct smtpd_session *s, const char *recipient)
{
    return run_rcpt(s, recipient, "RCPT");
}

const char *smtpd_policy_vrfy(struct smtpd_session *s, const char *recipient)
{
    return run_rcpt(s, recipient, "VRFY");
}

/* Where there is but one recipient it can be checked and logged. */
static const char *run_content(struct smtpd_session *s, enum smtpd_stage stage,
                               const char *where)
{
    struct smtpd_eval ev = {.s = s, .where = where};

    if (!s->ss->policy)
        return NULL;
    if (s->trans.rcpt_count == 1)
        ev.recipient = s->trans.first_rcpt;
    return refused(&ev, stage) ? ev.reply : finish(&ev);
}

const char *smtpd_policy_data(struct smtpd_session *s)
{
    return run_content(s, SMTPD_STAGE_DATA, "DATA");
}

const char *smtpd_policy_eod(struct smtpd_session *s)
{
    return run_content(s, SMTPD_STAGE_EOD, "END-OF-MESSAGE");
}

const char *smtpd_policy_etrn(struct smtpd_session *s, const char *domain)
{
    struct smtpd_eval ev = {.s = s, .where = "ETRN", .etrn_name = domain};
    static const enum smtpd_stage stages[] = {SMTPD_STAGE_CLIENT, SMTPD_STAGE_HELO,
                                              SMTPD_STAGE_ETRN};

    if (!s->ss->policy)
        return NULL;
    recall_deferrals(&ev);
    for (size_t i = s->cfg->smtpd_delay_reject ? 0 : 2; i < ARRAY_LEN(stages); i++)
        if (refused(&ev, stages[i]))
            return ev.reply;
    return finish(&ev);
}
