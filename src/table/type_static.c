/* static:value finds the same value for every key; environ: looks into the process
 * environment; fail: never answers. Surrogates of broken tables are of kind "fail". */
#include <stdio.h>
#include <stdlib.h>

#include "table/table_type.h"

static bool need_name(struct table *table, struct err *err)
{
    return table->name[0] ||
           err_set(err,
                   "open dictionary: expecting \"type:name\" form instead of \"%s\"",
                   table->full_name);
}

static void nothing_to_close(struct table *table UNUSED)
{
}

static enum table_status static_lookup(struct table *table, struct span key UNUSED,
                                       struct strbuf *value, struct err *err UNUSED)
{
    struct span inside;

    if (table_inline_text(table, &inside))
        strbuf_add_span(value, inside);
    else
        strbuf_add_str(value, table->name);
    return TABLE_FOUND;
}

extern const struct table_type table_type_static, table_type_environ, table_type_fail;
const struct table_type table_type_static = {
    .name = "static",
    .size = sizeof(struct table),
    .flags = TABLE_FIXED,
    .open = need_name,
    .close = nothing_to_close,
    .lookup = static_lookup,
};

static bool environ_open(struct table *table, struct err *err)
{
    table->flags |= TABLE_NO_FOLD; /* names of variables know their case */
    return need_name(table, err);
}

static enum table_status environ_lookup(struct table *table UNUSED, struct span key,
                                        struct strbuf *value, struct err *err UNUSED)
{
    char name[256];

    if (key.len >= sizeof(name))
        return TABLE_NOT_FOUND;
    snprintf(name, sizeof(name), "%.*s", SPAN_ARG(key));
    const char *text = getenv(name);
    if (!text)
        return TABLE_NOT_FOUND;
    strbuf_add_str(value, text);
    return TABLE_FOUND;
}

const struct table_type table_type_environ = {
    .name = "environ",
    .size = sizeof(struct table),
    .flags = TABLE_FIXED,
    .open = environ_open,
    .close = nothing_to_close,
    .lookup = environ_lookup,
};

struct fail {
    struct table table;
    enum table_status status;
    char *text;
};

static bool fail_open(struct table *table, struct err *err UNUSED)
{
    ((struct fail *)table)->status = TABLE_RETRY;
    return true;
}

static void fail_close(struct table *table)
{
    free(((struct fail *)table)->text);
}

static enum table_status fail_lookup(struct table *table, struct span key UNUSED,
                                     struct strbuf *value UNUSED, struct err *err)
{
    struct fail *fail = (struct fail *)table;

    if (fail->text)
        err_set(err, "%s is unavailable. %s", table->full_name, fail->text);
    return fail->status;
}

static enum table_status fail_update(struct table *table, struct span key,
                                     struct span value UNUSED, struct err *err)
{
    return fail_lookup(table, key, NULL, err);
}

static enum table_status fail_remove(struct table *table, struct span key,
                                     struct err *err)
{
    return fail_lookup(table, key, NULL, err);
}

const struct table_type table_type_fail = {
    .name = "fail",
    .size = sizeof(struct fail),
    .flags = TABLE_FIXED | TABLE_PATTERN,
    .open = fail_open,
    .close = fail_close,
    .lookup = fail_lookup,
    .update = fail_update,
    .remove = fail_remove,
};

struct table *table_surrogate(const char *name, enum table_status status,
                              const char *text)
{
    struct err err;
    struct strbuf full = STRBUF_INIT;

    strbuf_addf(&full, "fail:%s", name);
    struct table *table = table_open(NULL, full.ptr, TABLE_READ, 0, &err);
    strbuf_free(&full);
    if (!table)
        panic("no table of type fail: %s", err.text);
    struct fail *fail = (struct fail *)table;
    free((char *)table->full_name);
    table->full_name = xstrdup(name);
    fail->status = status;
    fail->text = xstrdup(text);
    return table;
}
