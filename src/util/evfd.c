#include "util/loop_internal.h"

#include <errno.h>

#include "util/msg.h"

void evfd_init(struct evfd *ev, int fd)
{
    memset(ev, 0, sizeof *ev);
    ev->fd = fd;
}

static bool evfd_add(struct evfd *ev, bool listener)
{
    int error;

    /* Before poller_add: from there on events can set these. */
    ev->readable = ev->writable = ev->hangup = false;
    error = poller_add(ev, listener);
    if (error == EBADF || error == EEXIST)
        panic("evfd: cannot watch descriptor %d: %s", ev->fd, strerror(error));
    if (error == EPERM) {
        ev->readable = ev->writable = true;
        return true;
    }
    if (error) {
        msg_warn("cannot watch descriptor %d: %s", ev->fd, strerror(error));
        return false;
    }
    ev->registered = true;
    return true;
}

bool evfd_register(struct evfd *ev)
{
    return ev->registered || evfd_add(ev, false);
}

void evfd_watch(struct evfd *ev, void (*on_ready)(struct evfd *, void *), void *arg)
{
    ev->on_ready = on_ready;
    ev->arg = arg;
    evfd_register(ev);
}

void evfd_watch_listener(struct evfd *ev, void (*on_ready)(struct evfd *, void *),
                         void *arg)
{
    ev->on_ready = on_ready;
    ev->arg = arg;
    if (!ev->registered)
        evfd_add(ev, true);
}

void evfd_deliver(struct evfd *ev, unsigned events)
{
    if (events & EVFD_READABLE)
        ev->readable = true;
    if (events & EVFD_WRITABLE)
        ev->writable = true;
    if (events & EVFD_HANGUP)
        ev->hangup = true;
    if (ev->reader && (ev->readable || ev->hangup))
        fiber_end_wait(ev->reader, WAIT_READY);
    if (ev->writer && ev->writable)
        fiber_end_wait(ev->writer, WAIT_READY);
    if (ev->on_ready)
        ev->on_ready(ev, ev->arg);
}

void evfd_forget(struct evfd *ev)
{
    if (ev->reader)
        fiber_end_wait(ev->reader, WAIT_CANCELLED);
    if (ev->writer)
        fiber_end_wait(ev->writer, WAIT_CANCELLED);
    if (ev->registered)
        poller_remove(ev);
    ev->registered = false;
    ev->on_ready = NULL;
}
