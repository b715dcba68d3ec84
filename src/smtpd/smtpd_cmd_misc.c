#include "smtpd/smtpd.h"

void smtpd_cmd_rset(struct smtpd_session *s, struct span args)
{
    if (args.len) {
        smtpd_error(s, "501 5.5.4 Syntax: RSET");
        return;
    }
    smtpd_transaction_reset(s);
    smtpd_reply(s, "250 2.0.0 Ok");
}

void smtpd_cmd_noop(struct smtpd_session *s, struct span args)
{
    (void)args;
    smtpd_reply(s, "250 2.0.0 Ok");
}

void smtpd_cmd_quit(struct smtpd_session *s, struct span args)
{
    (void)args;
    smtpd_reply(s, "221 2.0.0 Bye");
    s->end = SMTPD_QUIT;
}
