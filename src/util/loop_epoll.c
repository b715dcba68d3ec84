#ifdef __linux__
#include "util/loop_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "util/msg.h"

#define POLL_EVENTS 256

static struct poller {
    int fd;
    int next, count; /* events[next..count) are not yet dispatched */
    struct epoll_event events[POLL_EVENTS];
} poller = {.fd = -1};

void poller_open(void)
{
    if (poller.fd >= 0)
        return;
    poller.fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller.fd < 0)
        msg_fatal("epoll_create1: %s", strerror(errno));
}

void poller_reopen_after_fork(void)
{
    /* The parent's epoll set is shared, so nothing may be removed from it. */
    if (poller.fd >= 0)
        close(poller.fd);
    poller.fd = -1;
    poller.next = poller.count = 0;
    poller_open();
}

int poller_add(struct evfd *ev, bool listener)
{
    struct epoll_event event = {.data.ptr = ev};

    poller_open();
    if (listener)
        event.events = EPOLLIN | EPOLLEXCLUSIVE;
    else
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    return epoll_ctl(poller.fd, EPOLL_CTL_ADD, ev->fd, &event) < 0 ? errno : 0;
}

void poller_remove(struct evfd *ev)
{
    struct epoll_event unused = {0};

    epoll_ctl(poller.fd, EPOLL_CTL_DEL, ev->fd, &unused);
    for (int i = poller.next; i < poller.count; i++) {
        if (poller.events[i].data.ptr == ev)
            poller.events[i].data.ptr = NULL;
    }
}

void poller_wait(int timeout_ms)
{
    int count = epoll_wait(poller.fd, poller.events, POLL_EVENTS, timeout_ms);

    if (count < 0 && errno != EINTR)
        panic("epoll_wait: %s", strerror(errno));
    poller.next = 0;
    poller.count = count > 0 ? count : 0;
}

/* An error is not sticky: reading it (SO_ERROR, recv) clears it, whereas after a
 * hangup a read never says EAGAIN again. */
static unsigned translate(uint32_t events)
{
    unsigned result = 0;

    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        result |= EVFD_READABLE;
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        result |= EVFD_WRITABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP))
        result |= EVFD_HANGUP;
    return result;
}

void poller_dispatch(void)
{
    while (poller.next < poller.count) {
        struct epoll_event *event = &poller.events[poller.next++];

        if (event->data.ptr)
            evfd_deliver(event->data.ptr, translate(event->events));
    }
}
#endif
