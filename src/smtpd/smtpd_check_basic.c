/* Restrictions that look at nothing, or at the client's address only. */
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
    return smtpd_refuse(ev, SMTPD_CLASS_CLIENT, (int)ev->s->cfg->reject_code, "5.7.1",
                        "Access denied");
}

SMTPD_RESTRICTION(smtpd_check_defer)
{
    (void)check;
    return smtpd_refuse(ev, SMTPD_CLASS_CLIENT, (int)ev->s->cfg->defer_code, "4.3.2",
                        "Try again later");
}

SMTPD_RESTRICTION(smtpd_check_mynetworks)
{
    struct span rest = span_str(ev->s->cfg->mynetworks), token;
    struct net_block block;
    struct err err;

    (void)check;
    while (span_token(&rest, ", \t\r\n", &token))
        if (net_block_parse(token, &block, &err) &&
            net_block_match(&block, &ev->s->client.addr))
            return SMTPD_PERMIT;
    return SMTPD_DUNNO;
}

SMTPD_RESTRICTION(smtpd_check_sasl_authenticated)
{
    (void)ev;
    (void)check;
    return SMTPD_DUNNO;
}

SMTPD_RESTRICTION(smtpd_check_unknown)
{
    msg_warn("unknown smtpd restriction: \"%s\"", check->name);
    return smtpd_server_error(ev);
}
