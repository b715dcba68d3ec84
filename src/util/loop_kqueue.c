#ifndef __linux__
#include "util/loop_internal.h"

#include <errno.h>
#include <sys/event.h>
#include <time.h>
#include <unistd.h>

#include "util/msg.h"

#define POLL_EVENTS 256

static struct poller {
    int fd;
    int next, count; /* events[next..count) are not yet dispatched */
    struct kevent events[POLL_EVENTS];
} poller = {.fd = -1};

void poller_open(void)
{
    if (poller.fd >= 0)
        return;
    poller.fd = kqueue();
    if (poller.fd < 0)
        msg_fatal("kqueue: %s", strerror(errno));
}

/* A child does not inherit its parent's kqueue. */
void poller_reopen_after_fork(void)
{
    poller.fd = -1;
    poller.next = poller.count = 0;
    poller_open();
}

int poller_add(struct evfd *ev, bool listener)
{
    struct kevent changes[2];

    poller_open();
    EV_SET(&changes[0], ev->fd, EVFILT_READ, EV_ADD | (listener ? 0 : EV_CLEAR), 0, 0,
           ev);
    EV_SET(&changes[1], ev->fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, ev);
    if (kevent(poller.fd, &changes[0], 1, NULL, 0, NULL) < 0)
        return errno == EINVAL ? EPERM : errno;
    if (listener)
        return 0;
    /* One end of a pipe may refuse the other direction. */
    kevent(poller.fd, &changes[1], 1, NULL, 0, NULL);
    return 0;
}

void poller_remove(struct evfd *ev)
{
    struct kevent change;

    EV_SET(&change, ev->fd, EVFILT_READ, EV_DELETE, 0, 0, NULL);
    kevent(poller.fd, &change, 1, NULL, 0, NULL);
    EV_SET(&change, ev->fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
    kevent(poller.fd, &change, 1, NULL, 0, NULL);
    for (int i = poller.next; i < poller.count; i++) {
        if (poller.events[i].udata == ev)
            poller.events[i].udata = NULL;
    }
}

void poller_wait(int timeout_ms)
{
    struct timespec ts = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    int count = kevent(poller.fd, NULL, 0, poller.events, POLL_EVENTS,
                       timeout_ms < 0 ? NULL : &ts);

    if (count < 0 && errno != EINTR)
        panic("kevent: %s", strerror(errno));
    poller.next = 0;
    poller.count = count > 0 ? count : 0;
}

static unsigned translate(const struct kevent *event)
{
    if (event->filter == EVFILT_WRITE)
        return EVFD_WRITABLE;
    return EVFD_READABLE | (event->flags & EV_EOF ? EVFD_HANGUP : 0);
}

void poller_dispatch(void)
{
    while (poller.next < poller.count) {
        struct kevent *event = &poller.events[poller.next++];

        if (event->udata)
            evfd_deliver((struct evfd *)event->udata, translate(event));
    }
}
#endif
