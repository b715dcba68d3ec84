#include <stdlib.h>

#include "proxymap/proxymap.h"
#include "table/proxy.h"
#include "util/frame.h"

#define CURSORS_MAX 100
#define IDLE_MS     60000

struct cursor {
    struct list link;
    int64_t id, used_at;
    struct table *table;
};

void cursors_init(struct cursors *cursors, const struct table_env *env,
                  enum table_mode mode)
{
    *cursors = (struct cursors){.env = env, .mode = mode};
    list_init(&cursors->all);
}

static void cursor_end(struct cursors *cursors, struct cursor *cursor)
{
    list_remove(&cursor->link);
    cursors->count--;
    table_close(cursor->table);
    free(cursor);
}

static struct cursor *oldest(const struct cursors *cursors)
{
    return list_empty(&cursors->all)
               ? NULL
               : list_entry(cursors->all.prev, struct cursor, link);
}

void cursors_free(struct cursors *cursors)
{
    loop_timer_cancel(&cursors->timer);
    while (oldest(cursors))
        cursor_end(cursors, oldest(cursors));
}

static void expire(void *arg)
{
    struct cursors *cursors = arg;
    struct cursor *cursor;

    while ((cursor = oldest(cursors)) && cursor->used_at + IDLE_MS <= loop_now())
        cursor_end(cursors, cursor);
    if (cursor)
        loop_timer_set(&cursors->timer, cursor->used_at + IDLE_MS - loop_now(), expire,
                       cursors);
}

static struct cursor *start(struct cursors *cursors, struct span name, unsigned asked,
                            struct err *err)
{
    char *text = xstrndup(name.ptr, name.len);
    struct table *table = table_open(cursors->env, text, cursors->mode, asked, err);

    free(text);
    if (!table)
        return NULL;
    if (cursors->count >= CURSORS_MAX)
        cursor_end(cursors, oldest(cursors));
    struct cursor *cursor = xcalloc(1, sizeof(*cursor));
    cursor->table = table;
    cursor->id = ++cursors->last_id;
    cursors->count++;
    return cursor;
}

static struct cursor *find(struct cursors *cursors, struct span name, int64_t id)
{
    list_each(link, &cursors->all)
    {
        struct cursor *cursor = list_entry(link, struct cursor, link);
        if (cursor->id == id && span_eq_str(name, table_name(cursor->table)))
            return cursor;
    }
    return NULL;
}

static enum table_status add_batch(struct table *table, bool first,
                                   struct strbuf *reply, struct err *err)
{
    enum table_status status = TABLE_FOUND;
    size_t start_len = reply->len;
    struct span key, value;

    while (status == TABLE_FOUND && reply->len - start_len < PROXY_BATCH_MAX) {
        status = table_next(table, first, &key, &value, err);
        first = false;
        if (status != TABLE_FOUND)
            break;
        size_t mark = frame_group_begin(reply, "entry");
        frame_span(reply, "key", key);
        frame_span(reply, "value", value);
        frame_group_end(reply, mark);
    }
    return status;
}

enum table_status cursors_next(struct cursors *cursors, struct span name,
                               unsigned asked, int64_t id, struct strbuf *reply,
                               struct err *err)
{
    struct cursor *cursor =
        id ? find(cursors, name, id) : start(cursors, name, asked, err);

    if (!cursor) {
        if (id)
            err_set(err, "%.*s: the walk was interrupted", SPAN_ARG(name));
        return TABLE_RETRY;
    }
    list_remove(&cursor->link);
    list_prepend(&cursors->all, &cursor->link);
    cursor->used_at = loop_now();
    enum table_status status = add_batch(cursor->table, id == 0, reply, err);
    frame_num(reply, "cursor", status == TABLE_FOUND ? cursor->id : 0);
    if (status != TABLE_FOUND)
        cursor_end(cursors, cursor);
    if (!list_empty(&cursors->all) && !heap_linked(&cursors->timer.node))
        loop_timer_set(&cursors->timer, IDLE_MS, expire, cursors);
    return status == TABLE_NOT_FOUND ? TABLE_FOUND : status;
}
