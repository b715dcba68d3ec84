/* Tables made of tables: unionmap:{ A, B } joins all results with commas; pipemap:{ A,
 * B } looks up the result of A in B. And randmap:{ a, b }, which finds any of its
 * values for every key. */
#include <stdlib.h>
#include <unistd.h>

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

static bool bad_syntax(const struct table *table, const char *what, struct err *err)
{
    return err_set(err, "bad syntax: \"%s\"; need \"%s:{%s...}\"", table->full_name,
                   table->type->name, what);
}

/* What stands in the braces; false: no braces, more of one kind than of the other, or
 * nothing but separators. */
static bool list_text(const struct table *table, struct span *inside_out)
{
    struct span probe, element;
    size_t depth = 0;

    if (!table_inline_text(table, inside_out))
        return false;
    for (size_t i = 0; i < inside_out->len; i++) {
        if (inside_out->ptr[i] == '{')
            depth++;
        else if (inside_out->ptr[i] == '}' && depth-- == 0)
            return false;
    }
    probe = *inside_out;
    return depth == 0 && table_next_element(&probe, &element);
}

static bool multi_open(struct table *table, struct err *err)
{
    struct span rest, name;

    if (!list_text(table, &rest))
        return bad_syntax(table, "type:name", err);
    while (table_next_element(&rest, &name)) {
        if (span_chr(name, ':') < 0)
            return bad_syntax(table, "type:name", err);
        if (!add_inner(self(table), name, err))
            return false;
    }
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
    enum table_status status = TABLE_NOT_FOUND;
    struct strbuf copy = STRBUF_INIT; /* others use the key's buffer while we wait */
    bool found = false;

    strbuf_add_span(&copy, key);
    for (size_t i = 0; i < self(table)->count; i++) {
        struct strbuf one = STRBUF_INIT;
        status =
            table_lookup_inner(self(table)->inner[i], strbuf_span(&copy), &one, err);
        if (status == TABLE_FOUND) {
            if (found)
                strbuf_add_char(value, ',');
            strbuf_add_span(value, strbuf_span(&one));
            found = true;
        }
        strbuf_free(&one);
        if (status == TABLE_RETRY || status == TABLE_BROKEN)
            break;
        status = found ? TABLE_FOUND : TABLE_NOT_FOUND;
    }
    strbuf_free(&copy);
    return status;
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

struct random_map {
    struct table table;
    struct span *values; /* in table->name */
    size_t count;
};

static bool random_open(struct table *table, struct err *err)
{
    struct random_map *random = (struct random_map *)table;
    struct span rest, value;

    if (!list_text(table, &rest))
        return bad_syntax(table, "value", err);
    while (table_next_element(&rest, &value)) {
        random->values =
            xrealloc(random->values, (random->count + 1) * sizeof(*random->values));
        random->values[random->count++] = value;
    }
    return true;
}

static void random_close(struct table *table)
{
    free(((struct random_map *)table)->values);
}

static enum table_status random_lookup(struct table *table, struct span key UNUSED,
                                       struct strbuf *value, struct err *err)
{
    const struct random_map *random = (const struct random_map *)table;
    uint64_t number;

    if (getentropy(&number, sizeof(number)) < 0) {
        err_set(err, "%s: no random numbers", table->full_name);
        return TABLE_RETRY;
    }
    strbuf_add_span(value, random->values[number % random->count]);
    return TABLE_FOUND;
}

#define MULTI_TYPE(type_name, opener, finder)                                          \
    {                                                                                  \
        .name = type_name, .size = sizeof(struct multi), .open = opener,               \
        .close = multi_close, .lookup = finder, .changed = multi_changed,              \
    }

extern const struct table_type table_type_unionmap, table_type_pipemap,
    table_type_randmap;
const struct table_type table_type_unionmap =
    MULTI_TYPE("unionmap", multi_open, union_lookup);
const struct table_type table_type_pipemap =
    MULTI_TYPE("pipemap", multi_open, pipe_lookup);

const struct table_type table_type_randmap = {
    .name = "randmap",
    .size = sizeof(struct random_map),
    .flags = TABLE_PATTERN,
    .thread_safe = true,
    .open = random_open,
    .close = random_close,
    .lookup = random_lookup,
};
