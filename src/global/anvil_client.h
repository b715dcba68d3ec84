/* Client of anvil(8): how often and how much each client does, over all processes of a
 * service (private/anvil, multiplexed):
 *   request=connect ident=service:client      -> status=0 count=N rate=N
 *   request=disconnect ident=...               (one-way)
 *   request=message|recipient|newtls|auth ident=...  -> status=0 rate=N
 *   request=lookup ident=...                   -> status=0 count rate message recipient
 *                                                 newtls auth
 * Rates count what happened in the current period of anvil_rate_time_unit.
 * Connections of a process that goes away are forgotten by anvil. */
#ifndef GLOBAL_ANVIL_CLIENT_H
#define GLOBAL_ANVIL_CLIENT_H

#include "global/config.h"

enum anvil_event { ANVIL_MESSAGE, ANVIL_RECIPIENT, ANVIL_NEWTLS, ANVIL_AUTH };

struct anvil_counts {
    int64_t connections; /* at this moment, the new one included */
    int64_t rate;        /* connections in this period */
};

struct anvil_client;
struct anvil_client *anvil_client_new(const struct config *cfg);
void anvil_client_free(struct anvil_client *ac);

/* Fiber only. False: the service does not answer (logged at most once a minute);
 * nothing was counted, and a limit cannot be enforced. */
bool anvil_connect(struct anvil_client *ac, const char *service, const char *client,
                   struct anvil_counts *counts_out);
bool anvil_count(struct anvil_client *ac, enum anvil_event event, const char *service,
                 const char *client, int64_t *rate_out);
/* After a successful anvil_connect only. Does not wait. */
void anvil_disconnect(struct anvil_client *ac, const char *service, const char *client);

#endif
