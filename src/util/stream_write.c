#include "util/stream_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t write_fd(struct stream *s, const void *data, size_t len)
{
    ssize_t sent;

    if (s->is_socket) {
        sent = send(s->ev.fd, data, len, MSG_NOSIGNAL);
        if (sent >= 0 || errno != ENOTSOCK)
            return sent;
        s->is_socket = false;
    }
    return write(s->ev.fd, data, len);
}

/* Write at least one byte, waiting as long as it takes. */
static enum stream_status write_part(struct stream *s, const char *data, size_t len,
                                     size_t *sent_out)
{
    for (;;) {
        enum stream_status status;
        ssize_t sent = write_fd(s, data, len);

        if (sent >= 0) {
            *sent_out = (size_t)sent;
            s->burst += (size_t)sent;
            return STREAM_OK;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return stream_fail(s, errno);
        evfd_write_blocked(&s->ev);
        status = stream_wait(s, true);
        if (status != STREAM_OK)
            return status;
    }
}

static enum stream_status write_failed(struct stream *s, enum stream_status status)
{
    s->write_status = status;
    s->out.start = s->out.end;
    stream_buf_release(&s->out);
    return status;
}

enum stream_status stream_flush(struct stream *s)
{
    if (s->write_status != STREAM_OK)
        return s->write_status;
    while (stream_output_pending(s) > 0) {
        size_t sent = 0;
        enum stream_status status =
            write_part(s, s->out.ptr + s->out.start, stream_output_pending(s), &sent);

        if (status != STREAM_OK)
            return write_failed(s, status);
        s->out.start += sent;
        stream_fairness(s);
    }
    stream_buf_release(&s->out);
    return STREAM_OK;
}

/* What would fill the buffer anyway goes out without being copied. */
static enum stream_status write_direct(struct stream *s, const char **data, size_t *len)
{
    while (*len >= s->bufsize) {
        size_t sent = 0;
        enum stream_status status = write_part(s, *data, *len, &sent);

        if (status != STREAM_OK)
            return write_failed(s, status);
        *data += sent;
        *len -= sent;
        stream_fairness(s);
    }
    return STREAM_OK;
}

static size_t buffer_some(struct stream *s, const char *data, size_t len)
{
    size_t room;

    if (!s->out.ptr)
        stream_buf_room(&s->out, s->bufsize, 1);
    room = s->out.cap - s->out.end;
    if (len > room)
        len = room;
    memcpy(s->out.ptr + s->out.end, data, len);
    s->out.end += len;
    return len;
}

enum stream_status stream_write(struct stream *s, const void *data, size_t len)
{
    const char *from = data;

    if (s->write_status != STREAM_OK)
        return s->write_status;
    while (len > 0) {
        enum stream_status status = STREAM_OK;
        size_t done;

        if (stream_output_pending(s) == 0 && len >= s->bufsize) {
            status = write_direct(s, &from, &len);
        } else {
            done = buffer_some(s, from, len);
            from += done;
            len -= done;
            if (s->out.end == s->out.cap)
                status = stream_flush(s);
        }
        if (status != STREAM_OK)
            return status;
    }
    return STREAM_OK;
}

enum stream_status stream_write_span(struct stream *s, struct span data)
{
    return stream_write(s, data.ptr, data.len);
}

enum stream_status stream_write_str(struct stream *s, const char *str)
{
    return stream_write(s, str, strlen(str));
}

enum stream_status stream_vprintf(struct stream *s, const char *fmt, va_list ap)
{
    char small[512], *text = small;
    enum stream_status status;
    va_list again;
    int len;

    va_copy(again, ap);
    len = vsnprintf(small, sizeof small, fmt, ap);
    if (len < 0)
        panic("stream_vprintf: bad format");
    if ((size_t)len >= sizeof small) {
        text = xmalloc((size_t)len + 1);
        vsnprintf(text, (size_t)len + 1, fmt, again);
    }
    va_end(again);
    status = stream_write(s, text, (size_t)len);
    if (text != small)
        free(text);
    return status;
}

enum stream_status stream_printf(struct stream *s, const char *fmt, ...)
{
    enum stream_status status;
    va_list ap;

    va_start(ap, fmt);
    status = stream_vprintf(s, fmt, ap);
    va_end(ap);
    return status;
}

size_t stream_output_pending(const struct stream *s)
{
    return stream_buf_len(&s->out);
}

enum stream_status stream_write_status(const struct stream *s)
{
    return s->write_status;
}
