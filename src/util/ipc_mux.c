#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/ipc.h"
#include "util/net.h"

/* Requests in flight; an id is a slot number and a use count, so that the reply
 * to a request nobody waits for any more does not reach the slot's next user. */
#define SLOT_BITS 16
#define SLOTS_MAX ((1u << SLOT_BITS) - 1)
#define READ_SIZE 16384
/* A server that does not read for so long is as good as gone. */
#define OUTPUT_MAX       (64u * 1024 * 1024)
#define CONNECT_RETRY_MS 2

struct mux_call {
    struct fiber *fiber;
    const struct strbuf *request;
    struct strbuf *reply_out;
    enum ipc_status status;
    uint32_t id;
    bool done, repeated;
    int64_t sent_at;
};

struct mux_slot {
    struct mux_call *call; /* NULL: free */
    uint32_t uses;
    uint32_t next_free; /* slot number + 1 */
};

struct ipc_mux {
    char *path;
    int64_t timeout_ms;
    int fd; /* -1: not connected */
    struct evfd ev;
    struct strbuf in, out;
    size_t out_sent;     /* bytes of out that the kernel has */
    size_t oneway_count; /* on this connection or waiting for one */
    int64_t heard_at;    /* when the server last sent something */
    int64_t connect_since;
    struct mux_slot *slots;
    uint32_t slot_count, free_slot, in_flight;
    bool write_blocked; /* the kernel's buffer is full; mux_ready goes on */
    struct loop_task flush_task, lost_task;
    struct loop_timer retry_timer;
    void (*on_lost)(void *arg);
    void *on_lost_arg;
};

static void mux_flush(void *arg);

struct ipc_mux *ipc_mux_new(const char *path, int64_t timeout_ms)
{
    struct ipc_mux *mux = xcalloc(1, sizeof *mux);

    mux->path = xstrdup(path);
    mux->timeout_ms = timeout_ms;
    mux->fd = -1;
    strbuf_init(&mux->in);
    strbuf_init(&mux->out);
    return mux;
}

void ipc_mux_on_lost(struct ipc_mux *mux, void (*fn)(void *arg), void *arg)
{
    mux->on_lost = fn;
    mux->on_lost_arg = arg;
}

static void drop_connection(struct ipc_mux *mux)
{
    if (mux->fd >= 0) {
        evfd_forget(&mux->ev);
        close(mux->fd);
        mux->fd = -1;
    }
    strbuf_reset(&mux->in);
    strbuf_reset(&mux->out);
    mux->out_sent = 0;
    mux->write_blocked = false;
    mux->connect_since = 0;
    loop_timer_cancel(&mux->retry_timer);
}

static void schedule_flush(struct ipc_mux *mux)
{
    loop_defer(&mux->flush_task, mux_flush, mux);
}

static bool slot_take(struct ipc_mux *mux, struct mux_call *call)
{
    struct mux_slot *slot;
    uint32_t number;

    if (mux->free_slot) {
        number = mux->free_slot - 1;
        slot = &mux->slots[number];
        mux->free_slot = slot->next_free;
    } else {
        if (mux->slot_count >= SLOTS_MAX)
            return false;
        if ((mux->slot_count & (mux->slot_count - 1)) == 0) /* at powers of two */
            mux->slots =
                xrealloc(mux->slots, (mux->slot_count ? mux->slot_count * 2 : 1) *
                                         sizeof *mux->slots);
        number = mux->slot_count++;
        slot = &mux->slots[number];
        slot->uses = 0;
    }
    slot->call = call;
    slot->uses++;
    call->id = (slot->uses << SLOT_BITS) | (number + 1);
    mux->in_flight++;
    return true;
}

static void slot_release(struct ipc_mux *mux, struct mux_call *call)
{
    uint32_t number = (call->id & SLOTS_MAX) - 1;
    struct mux_slot *slot = &mux->slots[number];

    slot->call = NULL;
    slot->next_free = mux->free_slot;
    mux->free_slot = number + 1;
    mux->in_flight--;
}

static struct mux_call *slot_find(struct ipc_mux *mux, uint32_t id)
{
    uint32_t number = id & SLOTS_MAX;
    struct mux_call *call;

    if (number == 0 || number > mux->slot_count)
        return NULL;
    call = mux->slots[number - 1].call;
    return call && call->id == id ? call : NULL;
}

