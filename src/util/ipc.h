/* Clients of internal services over UNIX sockets, and reading of requests on the
 * server side. Frames as in frame.h.
 *
 * Two ways to talk:
 * - ipc_call: one connection a session, one request at a time, connections kept
 *   for reuse in a pool (cleanup, delivery agents, bounce).
 * - ipc_mux: one connection a process; requests of all fibers are multiplexed by
 *   id and written once a loop tick (rewrite, anvil, qmgr).
 * A server that went away is reconnected: a request of ipc_call on a pooled
 * connection that the server closed before it had read all of the request is
 * repeated once on a new one; nothing else is repeated. */
#ifndef UTIL_IPC_H
#define UTIL_IPC_H

#include "util/frame.h"
#include "util/stream.h"

enum ipc_status {
    IPC_OK,
    IPC_UNAVAILABLE, /* cannot connect */
    IPC_LOST,        /* connection ended in the middle */
    IPC_TIMEOUT,
    IPC_BROKEN, /* the server sent nonsense */
    IPC_CANCELLED,
};
const char *ipc_status_text(enum ipc_status status);

/* -- frames on a stream, for servers and single connections -- */

/* Next frame; borrowed until the next read on s. STREAM_ERROR with errno EPROTO
 * for a broken frame. */
enum stream_status ipc_read_frame(struct stream *s, struct frame *frame_out);
/* Buffered: goes out with stream_flush or before the next wait for input on s. */
enum stream_status ipc_write_frames(struct stream *s, const struct strbuf *frames);
/* Server side: read and check the preamble. */
enum stream_status ipc_read_preamble(struct stream *s);

/* -- pooled connections, one request at a time -- */

struct ipc_pool;
struct ipc_conn; /* one connection taken from the pool */

/* path: of the UNIX socket, such as "private/bounce" (relative to the queue
 * directory, the working directory of every service). idle_ms: an idle connection
 * is closed after this; max_idle: how many are kept. */
struct ipc_pool *ipc_pool_new(const char *path, int64_t timeout_ms, int64_t idle_ms,
                              size_t max_idle);
void ipc_pool_free(struct ipc_pool *pool);
/* A connection, idle or new (*fresh_out tells, may be NULL). Waits for connect at
 * most timeout_ms. */
enum ipc_status ipc_pool_get(struct ipc_pool *pool, struct ipc_conn **conn_out,
                             bool *fresh_out);
void ipc_pool_put(struct ipc_pool *pool, struct ipc_conn *conn);  /* healthy: keep */
void ipc_pool_drop(struct ipc_pool *pool, struct ipc_conn *conn); /* close */
/* Buffer one frame; written by ipc_conn_flush or ipc_conn_reply. Build it with:
 *   struct strbuf *sb = ipc_conn_begin(conn); frame_str(sb, ...); ipc_conn_end(conn);
 */
struct strbuf *ipc_conn_begin(struct ipc_conn *conn);
void ipc_conn_end(struct ipc_conn *conn);
enum ipc_status ipc_conn_flush(struct ipc_conn *conn);
/* Flush and read one frame; borrowed until the next call on conn. */
enum ipc_status ipc_conn_reply(struct ipc_conn *conn, struct frame *frame_out);
struct stream *ipc_conn_stream(struct ipc_conn *conn);
/* One request, one reply, with the repetition rule above. request holds the
 * attributes only (no frame header). The reply's body is copied into reply_out. */
enum ipc_status ipc_call(struct ipc_pool *pool, const struct strbuf *request,
                         struct strbuf *reply_out);

/* -- multiplexed connection -- */

struct ipc_mux;
struct ipc_mux *ipc_mux_new(const char *path, int64_t timeout_ms);
void ipc_mux_free(struct ipc_mux *mux);
/* request: attributes only. The calling fiber waits; the reply's attributes are
 * copied into reply_out. A request in flight when the connection is lost is
 * repeated once on a new connection: only for requests that may be repeated. */
enum ipc_status ipc_mux_call(struct ipc_mux *mux, const struct strbuf *request,
                             struct strbuf *reply_out);
/* One-way. Queued and written this tick; connects when needed. on_lost is called
 * (in the loop) when queued or possibly undelivered messages were lost. */
void ipc_mux_send(struct ipc_mux *mux, const struct strbuf *request);
void ipc_mux_on_lost(struct ipc_mux *mux, void (*fn)(void *arg), void *arg);

#endif
