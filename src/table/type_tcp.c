/* tcp:host:port: "get KEY" LF is answered by "200 VALUE", "500 TEXT" (not found) or
 * "400 TEXT" (later); keys and values have %XX for what is not printable. */
#include <stdlib.h>

#include "table/line_client.h"
#include "table/table_type.h"
#include "table/tcp_reply.h"
#include "util/escape.h"

#define TIMEOUT_S 100

struct tcp {
    struct table table;
    struct line_client *client;
};

static bool tcp_open(struct table *table, struct err *err)
{
    struct tcp *tcp = (struct tcp *)table;

    tcp->client = line_client_new(span_str(table->name), false, TIMEOUT_S, err);
    return tcp->client || err_prefix(err, "%s", table->full_name);
}

static void tcp_close(struct table *table)
{
    line_client_free(((struct tcp *)table)->client);
}

ssize_t tcp_reply_complete(void *arg UNUSED, struct span in, struct err *err)
{
    ssize_t end = span_chr(in, '\n');

    if (end >= 0 ? end > TCP_REPLY_MAX : in.len > TCP_REPLY_MAX) {
        err_set(err, "text longer than %d", TCP_REPLY_MAX);
        return -1;
    }
    return end + 1;
}

static void encode(struct strbuf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 32 || c >= 127 || c == '%')
            strbuf_addf(out, "%%%02X", c);
        else
            strbuf_add_char(out, (char)c);
    }
}

static int hex_digit(char c)
{
    if (ascii_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct strbuf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%') {
            strbuf_add_char(out, text.ptr[i]);
            continue;
        }
        int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;
        if (low < 0)
            return false;
        strbuf_add_char(out, (char)(high * 16 + low));
        i += 2;
    }
    return true;
}

static void complain(const char *server, const char *what, struct span text,
                     struct err *err)
{
    struct strbuf shown = STRBUF_INIT;

    escape_printable(&shown, span_first(text, 200), '?', true);
    err_set(err, "TCP map %s: %s: %s", server, what, shown.ptr ? shown.ptr : "");
    strbuf_free(&shown);
}

enum table_status tcp_reply_judge(const char *server, struct span line,
                                  struct strbuf *value, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    enum table_status status = TABLE_RETRY;
    struct span code = span_first(line, 4);

    if (line.len < 4 || !span_all_digits(span_first(line, 3)) || line.ptr[3] != ' ' ||
        !decode(&text, span_skip(line, 4)))
        complain(server, "malformed reply", line, err);
    else if (span_eq_str(code, "200 "))
        status = TABLE_FOUND;
    else if (span_eq_str(code, "500 "))
        status = TABLE_NOT_FOUND;
    else if (span_eq_str(code, "400 "))
        complain(server, "temporary error", strbuf_span(&text), err);
    else
        complain(server, "bad status code", line, err);
    if (status == TABLE_FOUND)
        strbuf_add_span(value, strbuf_span(&text));
    strbuf_free(&text);
    return status;
}

static enum table_status tcp_lookup(struct table *table, struct span key,
                                    struct strbuf *value, struct err *err)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    enum table_status status = TABLE_RETRY;

    strbuf_add_str(&request, "get ");
    encode(&request, key);
    strbuf_add_char(&request, '\n');
    if (line_client_call(((struct tcp *)table)->client, strbuf_span(&request),
                         tcp_reply_complete, NULL, &reply, err)) {
        while (reply.len > 0 &&
               (reply.ptr[reply.len - 1] == '\n' || reply.ptr[reply.len - 1] == '\r'))
            strbuf_truncate(&reply, reply.len - 1);
        status = tcp_reply_judge(table->name, strbuf_span(&reply), value, err);
    } else {
        err_prefix(err, "TCP map %s", table->name);
    }
    strbuf_free(&request);
    strbuf_free(&reply);
    return status;
}

extern const struct table_type table_type_tcp;
const struct table_type table_type_tcp = {
    .name = "tcp",
    .size = sizeof(struct tcp),
    .flags = TABLE_PATTERN | TABLE_BLOCKS,
    .thread_safe = true,
    .open = tcp_open,
    .close = tcp_close,
    .lookup = tcp_lookup,
};