static void call_finish(struct ipc_mux *mux, struct mux_call *call,
                        enum ipc_status status)
{
    slot_release(mux, call);
    call->status = status;
    call->done = true;
    fiber_wake(call->fiber);
}

static void queue_frame(struct ipc_mux *mux, uint32_t id, const struct strbuf *request)
{
    size_t mark;

    /* The preamble heads what a new connection carries. */
    if (mux->fd < 0 && mux->out.len == 0)
        strbuf_add(&mux->out, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN);
    mark = frame_begin(&mux->out, id);
    strbuf_add(&mux->out, request->ptr, request->len);
    frame_end(&mux->out, mark);
    schedule_flush(mux);
}

static void call_on_lost(void *arg)
{
    struct ipc_mux *mux = arg;

    mux->on_lost(mux->on_lost_arg);
}

/* Deferred, so that the owner is never called from inside one of its own calls. */
static void report_lost_oneways(struct ipc_mux *mux)
{
    if (mux->oneway_count > 0 && mux->on_lost)
        loop_defer(&mux->lost_task, call_on_lost, mux);
    mux->oneway_count = 0;
}

static void fail_all_calls(struct ipc_mux *mux, enum ipc_status status)
{
    for (uint32_t i = 0; i < mux->slot_count && mux->in_flight > 0; i++) {
        if (mux->slots[i].call)
            call_finish(mux, mux->slots[i].call, status);
    }
}

/* No connection could be made. */
static void connect_failed(struct ipc_mux *mux)
{
    drop_connection(mux);
    fail_all_calls(mux, IPC_UNAVAILABLE);
    report_lost_oneways(mux);
}

/* The connection ended, or makes no sense any more: what was in flight goes out
 * once more over the next one. */
static void connection_lost(struct ipc_mux *mux, enum ipc_status status)
{
    drop_connection(mux);
    for (uint32_t i = 0; i < mux->slot_count; i++) {
        struct mux_call *call = mux->slots[i].call;

        if (!call)
            continue;
        if (call->repeated || status != IPC_LOST) {
            call_finish(mux, call, status);
            continue;
        }
        call->repeated = true;
        call->sent_at = loop_now();
        queue_frame(mux, call->id, call->request);
    }
    report_lost_oneways(mux);
}

/* True: go on reading. */
static bool dispatch_replies(struct ipc_mux *mux)
{
    struct span rest = strbuf_span(&mux->in);
    struct frame reply;
    size_t used;

    for (;;) {
        struct mux_call *call;
        enum frame_parse parse = frame_parse(rest, &reply, &used);

        if (parse == FRAME_BROKEN) {
            connection_lost(mux, IPC_BROKEN);
            return false;
        }
        if (parse == FRAME_PARTIAL)
            break;
        rest = span_skip(rest, used);
        call = slot_find(mux, reply.id);
        if (!call)
            continue;
        strbuf_reset(call->reply_out);
        strbuf_add_span(call->reply_out, reply.body);
        call_finish(mux, call, IPC_OK);
    }
    strbuf_consume(&mux->in, mux->in.len - rest.len);
    return true;
}

static void mux_read(struct ipc_mux *mux)
{
    while (mux->fd >= 0 && (mux->ev.readable || mux->ev.hangup)) {
        ssize_t got;

        strbuf_reserve(&mux->in, READ_SIZE);
        got = recv(mux->fd, mux->in.ptr + mux->in.len, READ_SIZE, 0);
        if (got > 0) {
            mux->in.len += (size_t)got;
            mux->in.ptr[mux->in.len] = '\0';
            mux->heard_at = loop_now();
            if (!dispatch_replies(mux))
                return;
            /* A short read has emptied the socket; the next arrival is an edge. */
            if (got < READ_SIZE && !mux->ev.hangup)
                evfd_read_blocked(&mux->ev);
        } else if (got < 0 && errno == EAGAIN) {
            evfd_read_blocked(&mux->ev);
            return;
        } else if (got == 0 || errno != EINTR) {
            connection_lost(mux, IPC_LOST);
            return;
        }
    }
}

