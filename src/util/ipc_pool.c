#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/ipc.h"
#include "util/net.h"

/* A request buffer that grew beyond this is not kept with an idle connection. */
#define KEEP_BUFFER_MAX 16384

struct ipc_conn {
    struct list link; /* in pool->idle while idle, newest first */
    struct stream *stream;
    struct strbuf out; /* frames not yet given to the stream */
    size_t mark;       /* of the open frame in out */
    uint32_t last_id;  /* of the latest request */
    uint32_t floor_id; /* replies up to this belong to an earlier user */
    int64_t idle_since;
    bool unread; /* the connection ended before the server read all of the request */
};

struct ipc_pool {
    char *path;
    int64_t timeout_ms, idle_ms;
    size_t max_idle, idle_count;
    struct list idle;
    struct loop_timer idle_timer;
};

struct ipc_pool *ipc_pool_new(const char *path, int64_t timeout_ms, int64_t idle_ms,
                              size_t max_idle)
{
    struct ipc_pool *pool = xcalloc(1, sizeof *pool);

    pool->path = xstrdup(path);
    pool->timeout_ms = timeout_ms;
    pool->idle_ms = idle_ms;
    pool->max_idle = max_idle;
    list_init(&pool->idle);
    return pool;
}

static void conn_close(struct ipc_conn *conn)
{
    stream_free(conn->stream);
    strbuf_free(&conn->out);
    free(conn);
}

static void idle_remove(struct ipc_pool *pool, struct ipc_conn *conn)
{
    list_remove(&conn->link);
    pool->idle_count--;
}

void ipc_pool_free(struct ipc_pool *pool)
{
    if (!pool)
        return;
    loop_timer_cancel(&pool->idle_timer);
    list_each_safe(link, &pool->idle)
        conn_close(list_entry(link, struct ipc_conn, link));
    free(pool->path);
    free(pool);
}

static struct ipc_conn *oldest_idle(struct ipc_pool *pool)
{
    if (list_empty(&pool->idle))
        return NULL;
    return list_entry(pool->idle.prev, struct ipc_conn, link);
}

static void idle_expire(void *arg)
{
    struct ipc_pool *pool = arg;
    struct ipc_conn *conn;

    while ((conn = oldest_idle(pool)) != NULL) {
        int64_t left = conn->idle_since + pool->idle_ms - loop_now();

        if (left > 0) {
            loop_timer_set(&pool->idle_timer, left, idle_expire, pool);
            return;
        }
        idle_remove(pool, conn);
        conn_close(conn);
    }
}

static enum ipc_status conn_open(struct ipc_pool *pool, struct ipc_conn **conn_out)
{
    struct ipc_conn *conn;
    int fd;

    switch (net_connect_unix(pool->path, loop_deadline(pool->timeout_ms), &fd)) {
    case NET_CONNECTED:
        break;
    case NET_CANCELLED:
        return IPC_CANCELLED;
    case NET_TIMEOUT:
    case NET_FAILED:
        return IPC_UNAVAILABLE;
    }
    conn = xcalloc(1, sizeof *conn);
    conn->stream = stream_new(fd);
    stream_set_timeout(conn->stream, pool->timeout_ms);
    strbuf_init(&conn->out);
    strbuf_add(&conn->out, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN);
    *conn_out = conn;
    return IPC_OK;
}

static struct ipc_conn *take_idle(struct ipc_pool *pool)
{
    struct ipc_conn *conn;

    while ((conn = list_first(&pool->idle, struct ipc_conn, link)) != NULL) {
        idle_remove(pool, conn);
        if (!stream_peer_closed(conn->stream)) {
            conn->floor_id = conn->last_id;
            return conn;
        }
        conn_close(conn);
    }
    return NULL;
}

enum ipc_status ipc_pool_get(struct ipc_pool *pool, struct ipc_conn **conn_out,
                             bool *fresh_out)
{
    struct ipc_conn *conn = take_idle(pool);

    if (fresh_out)
        *fresh_out = conn == NULL;
    *conn_out = conn;
    return conn ? IPC_OK : conn_open(pool, conn_out);
}

void ipc_pool_put(struct ipc_pool *pool, struct ipc_conn *conn)
{
    bool leftovers = stream_peek(conn->stream).len > 0 || conn->out.len > 0 ||
                     stream_output_pending(conn->stream) > 0;

    if (leftovers || pool->max_idle == 0 || stream_peer_closed(conn->stream)) {
        conn_close(conn);
        return;
    }
    if (pool->idle_count >= pool->max_idle) {
        struct ipc_conn *oldest = oldest_idle(pool);

        idle_remove(pool, oldest);
        conn_close(oldest);
    }
    if (conn->out.cap > KEEP_BUFFER_MAX)
        strbuf_free(&conn->out);
    conn->idle_since = loop_now();
    list_prepend(&pool->idle, &conn->link);
    pool->idle_count++;
    /* The timer follows the oldest connection; it is not touched on each use. */
    if (!heap_linked(&pool->idle_timer.node))
        loop_timer_set(&pool->idle_timer, pool->idle_ms, idle_expire, pool);
}

