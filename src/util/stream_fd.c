#include "util/stream_internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

/* Room for more than the one we expect, so that surplus ones can be closed. */
#define FDS_MAX 8

union control {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

enum stream_status stream_send_fd(struct stream *s, int fd)
{
    enum stream_status status = stream_flush(s);
    union control control = {.space = {0}};
    struct iovec iov = {.iov_base = "", .iov_len = 1};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = CMSG_SPACE(sizeof(int)),
    };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    while (status == STREAM_OK) {
        if (sendmsg(s->ev.fd, &msg, MSG_NOSIGNAL) == 1)
            return STREAM_OK;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            evfd_write_blocked(&s->ev);
            status = stream_wait(s, true);
        } else {
            status = stream_fail(s, errno);
        }
    }
    s->write_status = status;
    return status;
}

/* The first descriptor received, or -1; any others are closed. */
static int received_fd(struct msghdr *msg)
{
    int first = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (first < 0)
                first = fd;
            else
                close(fd);
        }
    }
    return first;
}

/* One attempt; the result is as of recvmsg. */
static ssize_t recv_fd_once(struct stream *s, int *fd_out)
{
    char byte;
    union control control;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof control.space,
    };
    ssize_t got = recvmsg(s->ev.fd, &msg, MSG_CMSG_CLOEXEC);

    *fd_out = got > 0 ? received_fd(&msg) : -1;
    return got;
}

enum stream_status stream_recv_fd(struct stream *s, int *fd_out)
{
    *fd_out = -1;
    if (stream_buf_len(&s->in) > 0) /* we have read past the descriptor */
        return stream_fail(s, EPROTO);
    while (s->read_status == STREAM_OK) {
        enum stream_status status;
        ssize_t got = recv_fd_once(s, fd_out);

        if (got > 0)
            return *fd_out >= 0 ? STREAM_OK : stream_fail(s, EPROTO);
        if (got == 0) {
            s->read_status = STREAM_EOF;
            break;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            s->read_status = stream_fail(s, errno);
            break;
        }
        evfd_read_blocked(&s->ev);
        status = stream_output_pending(s) > 0 ? stream_flush(s) : STREAM_OK;
        if (status == STREAM_OK)
            status = stream_wait(s, false);
        if (status != STREAM_OK)
            return status;
    }
    return s->read_status;
}
