/* Client of bounce, defer and trace (private/<name>, pooled): delivery status logs
 * and notifications. Requests (request=N as in queue-format, ipc row):
 *   append(0): queue_id, flags, recipient group, dsn        adds to the log
 *   flush(1): queue_name queue_id encoding sender ...        sends notification(s)
 *   warn(2): delay notification; verp(3); one(4): single recipient, no log;
 *   trace(5): success/verify report
 * All return false when the service is away or failed: the caller defers. */
#ifndef GLOBAL_BOUNCE_CLIENT_H
#define GLOBAL_BOUNCE_CLIENT_H

#include "global/config.h"
#include "global/dsn.h"
#include "global/envelope.h"

enum bounce_request {
    BOUNCE_APPEND = 0,
    BOUNCE_FLUSH = 1,
    BOUNCE_WARN = 2,
    BOUNCE_VERP = 3,
    BOUNCE_ONE = 4,
    BOUNCE_TRACE = 5,
};
enum bounce_flag { BOUNCE_FLAG_CLEAN = 1, BOUNCE_FLAG_DELRCPT = 2 };

struct bounce_client;
struct bounce_client *bounce_client_new(const struct config *cfg);
void bounce_client_free(struct bounce_client *bc);

/* service: "bounce", "defer" or "trace" (from cfg->*_service_name). */
bool bounce_append(struct bounce_client *bc, const char *service, const char *queue_id,
                   int flags, const struct recipient *rcpt, const struct dsn *dsn);
/* kind: BOUNCE_FLUSH, _WARN, _VERP, _TRACE. */
bool bounce_notify(struct bounce_client *bc, const char *service,
                   enum bounce_request kind, int flags, const char *queue_name,
                   const char *queue_id, const struct envelope *env);
bool bounce_one(struct bounce_client *bc, const char *queue_name, const char *queue_id,
                const struct envelope *env, const struct recipient *rcpt,
                const struct dsn *dsn);

#endif
