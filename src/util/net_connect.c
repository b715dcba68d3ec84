#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/net.h"

/* Pause between attempts to connect to a UNIX socket whose backlog is full. */
#define UNIX_RETRY_MIN_MS 1
#define UNIX_RETRY_MAX_MS 50

static int close_keep_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
    return -1;
}

static int new_socket(int family, int type)
{
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int net_listen(const struct net_addr *addr, int backlog, struct err *err)
{
    char host[NET_ADDR_STRLEN];
    const int on = 1;
    int fd = new_socket(addr->sa.sa_family, SOCK_STREAM);

    net_addr_host(addr, host);
    if (fd < 0) {
        err_set(err, "socket for %s port %d: %s", host, net_addr_port(addr),
                strerror(errno));
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* IPv4 has a socket of its own; without this the two collide. */
    if (addr->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, &addr->sa, addr->len) < 0) {
        err_set(err, "bind %s port %d: %s", host, net_addr_port(addr), strerror(errno));
        return close_keep_errno(fd);
    }
    if (listen(fd, backlog) < 0) {
        err_set(err, "listen %s port %d: %s", host, net_addr_port(addr),
                strerror(errno));
        return close_keep_errno(fd);
    }
    return fd;
}

int net_listen_unix(const char *path, mode_t mode, int type, struct err *err)
{
    struct net_addr addr;
    int fd;

    if (!net_addr_unix(path, &addr)) {
        err_set(err, "path of UNIX socket too long: %s", path);
        return -1;
    }
    fd = new_socket(AF_UNIX, type);
    if (fd < 0) {
        err_set(err, "socket for %s: %s", path, strerror(errno));
        return -1;
    }
    if (unlink(path) < 0 && errno != ENOENT) {
        err_set(err, "remove %s: %s", path, strerror(errno));
        return close_keep_errno(fd);
    }
    if (bind(fd, &addr.sa, addr.len) < 0 || chmod(path, mode) < 0) {
        err_set(err, "bind %s: %s", path, strerror(errno));
        return close_keep_errno(fd);
    }
    if (type != SOCK_DGRAM && listen(fd, SOMAXCONN) < 0) {
        err_set(err, "listen %s: %s", path, strerror(errno));
        return close_keep_errno(fd);
    }
    return fd;
}

static enum net_connect connect_result(enum wait_result wait)
{
    switch (wait) {
    case WAIT_READY:
        return NET_CONNECTED;
    case WAIT_TIMEOUT:
        errno = ETIMEDOUT;
        return NET_TIMEOUT;
    case WAIT_CANCELLED:
        break;
    }
    errno = ECANCELED;
    return NET_CANCELLED;
}

static enum net_connect await_connection(int fd, int64_t deadline)
{
    struct evfd ev;
    enum wait_result wait;
    int error = 0;
    socklen_t len = sizeof error;

    evfd_init(&ev, fd);
    evfd_write_blocked(&ev);
    wait = fiber_wait_writable(&ev, deadline);
    evfd_forget(&ev);
    if (wait != WAIT_READY)
        return connect_result(wait);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    errno = error;
    return error ? NET_FAILED : NET_CONNECTED;
}

enum net_connect net_connect(const struct net_addr *addr,
                             const struct net_addr *bind_to, int64_t deadline,
                             int *fd_out)
{
    const int on = 1;
    enum net_connect result = NET_CONNECTED;
    int fd = new_socket(addr->sa.sa_family, SOCK_STREAM);

    *fd_out = -1;
    if (fd < 0)
        return NET_FAILED;
    if (bind_to && bind_to->len > 0 && bind(fd, &bind_to->sa, bind_to->len) < 0)
        result = NET_FAILED;
    else if (connect(fd, &addr->sa, addr->len) < 0)
        result = errno == EINPROGRESS ? await_connection(fd, deadline) : NET_FAILED;
    if (result != NET_CONNECTED) {
        close_keep_errno(fd);
        return result;
    }
    /* Whole commands are written at a time, so delaying small segments only hurts. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *fd_out = fd;
    return NET_CONNECTED;
}

static enum net_connect pause_for_backlog(int64_t delay_ms, int64_t deadline)
{
    int64_t left = deadline == LOOP_NEVER ? delay_ms : deadline - loop_now();

    if (left <= 0)
        return connect_result(WAIT_TIMEOUT);
    /* A sleep that ends normally may say ready or timeout; only cancelled counts. */
    if (fiber_sleep(left < delay_ms ? left : delay_ms) == WAIT_CANCELLED)
        return connect_result(WAIT_CANCELLED);
    return NET_CONNECTED;
}

enum net_connect net_connect_unix(const char *path, int64_t deadline, int *fd_out)
{
    struct net_addr addr;
    int64_t delay_ms = UNIX_RETRY_MIN_MS;
    enum net_connect result;
    int fd;

    *fd_out = -1;
    if (!net_addr_unix(path, &addr)) {
        errno = ENAMETOOLONG;
        return NET_FAILED;
    }
    fd = new_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return NET_FAILED;
    while (connect(fd, &addr.sa, addr.len) < 0) {
        result = errno == EAGAIN ? pause_for_backlog(delay_ms, deadline) : NET_FAILED;
        if (result != NET_CONNECTED) {
            close_keep_errno(fd);
            return result;
        }
        delay_ms = delay_ms * 2 < UNIX_RETRY_MAX_MS ? delay_ms * 2 : UNIX_RETRY_MAX_MS;
    }
    *fd_out = fd;
    return NET_CONNECTED;
}

int net_connect_unix_blocking(const char *path, int timeout_s)
{
    struct net_addr addr;
    struct timeval limit = {.tv_sec = timeout_s};
    int fd;

    if (!net_addr_unix(path, &addr)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* The send time limit also bounds a connect() that waits for the backlog; the
     * read and write limits then stay for the caller. */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, &addr.sa, addr.len) < 0)
        return close_keep_errno(fd);
    return fd;
}
