#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "util/msg.h"

/* Few at a time, so that connections spread over the processes of a service. */
#define ACCEPT_BURST   4
#define DATAGRAM_BURST 64
#define DATAGRAM_DRAIN 4096
#define DATAGRAM_MAX   65536
#define PAUSE_MS       1000 /* after descriptors ran out */

static bool has_room(const struct service_frame *frame)
{
    return !frame->svc.retiring && frame->svc.session_count < frame->quota;
}

static void accept_resume(void *arg)
{
    accept_update(arg);
}

/* What will not go away by trying again at once. */
static void accept_trouble(struct service_frame *frame)
{
    msg_warn("accept connection: %s", strerror(errno));
    for (size_t i = 0; i < frame->listener_count; i++) {
        evfd_forget(&frame->listeners[i].ev);
        frame->listeners[i].watched = false;
    }
    loop_timer_set(&frame->accept_timer, PAUSE_MS, accept_resume, frame);
}

static bool accept_one(struct service_listener *listener)
{
    struct service_frame *frame = listener->frame;
    struct net_addr peer;
    int fd;

    peer.len = sizeof peer.ss;
    fd = accept4(listener->ev.fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (peer.len < sizeof peer.sa || peer.sa.sa_family == AF_UNIX)
            peer.len = 0;
        session_spawn(frame, fd, &peer);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        accept_trouble(frame);
    return errno == EINTR || errno == ECONNABORTED;
}

static void accept_some(struct service_listener *listener)
{
    for (int i = 0; i < ACCEPT_BURST && has_room(listener->frame); i++) {
        if (!accept_one(listener))
            break;
    }
    accept_update(listener->frame);
}

/* False when nothing more is there. */
static bool datagram_one(struct service_frame *frame, int fd, char *buf)
{
    ssize_t len = recv(fd, buf, DATAGRAM_MAX, MSG_DONTWAIT);

    if (len < 0)
        return errno == EINTR;
    frame->served++;
    frame->svc.ops->datagram(&frame->svc, span_of(buf, (size_t)len));
    return true;
}

static void datagram_some(struct service_listener *listener, int max)
{
    char buf[DATAGRAM_MAX];

    for (int i = 0; i < max; i++) {
        if (!datagram_one(listener->frame, listener->ev.fd, buf))
            break;
    }
    life_changed(listener->frame);
}

static void fifo_some(struct service_listener *listener)
{
    struct service_frame *frame = listener->frame;
    char buf[512];
    ssize_t len = read(listener->ev.fd, buf, sizeof buf);

    if (len > 0)
        session_trigger(frame, span_of(buf, (size_t)len));
}

static void on_listener_ready(struct evfd *ev, void *arg)
{
    struct service_listener *listener = arg;

    evfd_read_blocked(ev);
    if (listener->frame->svc.ops->datagram)
        datagram_some(listener, DATAGRAM_BURST);
    else if (strcmp(listener->frame->svc.type, "fifo") == 0)
        fifo_some(listener);
    else
        accept_some(listener);
}

void accept_update(struct service_frame *frame)
{
    bool room = frame->accepting && has_room(frame);

    for (size_t i = 0; i < frame->listener_count; i++) {
        struct service_listener *listener = &frame->listeners[i];

        if (room && !listener->watched)
            evfd_watch_listener(&listener->ev, on_listener_ready, listener);
        else if (!room && listener->watched)
            evfd_forget(&listener->ev);
        listener->watched = room;
    }
}

void accept_look(struct service_frame *frame)
{
    for (size_t i = 0; frame->accepting && i < frame->listener_count; i++) {
        if (has_room(frame))
            on_listener_ready(&frame->listeners[i].ev, &frame->listeners[i]);
    }
}

void accept_start(struct service_frame *frame)
{
    frame->listener_count = frame->args.listener_count;
    frame->listeners =
        arena_alloc(frame->svc.arena, frame->listener_count * sizeof *frame->listeners);
    for (size_t i = 0; i < frame->listener_count; i++) {
        struct service_listener *listener = &frame->listeners[i];
        int fd = SERVICE_LISTENER_FD + (int)i;

        listener->frame = frame;
        net_set_nonblocking(fd, true);
        net_set_cloexec(fd, true);
        evfd_init(&listener->ev, fd);
    }
    frame->accepting = true;
    accept_update(frame);
}

/* Datagrams that have arrived are this process's to handle: its successor may be
 * a long time coming. */
void accept_close(struct service_frame *frame)
{
    if (!frame->accepting)
        return;
    frame->accepting = false;
    accept_update(frame);
    loop_timer_cancel(&frame->accept_timer);
    for (size_t i = 0; i < frame->listener_count; i++) {
        if (frame->svc.ops->datagram)
            datagram_some(&frame->listeners[i], DATAGRAM_DRAIN);
        close(frame->listeners[i].ev.fd);
    }
}
