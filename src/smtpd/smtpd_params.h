/* ESMTP parameters of MAIL and RCPT (RFC 1870, 3461, 6152, 6531). */
#ifndef SMTPD_SMTPD_PARAMS_H
#define SMTPD_SMTPD_PARAMS_H

#include "smtpd/smtpd.h"

/* Texts live in the transaction's arena. */
struct smtpd_mail_params {
    int64_t size;         /* 0: not given */
    const char *encoding; /* "7bit", "8bit" or "" */
    int ret;              /* enum dsn_ret, 0 */
    const char *envid;    /* "" none; decoded */
    bool smtputf8;
};
struct smtpd_rcpt_params {
    int notify;        /* enum dsn_notify bits, 0 */
    const char *orcpt; /* "rfc822;address", decoded; "" none */
};

/* NULL, or the reply that refuses the command (in s->scratch or static). */
const char *smtpd_params_mail(struct smtpd_session *s, struct span text,
                              struct smtpd_mail_params *out);
const char *smtpd_params_rcpt(struct smtpd_session *s, struct span text,
                              struct smtpd_rcpt_params *out);

#endif
