/* smtpd -S, for "sendmail -bs": one session on standard input and output, with the
 * rights of the user who runs it. Access restrictions, limits and tables do not apply:
 * the user could as well hand the message to sendmail. */
#ifndef SMTPD_SMTPD_STANDALONE_H
#define SMTPD_SMTPD_STANDALONE_H

#include "global/config.h"

/* Does the command line ask for it? */
bool smtpd_standalone_wanted(int argc, char **argv);
_Noreturn void smtpd_standalone(void);

#endif
