#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "util/msg.h"

#define TRIGGER_MAX 512 /* bytes of one trigger read */
#define PASS_WAIT_S 30  /* for a descriptor on a connection made to pass it */

static struct span fiber_key(struct fiber *const *fiber)
{
    return span_of((const char *)fiber, sizeof *fiber);
}

void session_enter(struct service_session *session)
{
    struct service_frame *frame = session->frame;

    session->fiber = fiber_self();
    hash_insert(&frame->notes, &session->node, fiber_key(&session->fiber));
    list_append(&frame->sessions, &session->link);
}

void session_leave(struct service_session *session)
{
    hash_remove(&session->frame->notes, &session->node);
    list_remove(&session->link);
    free(session);
}

static struct service_session *session_new(struct service_frame *frame)
{
    struct service_session *session = xcalloc(1, sizeof *session);

    session->frame = frame;
    session->fd = -1;
    return session;
}

static struct service_session *session_self(struct service_frame *frame)
{
    struct fiber *self = fiber_self();
    struct hash_node *node = self ? hash_find(&frame->notes, fiber_key(&self)) : NULL;

    return node ? hash_entry(node, struct service_session, node) : NULL;
}

/* -- triggers -- */

struct trigger {
    struct service_session *session;
    size_t len;
    char bytes[];
};

static void trigger_fiber(void *arg)
{
    struct trigger *trigger = arg;
    struct service_frame *frame = trigger->session->frame;

    session_enter(trigger->session);
    frame->svc.ops->trigger(&frame->svc, span_of(trigger->bytes, trigger->len));
    session_leave(trigger->session);
    free(trigger);
    service_release(&frame->svc);
}

void session_trigger(struct service_frame *frame, struct span bytes)
{
    struct trigger *trigger;

    frame->served++;
    if (!frame->svc.ops->trigger || frame->svc.retiring) {
        life_changed(frame);
        return;
    }
    trigger = xcalloc(1, sizeof *trigger + bytes.len);
    trigger->session = session_new(frame);
    trigger->len = bytes.len;
    memcpy(trigger->bytes, bytes.ptr, bytes.len);
    service_hold(&frame->svc);
    fiber_spawn_stack("trigger", frame->stack_size, trigger_fiber, trigger);
}

/* All bytes come in one write; closing tells the client that they were read. */
static void serve_trigger(struct service_frame *frame, struct stream *stream)
{
    struct span bytes;

    if (stream_read_some(stream, TRIGGER_MAX, &bytes) == STREAM_OK)
        session_trigger(frame, bytes);
    stream_free(stream);
}

/* -- connections -- */

/* Decides at the first byte that differs: a trigger may be a single one, sent by a
 * client that then waits for us to close. The preamble stays unread. */
static bool starts_with_preamble(struct stream *stream)
{
    const struct span preamble = SPAN_LIT(FRAME_PREAMBLE);

    for (size_t want = 1; want <= preamble.len; want++) {
        struct span have;

        if (stream_need(stream, want, &have) != STREAM_OK)
            return false;
        have = span_first(have, preamble.len);
        if (!span_starts(preamble, have))
            return false;
        want = have.len;
    }
    return true;
}

/* The peer's trigger protocol and our frames arrive on the same socket. */
static void serve_internal(struct service_frame *frame, struct stream *stream)
{
    const struct service_ops *ops = frame->svc.ops;
    bool frames;

    stream_set_timeout(stream, frame->svc.cfg->trigger_timeout * 1000);
    frames = starts_with_preamble(stream);
    if (frames && ops->request)
        request_serve(frame, stream);
    else if (!frames && ops->trigger)
        serve_trigger(frame, stream);
    else
        stream_free(stream);
}

/* A connection of type "pass" carries the client's descriptor, nothing else. */
static struct stream *receive_passed(struct service_session *session)
{
    struct stream *carrier = stream_new(session->fd);
    int fd = -1;

    stream_set_timeout(carrier, PASS_WAIT_S * 1000);
    if (stream_recv_fd(carrier, &fd) != STREAM_OK)
        fd = -1;
    stream_free(carrier);
    if (fd < 0)
        return NULL;
    session->peer.len = sizeof session->peer.ss;
    if (getpeername(fd, &session->peer.sa, &session->peer.len) < 0 ||
        session->peer.sa.sa_family == AF_UNIX)
        session->peer.len = 0;
    return stream_new(fd);
}

static void serve_session(struct service_session *session)
{
    struct service *svc = &session->frame->svc;
    struct stream *stream;

    if (strcmp(svc->type, "pass") == 0)
        stream = receive_passed(session);
    else
        stream = stream_new(session->fd);
    if (stream)
        svc->ops->session(svc, stream, &session->peer);
}

static void session_fiber(void *arg)
{
    struct service_session *session = arg;
    struct service_frame *frame = session->frame;

    session_enter(session);
    if (frame->svc.ops->session)
        serve_session(session);
    else
        serve_internal(frame, stream_new(session->fd));
    session_leave(session);
    frame->svc.session_count--;
    life_changed(frame);
}

void session_spawn(struct service_frame *frame, int fd, const struct net_addr *peer)
{
    struct service_session *session = session_new(frame);

    session->fd = fd;
    session->peer = *peer;
    frame->svc.session_count++;
    frame->served++;
    fiber_spawn_stack(frame->svc.ops->program, frame->stack_size, session_fiber,
                      session);
    life_changed(frame);
}

static bool session_wait(struct service *svc, struct stream *stream,
                         enum session_wait kind)
{
    struct service_session *session = session_self(svc->frame);
    enum stream_status status;

    if (stream_peek(stream).len > 0)
        return true;
    if (svc->stopping || (svc->retiring && kind == SESSION_WAIT_REQUEST))
        return false;
    if (session)
        session->waiting = kind;
    status = stream_wait_input(stream);
    if (session)
        session->waiting = SESSION_BUSY;
    return status == STREAM_OK && !fiber_cancelled();
}

bool service_session_wait(struct service *svc, struct stream *stream)
{
    return session_wait(svc, stream, SESSION_WAIT_REQUEST);
}

bool service_command_wait(struct service *svc, struct stream *stream)
{
    return session_wait(svc, stream, SESSION_WAIT_COMMAND);
}

void session_cancel_waiting(struct service_frame *frame)
{
    list_each_safe(link, &frame->sessions)
    {
        struct service_session *session =
            list_entry(link, struct service_session, link);

        if (session->waiting == SESSION_WAIT_REQUEST ||
            (session->waiting == SESSION_WAIT_COMMAND && frame->svc.stopping))
            fiber_cancel(session->fiber);
    }
}
