/* The addresses of MAIL and RCPT. */
#ifndef SMTPD_SMTPD_ADDRESS_H
#define SMTPD_SMTPD_ADDRESS_H

#include "smtpd/smtpd.h"

/* "FROM:<a@b> ..." without its label; false: no label, or nothing behind it. */
bool smtpd_address_argument(struct span args, struct span label, struct span *text_out);
/* Internal form, and the parameters behind the address. False, logged: malformed. */
bool smtpd_address_parse(struct smtpd_session *s, struct span text, bool may_be_null,
                         struct arena *arena, struct span *address_out,
                         struct span *rest_out);
/* NULL, or the refusal of an address that needs SMTPUTF8. */
const char *smtpd_address_charset(const struct smtpd_session *s, struct span address,
                                  bool smtputf8);

#endif
