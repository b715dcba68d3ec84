/* Restrictions that ask where the recipient's mail would go. */
#include "smtpd/smtpd_policy.h"

/* The class of the recipient's domain; asked once for each recipient. */
static bool resolve(struct smtpd_eval *ev)
{
    struct smtpd_session *s = ev->s;

    if (ev->resolved.transport)
        return true;
    return rewrite_resolve(s->ss->rewrite, s->trans.sender ? s->trans.sender : "",
                           span_str(ev->recipient), s->scratch,
                           &ev->resolved) == REWRITE_OK &&
           !(ev->resolved.flags & RESOLVE_FAIL);
}

/* Sender-specified routing through us is for trusted clients only. */
static bool is_authorized(const struct smtpd_eval *ev)
{
    int flags = ev->resolved.flags;

    if ((flags & RESOLVE_ROUTED) && !ev->s->cfg->allow_untrusted_routing)
        return false;
    return flags & (RESOLVE_CLASS_FINAL | RESOLVE_CLASS_RELAY);
}

static enum smtpd_verdict lookup_failure(struct smtpd_eval *ev)
{
    return smtpd_refusef(ev, SMTPD_CLASS_RCPT, 451, "4.3.0",
                         "<%s>: Temporary lookup failure", ev->recipient);
}

SMTPD_RESTRICTION(smtpd_check_auth_destination)
{
    (void)check;
    if (!ev->recipient)
        return SMTPD_DUNNO;
    if (!resolve(ev))
        return lookup_failure(ev);
    return is_authorized(ev) ? SMTPD_PERMIT : SMTPD_DUNNO;
}

static enum smtpd_verdict unauth(struct smtpd_eval *ev, int code, const char *dsn)
{
    if (!ev->recipient)
        return SMTPD_DUNNO;
    if (!resolve(ev))
        return lookup_failure(ev);
    if (is_authorized(ev))
        return SMTPD_DUNNO;
    return smtpd_refusef(ev, SMTPD_CLASS_RCPT, code, dsn, "<%s>: Relay access denied",
                         ev->recipient);
}

SMTPD_RESTRICTION(smtpd_check_reject_unauth_destination)
{
    (void)check;
    return unauth(ev, (int)ev->s->cfg->relay_domains_reject_code, "5.7.1");
}

SMTPD_RESTRICTION(smtpd_check_defer_unauth_destination)
{
    (void)check;
    return unauth(ev, (int)ev->s->cfg->relay_domains_reject_code - 100, "4.7.1");
}
