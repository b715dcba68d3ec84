/* What commands that any user may run have in common: descriptors and an environment
 * that the caller cannot play tricks with, and the question who may. */
#ifndef GLOBAL_COMMAND_H
#define GLOBAL_COMMAND_H

#include "global/config.h"

/* Descriptors 0 to 2 are open (on /dev/null if need be), all others closed. Call first
 * thing. False: errno. */
bool command_clean_descriptors(void);

/* Drop every environment variable that import_environment does not name, set those it
 * gives a value, and MAIL_CONFIG to the directory in use. */
void command_clean_environment(const struct config *cfg);

/* May the real user do what the list (the value of parameter name) restricts? what:
 * "submit mail", for the text in err, "User alice(1000) is not allowed to submit mail".
 */
bool command_user_allowed(const struct config *cfg, const char *name, const char *list,
                          const char *what, struct err *err);

#endif
