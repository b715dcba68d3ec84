#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "table/proxy.h"
#include "table/table_type.h"
#include "util/frame.h"
#include "util/net.h"

#define TRIES    3
#define PAUSE_US 500000

static bool send_all(int fd, struct span data)
{
    while (data.len > 0) {
        ssize_t sent = send(fd, data.ptr, data.len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        data = span_skip(data, (size_t)sent);
    }
    return true;
}

/* errno 0: the server has closed the connection. */
static bool read_frame(int fd, struct strbuf *in, struct frame *frame)
{
    size_t used;

    for (;;) {
        enum frame_parse parse = frame_parse(strbuf_span(in), frame, &used);

        if (parse == FRAME_COMPLETE)
            return true;
        errno = EPROTO;
        if (parse == FRAME_BROKEN)
            return false;
        strbuf_reserve(in, 4096);
        ssize_t got = recv(fd, in->ptr + in->len, 4096, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got < 0 ? errno : 0;
            return false;
        }
        in->len += (size_t)got;
        in->ptr[in->len] = '\0';
    }
}

static bool exchange(int fd, struct span out, struct strbuf *reply)
{
    struct strbuf in = STRBUF_INIT;
    struct frame frame;
    bool ok = send_all(fd, out) && read_frame(fd, &in, &frame);

    if (ok) {
        strbuf_reset(reply);
        strbuf_add_span(reply, frame.body);
    }
    strbuf_free(&in);
    return ok;
}

static int connect_patiently(const char *path, int64_t timeout_s)
{
    int fd = -1;

    for (int i = 0; i < TRIES && fd < 0; i++) {
        if (i > 0)
            usleep(PAUSE_US);
        fd = net_connect_unix_blocking(path, (int)timeout_s);
        if (fd < 0 && errno == EACCES)
            break;
    }
    return fd;
}

static bool try_once(int *fd, const char *path, int64_t timeout_s,
                     const struct strbuf *frame, struct strbuf *reply, struct err *err)
{
    struct strbuf out = STRBUF_INIT;

    if (*fd < 0) {
        *fd = connect_patiently(path, timeout_s);
        if (*fd < 0)
            return err_set(err, "connect to subsystem %s: %s", path, strerror(errno));
        strbuf_add(&out, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN);
    }
    strbuf_add_span(&out, strbuf_span(frame));
    errno = 0;
    bool ok = exchange(*fd, strbuf_span(&out), reply);
    if (!ok) {
        err_set(err, "problem talking to service %s: %s", path,
                errno ? strerror(errno) : "connection lost");
        close(*fd);
        *fd = -1;
    }
    strbuf_free(&out);
    return ok;
}

bool proxy_call_blocking(int *fd, const char *path, int64_t timeout_s,
                         const struct strbuf *request, struct strbuf *reply,
                         struct err *err)
{
    struct strbuf frame = STRBUF_INIT;
    size_t mark = frame_begin(&frame, 1);
    bool had_connection = *fd >= 0;

    strbuf_add_span(&frame, strbuf_span(request));
    frame_end(&frame, mark);
    bool ok = try_once(fd, path, timeout_s, &frame, reply, err);
    /* A server that has been restarted, or that ended just now: once more. */
    if (!ok && (had_connection || errno == 0 || errno == ECONNRESET || errno == EPIPE))
        ok = try_once(fd, path, timeout_s, &frame, reply, err);
    strbuf_free(&frame);
    return ok;
}

static unsigned guess_members(struct span inside)
{
    struct span name;
    unsigned kinds = 0;

    while (table_next_element(&inside, &name))
        kinds |= proxy_guess_flags(name);
    return kinds & TABLE_PATTERN ? TABLE_PATTERN : TABLE_FIXED;
}

unsigned proxy_guess_flags(struct span name)
{
    ssize_t colon = span_chr(name, ':');

    if (colon < 0)
        return TABLE_FIXED;
    struct span type = span_first(name, (size_t)colon);
    struct span rest = span_skip(name, (size_t)colon + 1);
    if (span_eq_str(type, "proxy") || span_eq_str(type, "debug"))
        return proxy_guess_flags(rest);
    if (span_eq_str(type, "unionmap") || span_eq_str(type, "pipemap"))
        return guess_members(rest.len > 2 ? span_of(rest.ptr + 1, rest.len - 2) : rest);
    const struct table_type *found = table_type_find(type);
    unsigned kinds = found ? found->flags & (TABLE_FIXED | TABLE_PATTERN) : 0;
    return kinds ? kinds : TABLE_FIXED;
}
