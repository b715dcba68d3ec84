/* Restrictions that look at nothing, or at the client's address only. */
#include "global/match_list.h"
#include "smtpd/smtpd_lists.h"
#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

SMTPD_RESTRICTION(smtpd_check_permit)
{
    (void)ev;
    (void)check;
    return SMTPD_PERMIT;
}

SMTPD_RESTRICTION(smtpd_check_reject)
{
    (void)check;
    return smtpd_refuse(ev, (int)ev->s->cfg->reject_code, "5.7.1", "Access denied");
}

SMTPD_RESTRICTION(smtpd_check_defer)
{
    (void)check;
    return smtpd_refuse(ev, (int)ev->s->cfg->defer_code, "4.3.2", "Try again later");
}

SMTPD_RESTRICTION(smtpd_check_defer_if_permit)
{
    (void)check;
    return smtpd_defer_if_permit(ev, 450, "4.7.0", "defer_if_permit requested");
}

SMTPD_RESTRICTION(smtpd_check_defer_if_reject)
{
    (void)check;
    return smtpd_defer_if_reject(ev, 450, "4.7.0", "defer_if_reject requested");
}

SMTPD_RESTRICTION(smtpd_check_warn_if_reject)
{
    (void)check;
    ev->warn_only = true;
    return SMTPD_DUNNO;
}

SMTPD_RESTRICTION(smtpd_check_sleep)
{
    uint32_t seconds;

    (void)ev;
    if (span_u32(span_str(check->arg), &seconds) && seconds < 86400)
        fiber_sleep((int64_t)seconds * 1000);
    return SMTPD_DUNNO;
}

SMTPD_RESTRICTION(smtpd_check_mynetworks)
{
    (void)check;
    return ev->s->client.is_trusted ? SMTPD_PERMIT : SMTPD_DUNNO;
}

SMTPD_RESTRICTION(smtpd_check_inet_interfaces)
{
    const struct smtpd_lists *lists = ev->s->ss->lists;
    const struct net_addr *addr = &ev->s->client.addr;

    (void)check;
    return addr->len == 0 || local_host_owns(lists->local_host, addr) ? SMTPD_PERMIT
                                                                      : SMTPD_DUNNO;
}

/* Nobody can log in yet. */
SMTPD_RESTRICTION(smtpd_check_sasl_authenticated)
{
    (void)ev;
    (void)check;
    return SMTPD_DUNNO;
}

/* -- mistakes in the configuration -- */

SMTPD_RESTRICTION(smtpd_check_unknown)
{
    msg_warn("unknown smtpd restriction: \"%s\"", check->name);
    return smtpd_server_error(ev);
}

SMTPD_RESTRICTION(smtpd_check_bad_arg)
{
    if (smtpd_restriction_find(span_str(check->name))->arg == SMTPD_ARG_NUMBER)
        msg_warn("restriction %s must be followed by number", check->name);
    else
        msg_warn("restriction %s: bad argument \"%s\": need maptype:mapname",
                 check->name, check->arg);
    return smtpd_server_error(ev);
}

SMTPD_RESTRICTION(smtpd_check_no_default)
{
    msg_warn(
        "specify one of (check_client_access, check_reverse_client_hostname_access, "
        "check_helo_access, check_sender_access, check_recipient_access, "
        "check_etrn_access) before %s restriction \"%s\"",
        smtpd_class_name(ev->class), check->name);
    return smtpd_server_error(ev);
}
