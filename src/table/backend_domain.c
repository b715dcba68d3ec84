#include "table/backend_domain.h"

#include <pthread.h>
#include <stdlib.h>

#include "table/plugin.h"
#include "util/file.h"

#define FILE_MAX_BYTES (16u * 1024 * 1024)
#define DEPTH_MAX      8
#define SEPARATORS     ", \t\r\n"

struct item {
    struct item *next;
    bool excludes;
    struct span name;
    struct table *table; /* instead of a name */
};

struct backend_domains {
    struct arena *arena;
    struct item *items, **tail;
    pthread_mutex_t lock; /* tables are asked by one thread at a time */
};

static bool add_list(struct backend_domains *domains, const struct table *table,
                     struct span list, int depth, struct err *err);

static bool add_file(struct backend_domains *domains, const struct table *table,
                     const char *path, int depth, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    struct span rest;
    bool ok = file_read_all(path, FILE_MAX_BYTES, &text, err);

    rest = strbuf_span(&text);
    while (ok && rest.len > 0) {
        struct span line = span_ltrim(span_cut(&rest, '\n'));
        if (line.len > 0 && line.ptr[0] != '#')
            ok = add_list(domains, table, line, depth + 1, err);
    }
    strbuf_free(&text);
    return ok;
}

static bool add_item(struct backend_domains *domains, const struct table *table,
                     struct span text, int depth, struct err *err)
{
    struct item *item = arena_alloc(domains->arena, sizeof(*item));

    for (; text.len > 0 && text.ptr[0] == '!'; text = span_skip(text, 1))
        item->excludes = !item->excludes;
    const char *name = arena_span_str(domains->arena, text);
    if (name[0] == '/') {
        if (depth >= DEPTH_MAX)
            return err_set(err, "%s: too many files within files", name);
        if (item->excludes)
            return err_set(err, "\"!\" cannot stand before the file %s", name);
        return add_file(domains, table, name, depth, err);
    }
    item->name = span_str(name);
    if (strchr(name, ':')) {
        item->table = table_host()->open(table->env, name, TABLE_READ,
                                         table->flags & TABLE_ASKED, err);
        if (!item->table)
            return false;
    }
    *domains->tail = item;
    domains->tail = &item->next;
    return true;
}

static bool add_list(struct backend_domains *domains, const struct table *table,
                     struct span list, int depth, struct err *err)
{
    struct span text;

    while (span_token_braces(&list, SEPARATORS, &text))
        if (!add_item(domains, table, text, depth, err))
            return false;
    return true;
}

struct backend_domains *backend_domains_open(const struct table *table,
                                             const char *list, struct err *err)
{
    struct backend_domains *domains = xcalloc(1, sizeof(*domains));

    domains->arena = arena_new();
    domains->tail = &domains->items;
    pthread_mutex_init(&domains->lock, NULL);
    if (add_list(domains, table, span_str(list), 0, err))
        return domains;
    backend_domains_free(domains);
    return NULL;
}

void backend_domains_free(struct backend_domains *domains)
{
    if (!domains)
        return;
    for (struct item *item = domains->items; item; item = item->next)
        if (item->table)
            table_host()->close(item->table);
    pthread_mutex_destroy(&domains->lock);
    arena_free(domains->arena);
    free(domains);
}

static enum table_status ask_table(struct backend_domains *domains,
                                   const struct item *item, struct span domain,
                                   struct err *err)
{
    struct strbuf value = STRBUF_INIT;

    pthread_mutex_lock(&domains->lock);
    enum table_status status = table_host()->lookup(item->table, domain, &value, err);
    pthread_mutex_unlock(&domains->lock);
    strbuf_free(&value);
    if (status == TABLE_FOUND || status == TABLE_NOT_FOUND)
        return status;
    err_prefix(err, "%.*s: table lookup problem", SPAN_ARG(item->name));
    return TABLE_RETRY;
}

enum table_status backend_domains_find(struct backend_domains *domains,
                                       struct span domain, struct err *err)
{
    for (const struct item *item = domains->items; item; item = item->next) {
        enum table_status status =
            span_ieq(item->name, domain) ? TABLE_FOUND : TABLE_NOT_FOUND;
        if (item->table)
            status = ask_table(domains, item, domain, err);
        if (status == TABLE_RETRY)
            return status;
        if (status == TABLE_FOUND)
            return item->excludes ? TABLE_NOT_FOUND : TABLE_FOUND;
    }
    return TABLE_NOT_FOUND;
}
