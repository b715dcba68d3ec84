#include <stdlib.h>

#include "table/maps.h"
#include "table/table_type.h"
#include "util/escape.h"
#include "util/msg.h"

struct maps {
    char *title;
    struct table **tables;
    size_t count;
    const char *last;
};

static void add_table(struct maps *maps, const struct table_env *env, struct span name,
                      unsigned flags)
{
    struct err err;
    char *text = xstrndup(name.ptr, name.len);
    struct table *table = table_open(env, text, TABLE_READ, flags, &err);

    if (!table) {
        msg_error("%s", err.text);
        table = table_surrogate(text, TABLE_RETRY, err.text);
    }
    free(text);
    maps->tables = xrealloc(maps->tables, (maps->count + 1) * sizeof(*maps->tables));
    maps->tables[maps->count++] = table;
}

struct maps *maps_open(const struct table_env *env, const char *title,
                       const char *names, unsigned flags)
{
    struct maps *maps = xcalloc(1, sizeof(*maps));
    struct span rest = span_str(names), name;

    maps->title = xstrdup(title);
    maps->last = "";
    while (table_next_element(&rest, &name))
        add_table(maps, env, name, flags);
    return maps;
}

void maps_close(struct maps *maps)
{
    if (!maps)
        return;
    for (size_t i = 0; i < maps->count; i++)
        table_close(maps->tables[i]);
    free(maps->tables);
    free(maps->title);
    free(maps);
}

static void log_trouble(const struct maps *maps, const struct table *table,
                        struct span key, const struct err *err)
{
    struct strbuf sb = STRBUF_INIT;

    if (err->text[0])
        msg_warn("%s: %s", maps->title, err->text);
    escape_printable(&sb, key, '?', true);
    msg_warn("%s lookup error for \"%.100s\"", table_name(table), sb.ptr);
    strbuf_free(&sb);
}

enum table_status maps_find(struct maps *maps, struct span key, unsigned kinds,
                            struct arena *arena, const char **value_out)
{
    struct err err;

    *value_out = NULL;
    maps->last = "";
    for (size_t i = 0; i < maps->count; i++) {
        struct table *table = maps->tables[i];
        if (kinds && !(table_flags(table) & kinds))
            continue;
        enum table_status status = table_lookup(table, key, arena, value_out, &err);
        if (status == TABLE_NOT_FOUND)
            continue;
        maps->last = table_name(table);
        if (status != TABLE_FOUND) {
            log_trouble(maps, table, key, &err);
            return TABLE_RETRY;
        }
        if ((*value_out)[0])
            return TABLE_FOUND;
        msg_warn("%s lookup of %.*s returns an empty string result; %s should return "
                 "NO RESULT in case of NOT FOUND",
                 maps->title, SPAN_ARG(key), table_name(table));
        *value_out = NULL;
    }
    return TABLE_NOT_FOUND;
}

const char *maps_last(const struct maps *maps)
{
    return maps->last;
}

bool maps_empty(const struct maps *maps)
{
    return maps->count == 0;
}

const char *maps_title(const struct maps *maps)
{
    return maps->title;
}

const char *maps_changed(const struct maps *maps)
{
    for (size_t i = 0; i < maps->count; i++)
        if (table_changed(maps->tables[i]))
            return table_name(maps->tables[i]);
    return NULL;
}
