/* Tables made of tables: unionmap:{ A, B } joins all results with commas; pipemap:{ A,
 * B } looks up the result of A in B; proxy:A opens A itself (it does not go through the
 * proxymap service). */
#include <stdlib.h>

#include "table/table_type.h"

struct multi {
    struct table table;
    struct table **inner;
    size_t count;
};

static struct multi *self(const struct table *table)
{
    return (struct multi *)table;
}

static bool add_inner(struct multi *multi, struct span name, struct err *err)
{
    struct table *table = &multi->table;
    char *text = xstrndup(name.ptr, name.len);
    struct table *inner =
        table_open(table->env, text, TABLE_READ, table->flags & TABLE_ASKED, err);

    free(text);
    if (!inner)
        return false;
    multi->inner = xrealloc(multi->inner, (multi->count + 1) * sizeof(*multi->inner));
    multi->inner[multi->count++] = inner;
    table->flags |= inner->flags & (TABLE_PATTERN | TABLE_BLOCKS);
    return true;
}

/* Fixed only when all parts are. */
static void settle_flags(struct table *table)
{
    if (!(table->flags & TABLE_PATTERN))
        table->flags |= TABLE_FIXED;
}

static bool multi_open(struct table *table, struct err *err)
{
    struct span rest, name;

    if (!table_inline_text(table, &rest) || rest.len == 0)
        return err_set(err, "bad syntax: \"%s\"; need \"%s:{type:name...}\"",
                       table->full_name, table->type->name);
    while (table_next_element(&rest, &name))
        if (!add_inner(self(table), name, err))
            return false;
    settle_flags(table);
    return true;
}

static void multi_close(struct table *table)
{
    for (size_t i = 0; i < self(table)->count; i++)
        table_close(self(table)->inner[i]);
    free(self(table)->inner);
}

static bool multi_changed(const struct table *table)
{
    for (size_t i = 0; i < self(table)->count; i++)
        if (table_changed(self(table)->inner[i]))
            return true;
    return false;
}

static enum table_status union_lookup(struct table *table, struct span key,
                                      struct strbuf *value, struct err *err)
{
    bool found = false;

    for (size_t i = 0; i < self(table)->count; i++) {
        struct strbuf one = STRBUF_INIT;
        enum table_status status =
            table_lookup_inner(self(table)->inner[i], key, &one, err);
        if (status == TABLE_FOUND) {
            if (found)
                strbuf_add_char(value, ',');
            strbuf_add_span(value, strbuf_span(&one));
            found = true;
        }
        strbuf_free(&one);
        if (status == TABLE_RETRY || status == TABLE_BROKEN)
            return status;
    }
    return found ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static enum table_status pipe_lookup(struct table *table, struct span key,
                                     struct strbuf *value, struct err *err)
{
    enum table_status status = TABLE_FOUND;

    strbuf_add_span(value, key);
    for (size_t i = 0; i < self(table)->count && status == TABLE_FOUND; i++) {
        struct strbuf next = STRBUF_INIT;
        status =
            table_lookup_inner(self(table)->inner[i], strbuf_span(value), &next, err);
        strbuf_reset(value);
        strbuf_add_span(value, strbuf_span(&next));
        strbuf_free(&next);
    }
    return status;
}

static bool proxy_open(struct table *table, struct err *err)
{
    if (!add_inner(self(table), span_str(table->name), err))
        return false;
    settle_flags(table);
    table->thread_safe = self(table)->inner[0]->thread_safe;
    return true;
}

static enum table_status proxy_lookup(struct table *table, struct span key,
                                      struct strbuf *value, struct err *err)
{
    return table_lookup_inner(self(table)->inner[0], key, value, err);
}

#define MULTI_TYPE(type_name, opener, finder)                                          \
    {                                                                                  \
        .name = type_name, .size = sizeof(struct multi), .open = opener,               \
        .close = multi_close, .lookup = finder, .changed = multi_changed,              \
    }

extern const struct table_type table_type_unionmap, table_type_pipemap,
    table_type_proxy;
const struct table_type table_type_unionmap =
    MULTI_TYPE("unionmap", multi_open, union_lookup);
const struct table_type table_type_pipemap =
    MULTI_TYPE("pipemap", multi_open, pipe_lookup);
const struct table_type table_type_proxy =
    MULTI_TYPE("proxy", proxy_open, proxy_lookup);
