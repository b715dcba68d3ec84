#include "util/stream_internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t read_fd(struct stream *s, void *buf, size_t len)
{
    ssize_t got;

    if (s->is_socket) {
        got = recv(s->ev.fd, buf, len, 0);
        if (got >= 0 || errno != ENOTSOCK)
            return got;
        s->is_socket = false;
    }
    return read(s->ev.fd, buf, len);
}

enum read_result { READ_DATA, READ_BLOCKED, READ_ENDED };

/* One attempt, without waiting. READ_ENDED: read_status says how. */
static enum read_result read_once(struct stream *s, size_t total)
{
    size_t room;
    ssize_t got;

    stream_buf_room(&s->in, s->bufsize, total);
    room = s->in.cap - s->in.end;
    do {
        got = read_fd(s, s->in.ptr + s->in.end, room);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        s->in.end += (size_t)got;
        s->burst += (size_t)got;
        /* A socket that gave less than asked for is empty. Terminals are not. */
        if ((size_t)got < room && s->is_socket)
            evfd_read_blocked(&s->ev);
        return READ_DATA;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        evfd_read_blocked(&s->ev);
        s->ev.hangup = false; /* a FIFO that found a new writer */
        return READ_BLOCKED;
    }
    s->read_status = got == 0 ? STREAM_EOF : stream_fail(s, errno);
    return READ_ENDED;
}

/* The reply may be what the peer waits for. That it cannot be written is no reason
 * not to read: the peer may have said why before it closed. */
static enum stream_status flush_before_wait(struct stream *s)
{
    enum stream_status status = STREAM_OK;

    if (stream_output_pending(s) > 0)
        status = stream_flush(s);
    if (status == STREAM_TIMEOUT || status == STREAM_CANCELLED)
        return status;
    return STREAM_OK;
}

/* Saves an attempt that would fail. Past the deadline there is no wait that could
 * show that this changed, so then it is not known. */
static bool known_blocked(const struct stream *s)
{
    return s->ev.registered && !s->ev.readable && !s->ev.hangup &&
           s->deadline > loop_now();
}

/* Add at least one byte to the input buffer, which may grow to total bytes. */
static enum stream_status fill(struct stream *s, size_t total)
{
    if (s->read_status != STREAM_OK)
        return s->read_status;
    for (;;) {
        enum stream_status status;

        if (!known_blocked(s)) {
            switch (read_once(s, total)) {
            case READ_DATA:
                stream_fairness(s);
                return STREAM_OK;
            case READ_ENDED:
                return s->read_status;
            case READ_BLOCKED:
                break;
            }
        }
        status = flush_before_wait(s);
        if (status != STREAM_OK)
            return status;
        stream_buf_release(&s->in);
        status = stream_wait(s, false);
        if (status != STREAM_OK)
            return status;
    }
}

struct span stream_peek(struct stream *s)
{
    if (!s->in.ptr)
        return SPAN_EMPTY;
    return span_of(s->in.ptr + s->in.start, stream_buf_len(&s->in));
}

void stream_consume(struct stream *s, size_t len)
{
    if (len > stream_buf_len(&s->in))
        panic("stream_consume: %zu of %zu bytes", len, stream_buf_len(&s->in));
    s->in.start += len;
}

static struct span take(struct stream *s, size_t len)
{
    struct span data = span_of(s->in.ptr + s->in.start, len);

    s->in.start += len;
    return data;
}

enum stream_status stream_need(struct stream *s, size_t len, struct span *data_out)
{
    while (stream_buf_len(&s->in) < len) {
        enum stream_status status = fill(s, len);

        if (status != STREAM_OK)
            return status;
    }
    *data_out = stream_peek(s);
    return STREAM_OK;
}

enum stream_status stream_wait_input(struct stream *s)
{
    enum stream_status status;

    if (stream_buf_len(&s->in) > 0)
        return STREAM_OK;
    status = fill(s, 1);
    return status == STREAM_EOF ? STREAM_OK : status;
}

size_t stream_input_pending(struct stream *s)
{
    if (stream_buf_len(&s->in) == 0 && s->read_status == STREAM_OK) {
        read_once(s, 1);
        stream_buf_release(&s->in);
    }
    return stream_buf_len(&s->in);
}

enum stream_status stream_read_some(struct stream *s, size_t max, struct span *data_out)
{
    size_t len;

    if (stream_buf_len(&s->in) == 0) {
        enum stream_status status = fill(s, 1);

        if (status != STREAM_OK)
            return status;
    }
    len = stream_buf_len(&s->in);
    *data_out = take(s, len < max ? len : max);
    return STREAM_OK;
}

enum stream_status stream_read_full(struct stream *s, void *buf, size_t len)
{
    char *to = buf;

    while (len > 0) {
        struct span part;
        enum stream_status status = stream_read_some(s, len, &part);

        if (status != STREAM_OK)
            return status;
        memcpy(to, part.ptr, part.len);
        to += part.len;
        len -= part.len;
    }
    return STREAM_OK;
}

/* -- lines -- */

/* Consume the line whose LF is at offset lf. */
static struct span take_line(struct stream *s, size_t lf, int *eol_out)
{
    struct span line = take(s, lf + 1);

    line.len = lf;
    *eol_out = 1;
    if (lf > 0 && line.ptr[lf - 1] == '\r') {
        line.len = lf - 1;
        *eol_out = 2;
    }
    return line;
}

/* Is it certain that the line is longer than max, given no LF in what is there?
 * A CR behind max bytes may yet belong to the line end. */
static bool line_exceeds(struct span have, size_t max)
{
    if (have.len <= max)
        return false;
    return have.ptr[max] != '\r' || have.len > max + 1;
}

static enum stream_status take_last(struct stream *s, size_t max, struct span *line_out)
{
    size_t len = stream_buf_len(&s->in);

    if (len > max) {
        *line_out = take(s, max);
        return STREAM_TOO_LONG;
    }
    *line_out = take(s, len);
    return STREAM_OK;
}

enum stream_status stream_read_line(struct stream *s, size_t max, struct span *line_out,
                                    int *eol_out)
{
    int unused;
    size_t searched = 0;
    enum stream_status status;

    if (!eol_out)
        eol_out = &unused;
    *eol_out = 0;
    for (;;) {
        struct span have = span_first(stream_peek(s), max + 2);
        const char *lf = NULL;

        if (have.len > searched)
            lf = memchr(have.ptr + searched, '\n', have.len - searched);
        if (lf && !line_exceeds(span_of(have.ptr, (size_t)(lf - have.ptr)), max)) {
            *line_out = take_line(s, (size_t)(lf - have.ptr), eol_out);
            return STREAM_OK;
        }
        if (lf || line_exceeds(have, max)) {
            *line_out = take(s, max);
            return STREAM_TOO_LONG;
        }
        searched = have.len;
        status = fill(s, have.len < s->bufsize ? 1 : have.len * 2);
        if (status == STREAM_EOF && searched > 0)
            return take_last(s, max, line_out);
        if (status != STREAM_OK)
            return status;
    }
}