static void mux_write(struct ipc_mux *mux)
{
    while (mux->out_sent < mux->out.len) {
        size_t left = mux->out.len - mux->out_sent;
        ssize_t sent = send(mux->fd, mux->out.ptr + mux->out_sent, left, MSG_NOSIGNAL);

        if (sent >= 0) {
            mux->out_sent += (size_t)sent;
        } else if (errno == EAGAIN) {
            evfd_write_blocked(&mux->ev);
            mux->write_blocked = true;
            return;
        } else if (errno != EINTR) {
            connection_lost(mux, IPC_LOST);
            return;
        }
    }
    strbuf_reset(&mux->out);
    mux->out_sent = 0;
    mux->write_blocked = false;
}

static void mux_ready(struct evfd *ev, void *arg)
{
    struct ipc_mux *mux = arg;

    if (ev->readable || ev->hangup)
        mux_read(mux);
    if (mux->fd >= 0 && ev->writable && mux->write_blocked)
        mux_write(mux);
}

static void retry_connect(void *arg)
{
    mux_flush(arg);
}

/* UNIX sockets connect at once or not at all; only a full backlog is waited for. */
static void mux_connect(struct ipc_mux *mux)
{
    struct net_addr addr;
    int fd = -1;

    if (net_addr_unix(mux->path, &addr))
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &addr.sa, addr.len) == 0) {
        mux->fd = fd;
        mux->connect_since = 0;
        mux->heard_at = loop_now();
        evfd_init(&mux->ev, fd);
        evfd_watch(&mux->ev, mux_ready, mux);
        return;
    }
    if (fd >= 0 && errno == EAGAIN) {
        close(fd);
        if (mux->connect_since == 0)
            mux->connect_since = loop_now();
        if (mux->timeout_ms <= 0 || loop_now() - mux->connect_since < mux->timeout_ms) {
            loop_timer_set(&mux->retry_timer, CONNECT_RETRY_MS, retry_connect, mux);
            return;
        }
    } else if (fd >= 0) {
        close(fd);
    }
    connect_failed(mux);
}

static void mux_flush(void *arg)
{
    struct ipc_mux *mux = arg;

    if (mux->out.len == mux->out_sent)
        return;
    if (mux->fd < 0) {
        mux_connect(mux);
        if (mux->fd < 0)
            return;
    }
    if (!mux->write_blocked) {
        mux_write(mux);
        return;
    }
    if (mux->out_sent > mux->out.len / 2) {
        strbuf_consume(&mux->out, mux->out_sent);
        mux->out_sent = 0;
    }
    if (mux->out.len - mux->out_sent > OUTPUT_MAX)
        connection_lost(mux, IPC_LOST);
}

/* The fiber gave up. A server that has been silent since this request was sent is
 * taken for hung: the others get a new connection. */
static void call_abandoned(struct ipc_mux *mux, struct mux_call *call,
                           enum ipc_status status)
{
    slot_release(mux, call);
    if (status == IPC_TIMEOUT && mux->fd >= 0 && mux->heard_at <= call->sent_at)
        connection_lost(mux, IPC_LOST);
}

enum ipc_status ipc_mux_call(struct ipc_mux *mux, const struct strbuf *request,
                             struct strbuf *reply_out)
{
    struct mux_call call = {.fiber = fiber_self(),
                            .request = request,
                            .reply_out = reply_out,
                            .sent_at = loop_now()};
    int64_t deadline = loop_deadline(mux->timeout_ms);

    if (!call.fiber)
        panic("ipc_mux_call outside a fiber");
    if (!slot_take(mux, &call))
        return IPC_UNAVAILABLE;
    queue_frame(mux, call.id, request);
    while (!call.done) {
        enum wait_result wait = fiber_park(deadline);

        if (call.done || wait == WAIT_READY)
            continue;
        call.status = wait == WAIT_TIMEOUT ? IPC_TIMEOUT : IPC_CANCELLED;
        call_abandoned(mux, &call, call.status);
        break;
    }
    return call.status;
}

void ipc_mux_send(struct ipc_mux *mux, const struct strbuf *request)
{
    mux->oneway_count++;
    queue_frame(mux, 0, request);
}

void ipc_mux_free(struct ipc_mux *mux)
{
    if (!mux)
        return;
    if (mux->in_flight > 0)
        panic("ipc_mux_free with %u calls in flight", mux->in_flight);
    drop_connection(mux);
    list_remove(&mux->flush_task.link);
    list_remove(&mux->lost_task.link);
    strbuf_free(&mux->in);
    strbuf_free(&mux->out);
    free(mux->slots);
    free(mux->path);
    free(mux);
}
