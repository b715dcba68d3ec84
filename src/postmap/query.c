#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "postmap/postmap.h"
#include "table/source.h"
#include "util/escape.h"
#include "util/file.h"
#include "util/msg.h"

#define INPUT_SIZE  ((size_t)64 * 1024)
#define OUTPUT_SIZE ((size_t)64 * 1024)
#define KEY_MAX     ((size_t)16 << 20)
#define MESSAGE_MAX ((size_t)4 << 30)

/* The tables of the command line, opened when first needed. */
struct tables {
    const struct postmap *pm;
    char **names;
    struct table **open;
    size_t count;
    enum table_mode mode;
    struct arena *arena;
    struct strbuf out; /* not written yet */
    bool found;        /* anything */
};

static void tables_init(struct tables *ts, const struct postmap *pm, char **names,
                        enum table_mode mode)
{
    *ts = (struct tables){.pm = pm, .names = names, .mode = mode, .arena = arena_new()};
    strbuf_init(&ts->out);
    while (names[ts->count])
        ts->count++;
    ts->open = xcalloc(ts->count, sizeof(*ts->open));
}

static void flush_output(struct tables *ts)
{
    if (!file_write_full(STDOUT_FILENO, ts->out.ptr, ts->out.len))
        msg_fatal("write error on standard output: %s", strerror(errno));
    strbuf_reset(&ts->out);
}

static int tables_end(struct tables *ts)
{
    flush_output(ts);
    for (size_t i = 0; i < ts->count; i++)
        table_close(ts->open[i]);
    free(ts->open);
    arena_free(ts->arena);
    strbuf_free(&ts->out);
    return ts->found ? 0 : 1;
}

/* What was found so far must be seen in front of the error. */
static _Noreturn void die(struct tables *ts, const char *text)
{
    flush_output(ts);
    msg_fatal("%s", text);
}

static struct table *get_table(struct tables *ts, size_t i)
{
    struct err err;

    if (!ts->open[i])
        ts->open[i] =
            table_open(ts->pm->env, ts->names[i], ts->mode, ts->pm->flags, &err);
    if (!ts->open[i])
        die(ts, err.text);
    return ts->open[i];
}

static _Noreturn void die_of(struct tables *ts, const struct table *table,
                             const char *what, const struct err *err)
{
    struct err all;

    err_set(&all, "table %s: %s error%s%s", table_name(table), what,
            err->text[0] ? ": " : "", err->text);
    die(ts, all.text);
}

static void warn_of_empty(const struct table *table, struct span key)
{
    struct strbuf shown = STRBUF_INIT;

    escape_printable(&shown, key, '?', true);
    msg_warn("table %s: key %s: empty string result is not allowed", table_name(table),
             shown.ptr);
    msg_warn("table %s should return NO RESULT in case of NOT FOUND",
             table_name(table));
    strbuf_free(&shown);
}

static const char *find(struct tables *ts, struct span key)
{
    struct err err;
    const char *value;

    arena_reset(ts->arena);
    for (size_t i = 0; i < ts->count; i++) {
        struct table *table = get_table(ts, i);
        switch (table_lookup(table, key, ts->arena, &value, &err)) {
        case TABLE_FOUND:
            if (!value[0])
                warn_of_empty(table, key);
            return value;
        case TABLE_NOT_FOUND:
            break;
        case TABLE_RETRY:
        case TABLE_BROKEN:
            die_of(ts, table, "query", &err);
        }
    }
    return NULL;
}

/* -- output -- */

static void put_json(struct strbuf *out, struct span key, struct span value)
{
    strbuf_add_str(out, "{\"key\": ");
    json_string(out, key);
    strbuf_add_str(out, ", \"value\": ");
    json_string(out, value);
    strbuf_add_str(out, "}\n");
}

static void put_pair(struct tables *ts, struct span key, struct span value)
{
    struct strbuf *out = &ts->out;

    if (ts->pm->json) {
        put_json(out, key, value);
    } else {
        strbuf_add_span(out, key);
        strbuf_add_str(out, ts->pm->is_alias ? ":\t" : "\t");
        strbuf_add_span(out, value);
        strbuf_add_char(out, '\n');
    }
    if (out->len >= OUTPUT_SIZE)
        flush_output(ts);
}

static void put_value(struct tables *ts, struct span key, struct span value)
{
    if (ts->pm->json) {
        put_json(&ts->out, key, value);
    } else {
        strbuf_add_span(&ts->out, value);
        strbuf_add_char(&ts->out, '\n');
    }
}

/* -- keys from standard input -- */

