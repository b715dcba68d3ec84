/* local_login_sender_maps: which envelope senders a user may submit mail with. */
#ifndef POSTDROP_DROP_SENDER_H
#define POSTDROP_DROP_SENDER_H

#include "global/config.h"

/* Does the list allow sender? Its elements are separated by commas and white space: "*"
 * for all, "@domain" (any case), an address (any case), or null_key for the null
 * sender. An address extension, begun by one of delimiters, does not count. */
bool drop_sender_matches(const char *list, const char *null_key, const char *delimiters,
                         struct span sender);

enum drop_sender { DROP_SENDER_OK, DROP_SENDER_DENIED, DROP_SENDER_ERROR };
/* Of the real user. What is not OK comes with the text for the answer. */
enum drop_sender drop_sender_check(const struct config *cfg, struct arena *arena,
                                   struct span sender, const char **reason_out);

#endif
