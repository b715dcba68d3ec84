#include "util/stream_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/fiber_internal.h"

#define BUFSIZE_DEFAULT    8192
#define BUFSIZE_MIN        512
#define BUFSIZE_MAX        (1024 * 1024)
#define TIMEOUT_DEFAULT_MS (3600 * 1000)
/* A fast peer must not keep one fiber running for ever. */
#define BURST_MAX (256 * 1024)

/* Buffers come and go with every wait, so the last few stay at hand. Sanitizers
 * see a use after release only if each is really freed. */
#ifdef FIBER_ASAN
#define KEEP_SPARES false
#else
#define KEEP_SPARES true
#endif
#define SPARE_MAX 64

static struct spare_buffers {
    size_t count;
    char *bufs[SPARE_MAX];
} spare;

static char *buffer_get(size_t size)
{
    if (size == BUFSIZE_DEFAULT && spare.count > 0)
        return spare.bufs[--spare.count];
    return xmalloc(size);
}

static void buffer_put(char *ptr, size_t size)
{
    if (KEEP_SPARES && size == BUFSIZE_DEFAULT && spare.count < SPARE_MAX)
        spare.bufs[spare.count++] = ptr;
    else
        free(ptr);
}

void stream_buf_release(struct stream_buf *buf)
{
    if (!buf->ptr || buf->start != buf->end)
        return;
    buffer_put(buf->ptr, buf->cap);
    memset(buf, 0, sizeof *buf);
}

static void stream_buf_resize(struct stream_buf *buf, size_t cap)
{
    struct stream_buf fresh = {.ptr = buffer_get(cap), .cap = cap};

    fresh.end = stream_buf_len(buf);
    if (fresh.end > 0)
        memcpy(fresh.ptr, buf->ptr + buf->start, fresh.end);
    if (buf->ptr)
        buffer_put(buf->ptr, buf->cap);
    *buf = fresh;
}

void stream_buf_room(struct stream_buf *buf, size_t bufsize, size_t total)
{
    size_t len = stream_buf_len(buf);

    if (total <= len)
        total = len + 1;
    if (len == 0 && buf->cap > bufsize && total <= bufsize)
        stream_buf_release(buf);
    if (total > buf->cap) {
        stream_buf_resize(buf, total > bufsize ? total : bufsize);
        return;
    }
    if (len == 0) {
        buf->start = buf->end = 0;
    } else if (buf->start > 0 &&
               (buf->start + total > buf->cap || buf->cap - buf->end < buf->cap / 4)) {
        /* also when what is left would make for tiny reads */
        memmove(buf->ptr, buf->ptr + buf->start, len);
        buf->start = 0;
        buf->end = len;
    }
}

static void set_fd_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL), fd_flags = fcntl(fd, F_GETFD);

    if (flags < 0 || fd_flags < 0)
        panic("stream_new: descriptor %d: %s", fd, strerror(errno));
    if (!(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (!(fd_flags & FD_CLOEXEC))
        fcntl(fd, F_SETFD, fd_flags | FD_CLOEXEC);
}

struct stream *stream_new(int fd)
{
    struct stream *s = xcalloc(1, sizeof *s);

    set_fd_flags(fd);
    evfd_init(&s->ev, fd);
    s->bufsize = BUFSIZE_DEFAULT;
    s->timeout_ms = TIMEOUT_DEFAULT_MS;
    s->deadline = LOOP_NEVER;
    s->is_socket = true;
    return s;
}

static void drop_buffer(struct stream_buf *buf)
{
    buf->start = buf->end;
    stream_buf_release(buf);
}

int stream_detach(struct stream *s)
{
    int fd = s->ev.fd;

    evfd_forget(&s->ev);
    drop_buffer(&s->in);
    drop_buffer(&s->out);
    free(s);
    return fd;
}

void stream_free(struct stream *s)
{
    if (s)
        close(stream_detach(s));
}

int stream_fd(const struct stream *s)
{
    return s->ev.fd;
}

int stream_errno(const struct stream *s)
{
    return s->error;
}

const char *stream_status_text(enum stream_status status)
{
    static const char *const text[] = {
        [STREAM_OK] = "success",
        [STREAM_EOF] = "lost connection",
        [STREAM_TIMEOUT] = "timeout",
        [STREAM_CANCELLED] = "cancelled",
        [STREAM_TOO_LONG] = "line too long",
        [STREAM_ERROR] = "lost connection",
    };

    return text[status];
}

void stream_set_timeout(struct stream *s, int64_t timeout_ms)
{
    s->timeout_ms = timeout_ms;
}

void stream_set_deadline(struct stream *s, int64_t deadline)
{
    s->deadline = deadline;
}

void stream_set_bufsize(struct stream *s, size_t bytes)
{
    if (bytes < BUFSIZE_MIN)
        bytes = BUFSIZE_MIN;
    if (bytes > BUFSIZE_MAX)
        bytes = BUFSIZE_MAX;
    s->bufsize = bytes;
}

bool stream_peer_closed(const struct stream *s)
{
    return s->ev.hangup || s->read_status == STREAM_EOF;
}

enum stream_status stream_fail(struct stream *s, int error)
{
    s->error = error;
    return STREAM_ERROR;
}

enum stream_status stream_wait(struct stream *s, bool to_write)
{
    int64_t deadline = loop_deadline(s->timeout_ms);
    enum wait_result result;

    if (deadline > s->deadline)
        deadline = s->deadline;
    s->burst = 0;
    result = to_write ? fiber_wait_writable(&s->ev, deadline)
                      : fiber_wait_readable(&s->ev, deadline);
    switch (result) {
    case WAIT_READY:
        return STREAM_OK;
    case WAIT_TIMEOUT:
        s->error = ETIMEDOUT;
        return STREAM_TIMEOUT;
    case WAIT_CANCELLED:
        break;
    }
    s->error = ECANCELED;
    return STREAM_CANCELLED;
}

void stream_fairness(struct stream *s)
{
    if (s->burst < BURST_MAX)
        return;
    s->burst = 0;
    if (fiber_self())
        fiber_yield();
}
