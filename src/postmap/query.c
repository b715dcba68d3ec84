#include <stdio.h>
#include <stdlib.h>

#include "postmap/postmap.h"
#include "util/msg.h"

/* The tables of the command line, opened when first needed. */
struct tables {
    const struct postmap *pm;
    char **names;
    struct table **open;
    size_t count;
    enum table_mode mode;
    struct arena *arena;
};

static void tables_init(struct tables *ts, const struct postmap *pm, char **names,
                        enum table_mode mode)
{
    *ts = (struct tables){.pm = pm, .names = names, .mode = mode, .arena = arena_new()};
    while (names[ts->count])
        ts->count++;
    ts->open = xcalloc(ts->count, sizeof(*ts->open));
}

static void tables_free(struct tables *ts)
{
    for (size_t i = 0; i < ts->count; i++)
        table_close(ts->open[i]);
    free(ts->open);
    arena_free(ts->arena);
}

static struct table *get_table(struct tables *ts, size_t i)
{
    struct err err;

    if (!ts->open[i])
        ts->open[i] =
            table_open(ts->pm->env, ts->names[i], ts->mode, ts->pm->flags, &err);
    if (!ts->open[i])
        msg_fatal("%s", err.text);
    return ts->open[i];
}

static _Noreturn void die(const struct table *table, const char *what,
                          const struct err *err)
{
    if (err->text[0])
        msg_fatal("table %s: %s error: %s", table_name(table), what, err->text);
    msg_fatal("table %s: %s error", table_name(table), what);
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
                msg_warn("table %s should return NO RESULT in case of NOT FOUND",
                         table_name(table));
            return value;
        case TABLE_NOT_FOUND:
            break;
        case TABLE_RETRY:
        case TABLE_BROKEN:
            die(table, "query", &err);
        }
    }
    return NULL;
}

/* Next line of standard input without its end; false at the end. */
static bool read_key(char **buf, size_t *size, struct span *key_out)
{
    ssize_t len = getline(buf, size, stdin);

    if (len < 0)
        return false;
    *key_out = span_rtrim(span_of(*buf, (size_t)len));
    return true;
}

static bool query_stdin(struct tables *ts)
{
    char *buf = NULL;
    size_t size = 0;
    struct span key;
    bool found = false;

    while (read_key(&buf, &size, &key)) {
        const char *value = find(ts, key);
        if (value)
            printf("%.*s\t%s\n", SPAN_ARG(key), value);
        found |= value != NULL;
    }
    free(buf);
    return found;
}

static int finish_output(bool found)
{
    if (fflush(stdout) != 0)
        msg_fatal("write error on standard output");
    return found ? 0 : 1;
}

int postmap_query(const struct postmap *pm, char **names, const char *key)
{
    struct tables ts;
    bool found;

    tables_init(&ts, pm, names, TABLE_READ);
    if (strcmp(key, "-") == 0) {
        found = query_stdin(&ts);
    } else {
        const char *value = find(&ts, span_str(key));
        if (value)
            printf("%s\n", value);
        found = value != NULL;
    }
    tables_free(&ts);
    return finish_output(found);
}

static bool delete_key(struct tables *ts, struct span key)
{
    bool found = false;
    struct err err;

    for (size_t i = 0; i < ts->count; i++) {
        struct table *table = get_table(ts, i);
        enum table_status status = table_delete(table, key, &err);
        if (status == TABLE_RETRY || status == TABLE_BROKEN)
            msg_fatal("%s", err.text);
        found |= status == TABLE_FOUND;
    }
    return found;
}

static bool delete_stdin(struct tables *ts)
{
    char *buf = NULL;
    size_t size = 0;
    struct span key;
    bool found = false;

    while (read_key(&buf, &size, &key))
        found |= delete_key(ts, key);
    free(buf);
    return found;
}

/* Deleting creates nothing: a table that is not there is an error. */
static void must_exist(const struct postmap *pm, char **names)
{
    for (size_t i = 0; names[i]; i++) {
        struct err err;
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
    bool found =
        strcmp(key, "-") == 0 ? delete_stdin(&ts) : delete_key(&ts, span_str(key));
    tables_free(&ts);
    return found ? 0 : 1;
}

int postmap_dump(const struct postmap *pm, char **names)
{
    const char *separator = pm->is_alias ? ":\t" : "\t";
    struct tables ts;
    struct span key, value;
    struct err err;

    tables_init(&ts, pm, names, TABLE_READ);
    for (size_t i = 0; i < ts.count; i++) {
        struct table *table = get_table(&ts, i);
        enum table_status status = table_next(table, true, &key, &value, &err);
        for (; status == TABLE_FOUND;
             status = table_next(table, false, &key, &value, &err))
            printf("%.*s%s%.*s\n", SPAN_ARG(key), separator, SPAN_ARG(value));
        if (status != TABLE_NOT_FOUND)
            msg_fatal("%s", err.text);
    }
    tables_free(&ts);
    return finish_output(true);
}
