/* static:value finds the same value for every key; environ: looks into the process
 * environment; fail: never answers. Surrogates of broken tables are of kind "fail". */
#include <stdio.h>
#include <stdlib.h>

#include "table/table_type.h"
#include "table/value_files.h"

static void nothing_to_close(struct table *table UNUSED)
{
}

/* static: and environ: can be opened for writing, to no avail. */
static enum table_status no_remove(struct table *table, struct span key UNUSED,
                                   struct err *err)
{
    err_set(err, "table %s: delete operation is not supported", table->full_name);
    return TABLE_BROKEN;
}

struct static_table {
    struct table table;
    struct strbuf value;
};

static bool static_text(const struct table *table, struct span *text, struct err *err)
{
    size_t len = table_braces(*text);

    if (text->ptr[0] != '{')
        return true;
    if (len == 0)
        return err_set(err, "bad static:name syntax: missing '}' in \"%s\"",
                       table->name);
    if (span_rtrim(span_skip(*text, len)).len > 0)
        return err_set(err, "bad static:name syntax: syntax error after '}' in \"%s\"",
                       table->name);
    *text = span_trim(span_of(text->ptr + 1, len - 2));
    return true;
}

static bool static_open(struct table *table, struct err *err)
{
    struct static_table *st = (struct static_table *)table;
    struct span text = span_str(table->name);

    strbuf_init(&st->value);
    if (!static_text(table, &text, err))
        return false;
    if (table->flags & TABLE_BASE64)
        return value_files_read(text, &st->value, err);
    strbuf_add_span(&st->value, text);
    return true;
}

static void static_close(struct table *table)
{
    strbuf_free(&((struct static_table *)table)->value);
}

static enum table_status static_lookup(struct table *table, struct span key UNUSED,
                                       struct strbuf *value, struct err *err UNUSED)
{
    strbuf_add_span(value, strbuf_span(&((struct static_table *)table)->value));
    return TABLE_FOUND;
}

extern const struct table_type table_type_static, table_type_environ, table_type_fail;
const struct table_type table_type_static = {
    .name = "static",
    .size = sizeof(struct static_table),
    .flags = TABLE_FIXED,
    .open = static_open,
    .close = static_close,
    .lookup = static_lookup,
    .remove = no_remove,
};

/* Keys are folded as those of other tables: only names in lower case are found. */
static bool environ_open(struct table *table UNUSED, struct err *err UNUSED)
{
    return true;
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
    .remove = no_remove,
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

static enum table_status fail_as(const struct table *table, const char *what,
                                 struct err *err)
{
    err_set(err, "table %s: %s error: Application error", table->full_name, what);
    return ((const struct fail *)table)->status;
}

static enum table_status fail_lookup(struct table *table, struct span key UNUSED,
                                     struct strbuf *value UNUSED, struct err *err)
{
    struct fail *fail = (struct fail *)table;

    if (fail->text)
        err_set(err, "%s is unavailable. %s", table->full_name, fail->text);
    else
        err_set(err, "Application error");
    return fail->status;
}

static enum table_status fail_update(struct table *table, struct span key UNUSED,
                                     struct span value UNUSED, struct err *err)
{
    return fail_as(table, "write", err);
}

static enum table_status fail_remove(struct table *table, struct span key UNUSED,
                                     struct err *err)
{
    return fail_as(table, "delete", err);
}

static enum table_status fail_next(struct table *table, bool first UNUSED,
                                   struct strbuf *key UNUSED,
                                   struct strbuf *value UNUSED, struct err *err)
{
    return fail_as(table, "sequence", err);
}

static bool fail_lock(struct table *table UNUSED, struct err *err UNUSED)
{
    return true;
}

const struct table_type table_type_fail = {
    .name = "fail",
    .size = sizeof(struct fail),
    .flags = TABLE_FIXED | TABLE_PATTERN,
    .open = fail_open,
    .close = fail_close,
    .lookup = fail_lookup,
    .buildable = true,
    .update = fail_update,
    .remove = fail_remove,
    .next = fail_next,
    .lock = fail_lock,
    .unlock = fail_lock,
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
