/* Handing a message to cleanup (public/cleanup, pooled connection, one message at
 * a time):
 *   request=open flags=N                        -> status=0 queue_id=Q (file made)
 *   records=<raw record bytes>     (any number; envelope, M, content, X, .., E)
 *   request=commit                              -> status=bits reason=T dsn=S size=N
 *   request=abort                               -> (no reply; file removed)
 * Closing the connection before commit is an abort. Envelope records are those that
 * queue-format allows from smtpd; content lines as N/L records without line ends. */
#ifndef GLOBAL_CLEANUP_CLIENT_H
#define GLOBAL_CLEANUP_CLIENT_H

#include "global/queue.h"
#include "util/ipc.h"

enum cleanup_flag {
    CLEANUP_BOUNCE = 1, /* cleanup itself bounces bad recipients */
    CLEANUP_FILTER = 2, /* header and body checks, milters as configured */
    CLEANUP_HOLD = 4,
    CLEANUP_DISCARD = 8,
    CLEANUP_BCC_OK = 16, /* always_bcc and friends */
    CLEANUP_MAP_OK = 32, /* canonical, virtual mapping */
    CLEANUP_MILTER = 64,
    CLEANUP_SMTP_REPLY = 128,
    CLEANUP_SMTPUTF8 = 256,
    CLEANUP_AUTOUTF8 = 512,
    CLEANUP_REQUIRETLS = 1024,
};
#define CLEANUP_EXTERNAL                                                               \
    (CLEANUP_FILTER | CLEANUP_MAP_OK | CLEANUP_BCC_OK | CLEANUP_MILTER)
#define CLEANUP_INTERNAL CLEANUP_MAP_OK

/* Result bits: 0 is success. */
enum cleanup_status {
    CLEANUP_STAT_OK = 0,
    CLEANUP_STAT_BAD = 1,     /* internal protocol error */
    CLEANUP_STAT_WRITE = 2,   /* queue file write error */
    CLEANUP_STAT_SIZE = 4,    /* message_size_limit */
    CLEANUP_STAT_CONTENT = 8, /* rejected by content inspection */
    CLEANUP_STAT_HOPS = 16,
    CLEANUP_STAT_RCPT = 64, /* no recipients */
    CLEANUP_STAT_PROXY = 128,
    CLEANUP_STAT_DEFER = 256, /* temporary: table or service trouble */
    CLEANUP_STAT_NOPERM = 512,
};

struct cleanup_client;  /* one per process */
struct cleanup_message; /* one under way */

struct cleanup_result {
    int status;         /* bits above */
    const char *reason; /* text for the SMTP reply or the bounce; "" none */
    const char *dsn;    /* enhanced status to go with it, or "" */
};

struct cleanup_client *cleanup_client_new(const struct config *cfg);
void cleanup_client_free(struct cleanup_client *cc);

/* NULL: service away or out of space; why_out: static text. queue id by _id(). */
struct cleanup_message *cleanup_open(struct cleanup_client *cc, int flags,
                                     const char **why_out);
const char *cleanup_message_id(const struct cleanup_message *msg);
/* Append records here, then cleanup_send when it has grown beyond some 32 KiB
 * (cleanup_message_send does nothing below that unless force). */
struct strbuf *cleanup_records(struct cleanup_message *msg);
enum ipc_status cleanup_send(struct cleanup_message *msg, bool force);
/* Ends the message and frees it. Texts go to arena. A lost connection gives
 * CLEANUP_STAT_WRITE: the message may or may not be queued. */
struct cleanup_result cleanup_commit(struct cleanup_message *msg, struct arena *arena);
void cleanup_abort(struct cleanup_message *msg);

/* The short answers of each status bit, most severe first: SMTP code, dsn, text. */
struct cleanup_status_detail {
    int status, smtp_code;
    const char *dsn, *text;
};
const struct cleanup_status_detail *cleanup_status_detail(int status);

#endif