void ipc_pool_drop(struct ipc_pool *pool UNUSED, struct ipc_conn *conn)
{
    conn_close(conn);
}

struct strbuf *ipc_conn_begin(struct ipc_conn *conn)
{
    if (++conn->last_id == 0) /* 0 means one-way */
        conn->last_id = 1;
    conn->mark = frame_begin(&conn->out, conn->last_id);
    return &conn->out;
}

void ipc_conn_end(struct ipc_conn *conn)
{
    frame_end(&conn->out, conn->mark);
}

static enum ipc_status from_stream_status(enum stream_status status)
{
    switch (status) {
    case STREAM_OK:
        return IPC_OK;
    case STREAM_TIMEOUT:
        return IPC_TIMEOUT;
    case STREAM_CANCELLED:
        return IPC_CANCELLED;
    case STREAM_EOF:
        return IPC_LOST;
    case STREAM_TOO_LONG:
    case STREAM_ERROR:
        break;
    }
    return IPC_BROKEN;
}

static enum stream_status buffer_frames(struct ipc_conn *conn)
{
    enum stream_status status;

    if (conn->out.len == 0)
        return STREAM_OK;
    status = ipc_write_frames(conn->stream, &conn->out);
    strbuf_reset(&conn->out);
    return status;
}

/* UNIX sockets tell: after a close with our data unread, or before our write, there
 * is an error; after a close with everything read, plain end of file. */
static enum ipc_status connection_failed(struct ipc_conn *conn)
{
    int error = stream_errno(conn->stream);

    conn->unread = error == EPIPE || error == ECONNRESET;
    return IPC_LOST;
}

enum ipc_status ipc_conn_flush(struct ipc_conn *conn)
{
    enum stream_status status = buffer_frames(conn);

    if (status == STREAM_OK)
        status = stream_flush(conn->stream);
    return status == STREAM_ERROR ? connection_failed(conn)
                                  : from_stream_status(status);
}

enum ipc_status ipc_conn_reply(struct ipc_conn *conn, struct frame *frame_out)
{
    enum stream_status status;
    enum ipc_status flushed = ipc_conn_flush(conn);

    if (flushed != IPC_OK)
        return flushed;
    errno = 0;
    status = ipc_read_frame(conn->stream, frame_out);
    if (status == STREAM_ERROR && errno != EPROTO)
        return connection_failed(conn);
    if (status != STREAM_OK)
        return from_stream_status(status);
    /* A reply that an earlier user did not wait for must not answer this one. */
    if (frame_out->id != 0 &&
        frame_out->id - conn->floor_id - 1 >= conn->last_id - conn->floor_id)
        return IPC_BROKEN;
    return IPC_OK;
}

struct stream *ipc_conn_stream(struct ipc_conn *conn)
{
    return conn->stream;
}

/* Request and reply on one connection, which is put back or closed here. */
static enum ipc_status call_once(struct ipc_pool *pool, struct ipc_conn *conn,
                                 const struct strbuf *request, struct strbuf *reply_out,
                                 bool *unread_out)
{
    enum ipc_status status;
    struct frame reply;

    strbuf_add(ipc_conn_begin(conn), request->ptr, request->len);
    ipc_conn_end(conn);
    status = ipc_conn_reply(conn, &reply);
    *unread_out = conn->unread;
    if (status != IPC_OK) {
        ipc_pool_drop(pool, conn);
        return status;
    }
    strbuf_reset(reply_out);
    strbuf_add_span(reply_out, reply.body);
    ipc_pool_put(pool, conn);
    return IPC_OK;
}

enum ipc_status ipc_call(struct ipc_pool *pool, const struct strbuf *request,
                         struct strbuf *reply_out)
{
    struct ipc_conn *conn;
    bool fresh, unread;
    enum ipc_status status = ipc_pool_get(pool, &conn, &fresh);

    if (status != IPC_OK)
        return status;
    status = call_once(pool, conn, request, reply_out, &unread);
    if (status != IPC_LOST || fresh || !unread)
        return status;
    /* Not from the pool: others in there may be as dead as this one. */
    status = conn_open(pool, &conn);
    if (status != IPC_OK)
        return status;
    return call_once(pool, conn, request, reply_out, &unread);
}
