#include "smtpd/smtpd.h"

void smtpd_cmd_rset(struct smtpd_session *s, struct span args)
{
    if (args.len) {
        smtpd_error(s, "501 5.5.4 Syntax: RSET");
        return;
    }
    smtpd_transaction_reset(s);
    s->bdat_failed = false;
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

void smtpd_cmd_help(struct smtpd_session *s, struct span args)
{
    (void)args;
    smtpd_reply(s, "214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP "
                   "QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD");
}

/* Extensions that are known and not enabled here. */

void smtpd_cmd_starttls(struct smtpd_session *s, struct span args)
{
    (void)args;
    smtpd_error(s, "502 5.5.1 Error: command not implemented");
}

void smtpd_cmd_auth(struct smtpd_session *s, struct span args)
{
    (void)args;
    if (smtpd_helo_given(s, "503 5.5.1 Error: send HELO/EHLO first"))
        smtpd_error(s, "503 5.5.1 Error: authentication not enabled");
}

void smtpd_cmd_xclient(struct smtpd_session *s, struct span args)
{
    (void)args;
    smtpd_error(s, "550 5.7.0 Error: insufficient authorization");
}

void smtpd_cmd_xforward(struct smtpd_session *s, struct span args)
{
    (void)args;
    smtpd_error(s, "550 5.7.0 Error: insufficient authorization");
}
