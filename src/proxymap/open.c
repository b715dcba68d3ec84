#include <stdlib.h>

#include "proxymap/proxymap.h"
#include "util/msg.h"

/* How often files are looked at, and what could not be opened is tried again. */
#define CHECK_MS     1000
#define TRY_AGAIN_MS 10000

struct open_table {
    struct hash_node node;
    char *key; /* "flags name" */
    size_t key_len;
    struct table *table;
    size_t refs;      /* the list, and each request under way */
    int64_t retry_at; /* of a table that could not be opened; 0: it is open */
};

void open_tables_init(struct open_tables *tables, const struct table_env *env,
                      enum table_mode mode)
{
    *tables = (struct open_tables){.env = env, .mode = mode};
    hash_init(&tables->by_key, false);
}

void open_tables_put(struct open_table *open)
{
    if (--open->refs > 0)
        return;
    table_close(open->table);
    free(open->key);
    free(open);
}

static void forget(struct open_tables *tables, struct open_table *open)
{
    hash_remove(&tables->by_key, &open->node);
    open_tables_put(open);
}

void open_tables_free(struct open_tables *tables)
{
    struct hash_node *node;

    while ((node = hash_next(&tables->by_key, NULL)) != NULL)
        forget(tables, hash_entry(node, struct open_table, node));
    hash_free(&tables->by_key);
}

struct table *open_table(const struct open_table *open)
{
    return open->table;
}

static bool is_stale(const struct open_table *open)
{
    if (open->retry_at)
        return loop_now() >= open->retry_at;
    if (!table_changed(open->table))
        return false;
    msg_info("table %s has changed -- opening it again", table_name(open->table));
    return true;
}

static void check_changes(struct open_tables *tables)
{
    struct hash_node *node, *next;

    if (loop_now() < tables->next_check)
        return;
    tables->next_check = loop_now() + CHECK_MS;
    for (node = hash_next(&tables->by_key, NULL); node; node = next) {
        struct open_table *open = hash_entry(node, struct open_table, node);

        next = hash_next(&tables->by_key, node);
        if (is_stale(open))
            forget(tables, open);
    }
}

static void open_now(struct open_tables *tables, struct open_table *open,
                     struct span name, unsigned asked)
{
    char *text = xstrndup(name.ptr, name.len);
    struct err err = {{0}};

    open->table = table_open(tables->env, text, tables->mode, asked, &err);
    if (!open->table) {
        msg_error("%s", err.text);
        open->table = table_surrogate(text, TABLE_RETRY, err.text);
        open->retry_at = loop_now() + TRY_AGAIN_MS;
    }
    free(text);
}

struct open_table *open_tables_get(struct open_tables *tables, struct span name,
                                   unsigned asked)
{
    struct strbuf key = STRBUF_INIT;
    struct open_table *open;

    check_changes(tables);
    strbuf_addf(&key, "%u ", asked);
    strbuf_add_span(&key, name);
    struct hash_node *node = hash_find(&tables->by_key, strbuf_span(&key));
    if (node) {
        open = hash_entry(node, struct open_table, node);
        strbuf_free(&key);
    } else {
        open = xcalloc(1, sizeof(*open));
        open->refs = 1;
        open_now(tables, open, name, asked);
        open->key_len = key.len;
        open->key = strbuf_detach(&key);
        hash_insert(&tables->by_key, &open->node, span_of(open->key, open->key_len));
    }
    open->refs++;
    return open;
}