static void each_line(struct strbuf *input, bool at_end,
                      void (*use)(struct tables *ts, struct span key),
                      struct tables *ts)
{
    struct span rest = strbuf_span(input);

    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        if (!end && !at_end)
            break;
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        const char *nul = memchr(rest.ptr, '\0', len);
        use(ts, span_first(rest, nul ? (size_t)(nul - rest.ptr) : len));
        rest = span_skip(rest, end ? len + 1 : len);
    }
    strbuf_consume(input, input->len - rest.len);
}

/* Whoever writes keys through a pipe gets the answers so far before the next read. */
static void each_stdin_key(struct tables *ts,
                           void (*use)(struct tables *ts, struct span key))
{
    struct strbuf input = STRBUF_INIT;
    ssize_t count;

    do {
        flush_output(ts);
        strbuf_reserve(&input, INPUT_SIZE);
        count = read(STDIN_FILENO, input.ptr + input.len, INPUT_SIZE);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            msg_fatal("read stdin: %s", strerror(errno));
        input.len += (size_t)count;
        input.ptr[input.len] = '\0';
        each_line(&input, count == 0, use, ts);
        if (input.len > KEY_MAX)
            msg_fatal("read stdin: a line is longer than %zu bytes", KEY_MAX);
    } while (count != 0);
    strbuf_free(&input);
}

static void query_key(struct tables *ts, struct span key)
{
    const char *value = find(ts, key);

    if (value)
        put_pair(ts, key, span_str(value));
    ts->found |= value != NULL;
}

static void query_text(void *arg, struct span text)
{
    query_key(arg, text);
}

static void query_message(struct tables *ts)
{
    struct strbuf message = STRBUF_INIT;
    struct err err;

    if (!source_read_fd(STDIN_FILENO, MESSAGE_MAX, &message, &err))
        msg_fatal("read stdin: %s", err.text);
    content_scan(strbuf_span(&message), &ts->pm->content, query_text, ts);
    strbuf_free(&message);
}

int postmap_query(const struct postmap *pm, char **names, const char *key)
{
    struct tables ts;

    tables_init(&ts, pm, names, TABLE_READ);
    if (pm->content.headers || pm->content.body) {
        query_message(&ts);
    } else if (strcmp(key, "-") == 0) {
        each_stdin_key(&ts, query_key);
    } else {
        const char *value = find(&ts, span_str(key));
        if (value)
            put_value(&ts, span_str(key), span_str(value));
        ts.found = value != NULL;
    }
    return tables_end(&ts);
}

/* -- deleting -- */

static void delete_key(struct tables *ts, struct span key)
{
    struct err err;

    for (size_t i = 0; i < ts->count; i++) {
        struct table *table = get_table(ts, i);
        enum table_status status = table_delete(table, key, &err);
        if (status == TABLE_RETRY || status == TABLE_BROKEN)
            die(ts, err.text);
        ts->found |= status == TABLE_FOUND;
    }
}

/* Deleting creates nothing: a table that is not there is an error. */
static void must_exist(const struct postmap *pm, char **names)
{
    for (size_t i = 0; names[i]; i++) {
        struct err err;
        ssize_t colon = span_chr(span_str(names[i]), ':');
        if (!table_type_is_buildable(span_of(names[i], (size_t)colon)))
            continue; /* has no index */
        struct table *table =
            table_open(pm->env, names[i], TABLE_READ, pm->flags, &err);
        if (!table)
            msg_fatal("%s", err.text);
        table_close(table);
    }
}

int postmap_delete(const struct postmap *pm, char **names, const char *key)
{
    struct tables ts;

    must_exist(pm, names);
    tables_init(&ts, pm, names, TABLE_WRITE);
    if (strcmp(key, "-") == 0)
        each_stdin_key(&ts, delete_key);
    else
        delete_key(&ts, span_str(key));
    return tables_end(&ts);
}

/* -- listing -- */

static void dump_entry(struct tables *ts, const struct table *table, struct span key,
                       struct span value)
{
    if (key.len == 0)
        msg_warn("table %s: empty lookup key value is not allowed", table_name(table));
    else if (value.len == 0)
        warn_of_empty(table, key);
    put_pair(ts, key, value);
}

/* Of several tables the first, as it has always been. */
int postmap_dump(const struct postmap *pm, char **names)
{
    struct tables ts;
    struct span key, value;
    struct err err;
    enum table_status status;

    tables_init(&ts, pm, names, TABLE_READ);
    struct table *table = get_table(&ts, 0);
    for (bool first = true;; first = false) {
        status = table_next(table, first, &key, &value, &err);
        if (status != TABLE_FOUND)
            break;
        dump_entry(&ts, table, key, value);
    }
    if (status != TABLE_NOT_FOUND)
        die(&ts, err.text);
    ts.found = true;
    return tables_end(&ts);
}
