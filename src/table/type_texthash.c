/* texthash:/file reads the source text of postmap at open; later changes of the file
 * are not seen. */
#include "table/memory.h"

#define TEXT_MAX (256u * 1024 * 1024)

struct texthash {
    struct table table;
    struct memory mem;
};

static bool texthash_open(struct table *table, struct err *err)
{
    struct texthash *th = (struct texthash *)table;
    struct strbuf text = STRBUF_INIT;

    memory_init(&th->mem);
    bool ok = source_read(table->name, TEXT_MAX, &text, NULL, err) ||
              err_prefix(err, "open database %s", table->name);
    if (ok)
        memory_load_source(&th->mem, table->name, strbuf_span(&text), SOURCE_MAP,
                           table->flags);
    strbuf_free(&text);
    return ok;
}

static void texthash_close(struct table *table)
{
    memory_free(&((struct texthash *)table)->mem);
}

static enum table_status texthash_lookup(struct table *table, struct span key,
                                         struct strbuf *value, struct err *err UNUSED)
{
    const char *text = memory_get(&((struct texthash *)table)->mem, key);

    if (!text)
        return TABLE_NOT_FOUND;
    strbuf_add_str(value, text);
    return TABLE_FOUND;
}

static enum table_status texthash_next(struct table *table, bool first,
                                       struct strbuf *key, struct strbuf *value,
                                       struct err *err UNUSED)
{
    return memory_next(&((struct texthash *)table)->mem, first, key, value);
}

extern const struct table_type table_type_texthash;
const struct table_type table_type_texthash = {
    .name = "texthash",
    .size = sizeof(struct texthash),
    .flags = TABLE_FIXED,
    .open = texthash_open,
    .close = texthash_close,
    .lookup = texthash_lookup,
    .next = texthash_next,
};
