/* socketmap:inet:host:port:name and socketmap:unix:path:name: netstrings, "name key"
 * answered by OK, NOTFOUND, TEMP, TIMEOUT or PERM. */
#include <stdlib.h>

#include "table/line_client.h"
#include "table/table_type.h"
#include "util/escape.h"

#define TIMEOUT_S 100

struct socketmap {
    struct table table;
    struct line_client *client;
    const char *map; /* in table->name */
    size_t query_max, reply_max;
};

static struct socketmap *self(const struct table *table)
{
    return (struct socketmap *)table;
}

static bool socketmap_open(struct table *table, struct err *err)
{
    struct socketmap *sm = self(table);
    struct span name = span_str(table->name);
    ssize_t colon = span_rchr(name, ':');
    bool is_unix = span_starts(name, SPAN_LIT("unix:"));

    if (colon < 0)
        return err_set(err, "socketmap requires server:socketmap argument");
    if (colon < 5 || (!is_unix && !span_starts(name, SPAN_LIT("inet:"))))
        return err_set(err, "%s: need service transport:endpoint instead of \"%.*s\"",
                       table->full_name, (int)colon, name.ptr);
    sm->map = table->name + colon + 1;
    sm->query_max = (size_t)table_param_num(table, "socketmap_max_query_size", 10000);
    sm->reply_max = (size_t)table_param_num(table, "socketmap_max_reply_size", 100000);
    sm->client = line_client_new(span_of(name.ptr + 5, (size_t)colon - 5), is_unix,
                                 TIMEOUT_S, err);
    return sm->client || err_prefix(err, "%s", table->full_name);
}

static void socketmap_close(struct table *table)
{
    line_client_free(self(table)->client);
}

/* Where the netstring's text starts, and its length; like a completeness function. */
static ssize_t netstring(const struct socketmap *sm, struct span in, size_t *len_out,
                         struct err *err)
{
    uint64_t len = 0;
    size_t i = 0;

    for (; i < in.len && ascii_digit(in.ptr[i]); i++) {
        len = len * 10 + (uint64_t)(in.ptr[i] - '0');
        if (len > sm->reply_max || i > 20) {
            err_set(err, "input exceeds size limit");
            return -1;
        }
    }
    *len_out = (size_t)len;
    if (i == in.len)
        return 0;
    if (i == 0 || in.ptr[i] != ':') {
        err_set(err, "input format error");
        return -1;
    }
    return (ssize_t)i + 1;
}

static ssize_t reply_complete(void *arg, struct span in, struct err *err)
{
    size_t len;
    ssize_t start = netstring(arg, in, &len, err);

    if (start <= 0 || in.len < (size_t)start + len + 1)
        return start < 0 ? -1 : 0;
    if (in.ptr[(size_t)start + len] != ',') {
        err_set(err, "input format error");
        return -1;
    }
    return start + (ssize_t)len + 1;
}

static void complain(const struct table *table, const char *what, struct span text,
                     struct err *err)
{
    struct strbuf shown = STRBUF_INIT;

    escape_printable(&shown, span_first(text, 200), '?', true);
    err_set(err, "%s socketmap server %s error: %s", table->full_name, what,
            shown.ptr ? shown.ptr : "");
    strbuf_free(&shown);
}

static enum table_status judge(const struct table *table, struct span text,
                               struct strbuf *value, struct err *err)
{
    static const struct {
        const char *word, *meaning;
        enum table_status status;
    } words[] = {{"TEMP", "temporary", TABLE_RETRY},
                 {"TIMEOUT", "timeout", TABLE_RETRY},
                 {"PERM", "permanent", TABLE_BROKEN}};
    struct span word = span_cut(&text, ' ');

    if (span_eq_str(word, "NOTFOUND"))
        return TABLE_NOT_FOUND;
    if (span_eq_str(word, "OK")) {
        strbuf_add_span(value, text);
        return TABLE_FOUND;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!span_eq_str(word, words[i].word))
            continue;
        complain(table, words[i].meaning, text, err);
        return words[i].status;
    }
    complain(table, "unknown", text, err);
    return TABLE_RETRY;
}

static enum table_status socketmap_lookup(struct table *table, struct span key,
                                          struct strbuf *value, struct err *err)
{
    struct socketmap *sm = self(table);
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    enum table_status status = TABLE_RETRY;
    size_t len = strlen(sm->map) + 1 + key.len;

    if (len > sm->query_max) {
        err_set(err, "%s: query of %zu bytes is larger than socketmap_max_query_size",
                table->full_name, len);
        return TABLE_BROKEN;
    }
    strbuf_addf(&request, "%zu:%s ", len, sm->map);
    strbuf_add_span(&request, key);
    strbuf_add_char(&request, ',');
    if (line_client_call(sm->client, strbuf_span(&request), reply_complete, sm, &reply,
                         err)) {
        ssize_t start = netstring(sm, strbuf_span(&reply), &len, err);
        status = judge(table, span_of(reply.ptr + start, len), value, err);
    } else {
        err_prefix(err, "table %s lookup error", table->full_name);
    }
    strbuf_free(&request);
    strbuf_free(&reply);
    return status;
}

extern const struct table_type table_type_socketmap;
const struct table_type table_type_socketmap = {
    .name = "socketmap",
    .size = sizeof(struct socketmap),
    .flags = TABLE_PATTERN | TABLE_BLOCKS,
    .thread_safe = true,
    .open = socketmap_open,
    .close = socketmap_close,
    .lookup = socketmap_lookup,
};
