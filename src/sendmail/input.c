#include "sendmail/input.h"

#include <errno.h>
#include <unistd.h>

#define READ_BYTES 65536

void input_init(struct input *in, int fd)
{
    *in = (struct input){.fd = fd};
    strbuf_init(&in->buf);
}

void input_free(struct input *in)
{
    strbuf_free(&in->buf);
}

static void read_more(struct input *in)
{
    ssize_t got;

    strbuf_consume(&in->buf, in->used);
    in->used = 0;
    strbuf_reserve(&in->buf, READ_BYTES);
    do {
        got = read(in->fd, in->buf.ptr + in->buf.len, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        in->error = errno;
    if (got <= 0)
        in->ended = true;
    else
        in->buf.len += (size_t)got;
    in->buf.ptr[in->buf.len] = '\0';
}

static bool take(struct input *in, size_t len, size_t skip, bool end,
                 struct span *line_out, bool *end_out)
{
    *line_out = span_of(in->buf.ptr + in->used, len);
    *end_out = end;
    in->used += len + skip;
    return true;
}

bool input_line(struct input *in, size_t max, struct span *line_out, bool *end_out)
{
    struct span have;
    ssize_t eol;

    for (;;) {
        have = span_skip(strbuf_span(&in->buf), in->used);
        eol = span_chr(span_first(have, max + 1), '\n');
        if (eol >= 0)
            return take(in, (size_t)eol, 1, true, line_out, end_out);
        if (have.len > max && max > 1 && have.ptr[max - 1] == '\r')
            return take(in, max - 1, 0, false, line_out, end_out);
        if (have.len > max)
            return take(in, max, 0, false, line_out, end_out);
        if (in->ended)
            break;
        read_more(in);
    }
    if (in->error || have.len == 0)
        return false;
    return take(in, have.len, 0, true, line_out, end_out);
}
