/* internal:name is a table in the memory of this process, lost at its end. */
#include "table/memory.h"

struct internal {
    struct table table;
    struct memory mem;
};

static bool internal_open(struct table *table, struct err *err UNUSED)
{
    memory_init(&((struct internal *)table)->mem);
    return true;
}

static void internal_close(struct table *table)
{
    memory_free(&((struct internal *)table)->mem);
}

static enum table_status internal_lookup(struct table *table, struct span key,
                                         struct strbuf *value, struct err *err UNUSED)
{
    const char *text = memory_get(&((struct internal *)table)->mem, key);

    if (!text)
        return TABLE_NOT_FOUND;
    strbuf_add_str(value, text);
    return TABLE_FOUND;
}

static enum table_status internal_update(struct table *table, struct span key,
                                         struct span value, struct err *err UNUSED)
{
    bool keep = table->flags & (TABLE_IGNORE_DUP | TABLE_WARN_DUP);

    return memory_put(&((struct internal *)table)->mem, key, value, !keep)
               ? TABLE_FOUND
               : TABLE_NOT_FOUND;
}

static enum table_status internal_remove(struct table *table, struct span key,
                                         struct err *err UNUSED)
{
    return memory_remove(&((struct internal *)table)->mem, key) ? TABLE_FOUND
                                                                : TABLE_NOT_FOUND;
}

static enum table_status internal_next(struct table *table, bool first,
                                       struct strbuf *key, struct strbuf *value,
                                       struct err *err UNUSED)
{
    return memory_next(&((struct internal *)table)->mem, first, key, value);
}

extern const struct table_type table_type_internal;
const struct table_type table_type_internal = {
    .name = "internal",
    .size = sizeof(struct internal),
    .flags = TABLE_FIXED,
    .updatable = true,
    .open = internal_open,
    .close = internal_close,
    .lookup = internal_lookup,
    .update = internal_update,
    .remove = internal_remove,
    .next = internal_next,
};
