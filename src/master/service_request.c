#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "util/ipc.h"
#include "util/msg.h"

#define IN_FLIGHT_MAX 1000             /* requests of one connection */
#define OUT_MAX       (4u * FRAME_MAX) /* unsent replies of one connection */

/* A connection of a multiplexing client. One fiber reads; each request has a fiber
 * of its own; replies collect in out and are written at the end of the tick. A
 * client that does not take its replies gets a writer fiber, on a second
 * descriptor because the first one's events belong to the stream. */
struct mux_conn {
    struct service_frame *frame;
    struct list link; /* frame->conns */
    struct stream *stream;
    struct fiber *reader; /* NULL: has left */
    bool reading;         /* between two frames: the reader may be cancelled */
    bool ended;           /* the reader has left, or writing has failed */
    size_t refs;          /* reader, requests, writer, flush task */
    struct strbuf out;
    struct loop_task flush;
    struct fiber_queue room;
    size_t in_flight;
    bool writing;
};

struct mux_request {
    struct mux_conn *conn;
    struct service_session *session;
    uint32_t id;
    size_t len;
    char body[];
};

static void conn_unref(struct mux_conn *conn)
{
    if (--conn->refs > 0)
        return;
    list_remove(&conn->link);
    stream_free(conn->stream);
    strbuf_free(&conn->out);
    free(conn);
}

static void conn_broken(struct mux_conn *conn)
{
    strbuf_reset(&conn->out);
    if (conn->ended)
        return;
    conn->ended = true;
    if (conn->reader)
        fiber_cancel(conn->reader);
}

/* Returns false when the socket takes no more for now. */
static bool conn_send(struct mux_conn *conn)
{
    while (conn->out.len > 0) {
        ssize_t sent = send(stream_fd(conn->stream), conn->out.ptr, conn->out.len,
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (sent < 0) {
            conn_broken(conn);
            return true;
        }
        strbuf_consume(&conn->out, (size_t)sent);
    }
    return true;
}

static void writer_fiber(void *arg)
{
    struct mux_conn *conn = arg;
    int64_t timeout_ms = conn->frame->svc.cfg->ipc_timeout * 1000;
    struct evfd ev;
    int fd = dup(stream_fd(conn->stream));

    if (fd < 0) {
        msg_warn("duplicate descriptor: %s", strerror(errno));
        conn_broken(conn);
    } else {
        evfd_init(&ev, fd);
        while (!conn_send(conn)) {
            evfd_write_blocked(&ev);
            if (fiber_wait_writable(&ev, loop_deadline(timeout_ms)) != WAIT_READY)
                conn_broken(conn);
        }
        evfd_forget(&ev);
        close(fd);
    }
    conn->writing = false;
    conn_unref(conn);
}

static void conn_flush(void *arg)
{
    struct mux_conn *conn = arg;

    if (!conn->writing && !conn_send(conn)) {
        conn->writing = true;
        conn->refs++;
        fiber_spawn("reply writer", writer_fiber, conn);
    }
    conn_unref(conn);
}

static void conn_reply(struct mux_conn *conn, uint32_t id, const struct strbuf *attrs)
{
    size_t mark;

    if (conn->ended)
        return;
    if (conn->out.len > OUT_MAX) {
        msg_warn("client does not read its replies -- connection closed");
        conn_broken(conn);
        return;
    }
    mark = frame_begin(&conn->out, id);
    strbuf_add_span(&conn->out, strbuf_span(attrs));
    frame_end(&conn->out, mark);
    if (!list_linked(&conn->flush.link)) {
        conn->refs++;
        loop_defer(&conn->flush, conn_flush, conn);
    }
}

/* -- requests -- */

static void request_end(struct mux_request *request)
{
    struct mux_conn *conn = request->conn;
    struct service_frame *frame = conn->frame;

    free(request);
    if (conn->in_flight-- == IN_FLIGHT_MAX)
        fiber_queue_wake_all(&conn->room);
    conn_unref(conn);
    frame->requests--;
    life_changed(frame);
}

static void request_fiber(void *arg)
{
    struct mux_request *request = arg;
    struct service *svc = &request->conn->frame->svc;
    struct strbuf reply = STRBUF_INIT;

    session_enter(request->session);
    svc->ops->request(svc, span_of(request->body, request->len), &reply);
    session_leave(request->session);
    if (request->id != 0)
        conn_reply(request->conn, request->id, &reply);
    strbuf_free(&reply);
    request_end(request);
}

static void request_spawn(struct mux_conn *conn, const struct frame *frame)
{
    struct mux_request *request = xmalloc(sizeof *request + frame->body.len);

    request->conn = conn;
    request->session = xcalloc(1, sizeof *request->session);
    request->session->frame = conn->frame;
    request->id = frame->id;
    request->len = frame->body.len;
    memcpy(request->body, frame->body.ptr, frame->body.len);
    conn->refs++;
    conn->in_flight++;
    conn->frame->requests++;
    fiber_spawn_stack("request", conn->frame->stack_size, request_fiber, request);
}

static bool conn_wait_room(struct mux_conn *conn)
{
    while (conn->in_flight >= IN_FLIGHT_MAX) {
        if (fiber_queue_wait(&conn->room, LOOP_NEVER) == WAIT_CANCELLED)
            return false;
    }
    return true;
}

/* A retiring process answers what it has read and leaves the rest to its successor:
 * clients repeat requests that got no reply. */
static bool conn_next(struct mux_conn *conn, struct frame *frame)
{
    enum stream_status status = STREAM_OK;

    if (!conn_wait_room(conn) || conn->ended || conn->frame->svc.retiring)
        return false;
    if (stream_peek(conn->stream).len == 0) {
        conn->reading = true;
        stream_set_timeout(conn->stream, LOOP_NEVER);
        status = stream_wait_input(conn->stream);
        conn->reading = false;
    }
    if (status != STREAM_OK || fiber_cancelled())
        return false;
    stream_set_timeout(conn->stream, conn->frame->svc.cfg->ipc_timeout * 1000);
    status = ipc_read_frame(conn->stream, frame);
    if (status == STREAM_ERROR && stream_errno(conn->stream) == EPROTO)
        msg_warn("malformed request from an internal client");
    return status == STREAM_OK;
}

void request_serve(struct service_frame *frame, struct stream *stream)
{
    struct mux_conn *conn = xcalloc(1, sizeof *conn);
    struct frame request;

    conn->frame = frame;
    conn->stream = stream;
    conn->reader = fiber_self();
    conn->refs = 1;
    strbuf_init(&conn->out);
    fiber_queue_init(&conn->room);
    list_append(&frame->conns, &conn->link);
    if (ipc_read_preamble(stream) == STREAM_OK) {
        while (conn_next(conn, &request))
            request_spawn(conn, &request);
    }
    conn->reader = NULL;
    if (!frame->svc.retiring)
        conn->ended = true;
    conn_unref(conn);
}

void request_retire(struct service_frame *frame)
{
    list_each_safe(link, &frame->conns)
    {
        struct mux_conn *conn = list_entry(link, struct mux_conn, link);

        if (conn->reading)
            fiber_cancel(conn->reader);
    }
}
