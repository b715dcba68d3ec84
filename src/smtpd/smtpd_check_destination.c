/* Restrictions that ask where the recipient's mail would go. */
#include "smtpd/smtpd_lists.h"
#include "smtpd/smtpd_policy.h"

bool smtpd_resolve(struct smtpd_eval *ev, const char *address, struct resolve *out)
{
    struct smtpd_session *s = ev->s;

    return rewrite_resolve(s->ss->rewrite, s->trans.sender ? s->trans.sender : "",
                           span_str(address), s->scratch, out) == REWRITE_OK &&
           !(out->flags & RESOLVE_FAIL);
}

bool smtpd_resolve_recipient(struct smtpd_eval *ev)
{
    if (ev->resolved.transport)
        return true;
    if (smtpd_resolve(ev, ev->recipient, &ev->resolved))
        return true;
    ev->resolved.transport = NULL;
    return false;
}

enum smtpd_verdict smtpd_lookup_failure(struct smtpd_eval *ev, const char *what)
{
    return smtpd_refuse_plain(
        ev, 451, "4.3.0",
        arena_printf(ev->s->scratch, "<%s>: Temporary lookup failure", what));
}

/* Sender-specified routing through us is for trusted clients only. */
static bool is_authorized(const struct smtpd_eval *ev)
{
    int flags = ev->resolved.flags;

    if ((flags & RESOLVE_ROUTED) && !ev->s->cfg->allow_untrusted_routing)
        return false;
    return flags & (RESOLVE_CLASS_FINAL | RESOLVE_CLASS_RELAY);
}

SMTPD_RESTRICTION(smtpd_check_auth_destination)
{
    (void)check;
    if (!ev->recipient)
        return SMTPD_DUNNO;
    if (!smtpd_resolve_recipient(ev))
        return smtpd_lookup_failure(ev, ev->recipient);
    return is_authorized(ev) ? SMTPD_PERMIT : SMTPD_DUNNO;
}

static enum smtpd_verdict unauth(struct smtpd_eval *ev, int64_t code, const char *dsn)
{
    if (!ev->recipient)
        return SMTPD_DUNNO;
    if (!smtpd_resolve_recipient(ev))
        return smtpd_lookup_failure(ev, ev->recipient);
    if (is_authorized(ev))
        return SMTPD_DUNNO;
    return smtpd_refuse_plain(
        ev, (int)code, dsn,
        arena_printf(ev->s->scratch, "<%s>: Relay access denied", ev->recipient));
}

SMTPD_RESTRICTION(smtpd_check_reject_unauth_destination)
{
    (void)check;
    return unauth(ev, ev->s->cfg->relay_domains_reject_code, "5.7.1");
}

SMTPD_RESTRICTION(smtpd_check_defer_unauth_destination)
{
    (void)check;
    return unauth(ev, ev->s->cfg->relay_domains_reject_code - 100, "4.7.1");
}
