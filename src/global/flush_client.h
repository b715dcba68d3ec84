/* Tells flush(8) which deferred message waits for which site. */
#ifndef GLOBAL_FLUSH_CLIENT_H
#define GLOBAL_FLUSH_CLIENT_H

#include "global/config.h"

struct flush_client;
struct flush_client *flush_client_new(const struct config *cfg);
/* One-way, and only for domains in fast_flush_domains: a lost note costs speed of
 * ETRN, not mail. */
void flush_add(struct flush_client *fc, const char *recipient, const char *queue_id);

#endif
