/* What every delivery agent does: take requests from qmgr, report each recipient's
 * fate (log line, bounce/defer/trace logs, done marks in the queue file), answer.
 *
 * Protocol on private/<transport>: frames, one request at a time a connection;
 * request = struct deliver_request, reply = status=0|errors dsn... The agent holds
 * a shared flock on the queue file while it works: several agents may deliver the
 * same message, and who wants to be sure that none does takes an exclusive one.
 *
 * A recipient is finished when it was delivered or bounced. It is marked done in the
 * file (R -> D) at once, so that a crash after that never delivers it twice. */
#ifndef GLOBAL_DELIVER_H
#define GLOBAL_DELIVER_H

#include "global/bounce_client.h"
#include "global/config.h"
#include "global/flush_client.h"
#include "global/queue.h"
#include "util/stream.h"

enum deliver_flag {
    DELIVER_SUCCESS = 1, /* mark done */
    DELIVER_BOUNCE = 2,
    DELIVER_MTA_VERIFY = 256,
    DELIVER_USER_VERIFY = 512,
    DELIVER_RECORD = 1024,
    DELIVER_CONN_LOAD = 2048,
    DELIVER_CONN_STORE = 4096, /* connection reuse hints */
};

struct deliver_reply {
    bool incomplete;  /* some recipient is not finished: try again later */
    bool bounced;     /* something was added to the bounce log */
    bool traced;      /* something was added to the trace log */
    bool site_failed; /* concurrency feedback: the destination failed */
    struct dsn dsn;   /* why, when site_failed */
};

struct deliver_request {
    int flags;
    const char *queue_name, *queue_id;
    const char *nexthop;
    struct envelope env;           /* rcpts are those of this request */
    struct timeval active_arrival; /* when qmgr took it */
    struct timeval agent_handoff;  /* when qmgr sent the request */
    /* filled in by the agent for delays=a/b/c/d: */
    struct timeval agent_begin;
    struct timeval conn_done; /* 0: none */
    struct timeval deliver_done;
    int conn_use;                /* reuse count of the connection, 0 unless reused */
    int fd;                      /* the queue file, locked, opened read-write */
    unsigned char *reported;     /* one flag a recipient */
    struct deliver_reply *reply; /* what qmgr will be told */
    struct arena *arena;         /* ends with the request */
};

/* The agent's common state: one per process. */
struct deliver {
    const struct config *cfg;
    struct queue queue;
    struct bounce_client *bounce;
    struct flush_client *flush;
    const char *service;
};
struct deliver *deliver_new(const struct config *cfg, struct arena *arena,
                            const char *service);

/* Session function of an agent: reads requests from stream, opens and locks the
 * file, calls handler, marks, answers, until the client closes. handler reports
 * every recipient by exactly one deliver_* call below and returns. When the request
 * as a whole failed (host unreachable), it also calls deliver_concurrency_failure
 * once: that is the negative feedback for qmgr. wait: service_session_wait of the
 * service frame, which this layer does not know. */
struct service;
void deliver_serve(struct deliver *d, struct stream *stream,
                   bool (*wait)(struct service *svc, struct stream *stream),
                   struct service *svc,
                   void (*handler)(struct deliver *d, struct deliver_request *req,
                                   void *arg),
                   void *arg);

/* relay: as in the log, "host[addr]:port", "local", "none". */
void deliver_sent(struct deliver *d, struct deliver_request *req, size_t rcpt,
                  const char *relay, const struct dsn *dsn);
void deliver_bounced(struct deliver *d, struct deliver_request *req, size_t rcpt,
                     const char *relay, const struct dsn *dsn);
void deliver_deferred(struct deliver *d, struct deliver_request *req, size_t rcpt,
                      const char *relay, const struct dsn *dsn);
/* By the first digit of dsn->status: 2 sent, 4 deferred, 5 bounced (soft_bounce
 * applies). */
void deliver_status(struct deliver *d, struct deliver_request *req, size_t rcpt,
                    const char *relay, const struct dsn *dsn);
/* For an agent that turns one recipient into several deliveries (aliases): report the
 * fate of each under an address of its own, by the first digit of dsn->status, then
 * end the recipient itself by one call of deliver_parts_done. deliver_part tells
 * whether the part is final (delivered or bounced); deliver_trace only adds to the
 * trace log, as for "alias expanded", and is false when that log is away. */
bool deliver_part(struct deliver *d, struct deliver_request *req,
                  const struct recipient *part, const char *relay,
                  const struct dsn *dsn);
bool deliver_trace(struct deliver *d, struct deliver_request *req, size_t rcpt,
                   const char *relay, const struct dsn *dsn);
void deliver_parts_done(struct deliver_request *req, size_t rcpt, bool final);
void deliver_concurrency_failure(struct deliver_request *req, const struct dsn *dsn);
bool deliver_rcpt_is_reported(const struct deliver_request *req, size_t rcpt);

/* Frames for qmgr's side. */
void deliver_request_to_frame(const struct deliver_request *req, struct strbuf *sb);
bool deliver_request_from_frame(struct span body, struct arena *arena,
                                struct deliver_request *req_out,
                                const char **missing_out);
void deliver_reply_to_frame(const struct deliver_reply *reply, struct strbuf *sb);
bool deliver_reply_from_frame(struct span body, struct arena *arena,
                              struct deliver_reply *reply_out,
                              const char **missing_out);

#endif
