/* debug:type:name is the table type:name, with a log line for everything that is asked
 * of it. As part of a table that runs on worker threads it works without logging. */
#include <pthread.h>

#include "table/table_type.h"
#include "util/escape.h"
#include "util/msg.h"

struct debug {
    struct table table;
    struct table *inner;
    pthread_t home; /* the thread that may log and wait */
};

static struct debug *self(const struct table *table)
{
    return (struct debug *)table;
}

static const char *status_text(enum table_status status)
{
    static const char *const text[] = {
        [TABLE_FOUND] = "found",
        [TABLE_NOT_FOUND] = "not found",
        [TABLE_RETRY] = "retry",
        [TABLE_BROKEN] = "broken",
    };

    return text[status];
}

static bool at_home(const struct debug *debug)
{
    return pthread_equal(debug->home, pthread_self());
}

static void add_quoted(struct strbuf *line, const char *before, struct span text)
{
    strbuf_add_str(line, before);
    strbuf_add_char(line, '"');
    escape_c(line, text);
    strbuf_add_char(line, '"');
}

/* "TYPE:NAME operation key="K": result value="V"" */
static void report(const struct debug *debug, const char *operation, struct span key,
                   enum table_status status, struct span value, const struct err *err)
{
    struct strbuf line = STRBUF_INIT;

    strbuf_addf(&line, "%s %s", debug->inner->full_name, operation);
    if (key.ptr)
        add_quoted(&line, " key=", key);
    strbuf_addf(&line, ": %s", status_text(status));
    if (status == TABLE_FOUND && value.ptr)
        add_quoted(&line, " value=", value);
    if (status != TABLE_FOUND && status != TABLE_NOT_FOUND)
        strbuf_addf(&line, " (%s)", err->text);
    msg_info("%s", line.ptr);
    strbuf_free(&line);
}

static bool debug_open(struct table *table, struct err *err)
{
    struct debug *debug = self(table);

    debug->home = pthread_self();
    debug->inner =
        table_open(table->env, table->name, table->mode,
                   table->flags & TABLE_ASKED & ~(unsigned)TABLE_BASE64, err);
    msg_info("%s open: %s", table->name, debug->inner ? "success" : err->text);
    if (!debug->inner)
        return false;
    table->flags |= debug->inner->flags & (TABLE_FIXED | TABLE_PATTERN);
    table->flags |= TABLE_NO_FOLD; /* the inner one does, so the log shows the key */
    return true;
}

static void debug_close(struct table *table)
{
    struct debug *debug = self(table);

    if (debug->inner)
        msg_info("%s close", debug->inner->full_name);
    table_close(debug->inner);
}

static enum table_status debug_lookup(struct table *table, struct span key,
                                      struct strbuf *value, struct err *err)
{
    struct debug *debug = self(table);
    const char *found;

    if (!at_home(debug))
        return table_lookup_inner(debug->inner, key, value, err);
    struct arena *arena = arena_new();
    key = arena_span(arena, key);
    enum table_status status = table_lookup(debug->inner, key, arena, &found, err);
    if (status == TABLE_FOUND)
        strbuf_add_str(value, found);
    report(debug, "lookup", key, status, strbuf_span(value), err);
    arena_free(arena);
    return status;
}

static enum table_status debug_update(struct table *table, struct span key,
                                      struct span value, struct err *err)
{
    enum table_status status = table_update(self(table)->inner, key, value, err);

    report(self(table), "update", key, status, value, err);
    return status;
}

static enum table_status debug_remove(struct table *table, struct span key,
                                      struct err *err)
{
    enum table_status status = table_delete(self(table)->inner, key, err);

    report(self(table), "delete", key, status, SPAN_EMPTY, err);
    return status;
}

static enum table_status debug_next(struct table *table, bool first, struct strbuf *key,
                                    struct strbuf *value, struct err *err)
{
    struct span key_found, value_found;
    enum table_status status =
        table_next(self(table)->inner, first, &key_found, &value_found, err);
    bool found = status == TABLE_FOUND;

    if (found) {
        strbuf_add_span(key, key_found);
        strbuf_add_span(value, value_found);
    }
    report(self(table), first ? "first" : "next", found ? key_found : SPAN_EMPTY,
           status, strbuf_span(value), err);
    return status;
}

static bool debug_lock(struct table *table, struct err *err)
{
    return table_lock(self(table)->inner, err);
}

static bool debug_unlock(struct table *table, struct err *err)
{
    return table_unlock(self(table)->inner, err);
}

static bool debug_changed(const struct table *table)
{
    return table_changed(self(table)->inner);
}

extern const struct table_type table_type_debug;
const struct table_type table_type_debug = {
    .name = "debug",
    .size = sizeof(struct debug),
    .updatable = true,
    .open = debug_open,
    .close = debug_close,
    .lookup = debug_lookup,
    .update = debug_update,
    .remove = debug_remove,
    .next = debug_next,
    .lock = debug_lock,
    .unlock = debug_unlock,
    .changed = debug_changed,
};
