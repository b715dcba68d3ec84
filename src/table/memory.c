#include <stdlib.h>

#include "table/memory.h"
#include "table/source.h"
#include "util/msg.h"

void memory_init(struct memory *mem)
{
    hash_init(&mem->by_key, false);
    list_init(&mem->entries);
    mem->cursor = NULL;
}

static void entry_free(struct memory_entry *entry)
{
    free((char *)entry->node.key.ptr);
    free((char *)entry->value);
    free(entry);
}

void memory_free(struct memory *mem)
{
    if (!mem->entries.next)
        return;
    list_each_safe(link, &mem->entries)
        entry_free(list_entry(link, struct memory_entry, link));
    hash_free(&mem->by_key);
}

static struct memory_entry *find(const struct memory *mem, struct span key)
{
    struct hash_node *node = hash_find(&mem->by_key, key);

    return node ? hash_entry(node, struct memory_entry, node) : NULL;
}

bool memory_put(struct memory *mem, struct span key, struct span value, bool replace)
{
    struct memory_entry *entry = find(mem, key);

    if (entry) {
        if (!replace)
            return false;
        free((char *)entry->value);
    } else {
        entry = xcalloc(1, sizeof(*entry));
        hash_insert(&mem->by_key, &entry->node,
                    span_of(xstrndup(key.ptr, key.len), key.len));
        list_append(&mem->entries, &entry->link);
    }
    entry->value = xstrndup(value.ptr, value.len);
    return true;
}

const char *memory_get(const struct memory *mem, struct span key)
{
    struct memory_entry *entry = find(mem, key);

    return entry ? entry->value : NULL;
}

bool memory_remove(struct memory *mem, struct span key)
{
    struct memory_entry *entry = find(mem, key);

    if (!entry)
        return false;
    if (mem->cursor == &entry->link)
        mem->cursor = entry->link.prev;
    hash_remove(&mem->by_key, &entry->node);
    list_remove(&entry->link);
    entry_free(entry);
    return true;
}

enum table_status memory_next(struct memory *mem, bool first, struct strbuf *key,
                              struct strbuf *value)
{
    if (first || !mem->cursor)
        mem->cursor = &mem->entries;
    mem->cursor = mem->cursor->next;
    if (mem->cursor == &mem->entries)
        return TABLE_NOT_FOUND;
    struct memory_entry *entry = list_entry(mem->cursor, struct memory_entry, link);
    strbuf_add_span(key, entry->node.key);
    strbuf_add_str(value, entry->value);
    return TABLE_FOUND;
}

static void load_line(struct memory *mem, const struct source *src, struct span line,
                      bool is_alias, bool fold)
{
    struct strbuf name = STRBUF_INIT;
    struct span key, value;
    struct err err;
    enum source_entry kind;

    if (is_alias) {
        kind = source_split_alias(line, &name, &value, &err);
    } else {
        kind = source_split_map(line, &key, &value, &err);
        if (kind == SOURCE_ENTRY)
            strbuf_add_span(&name, key);
    }
    if (kind == SOURCE_MALFORMED) {
        msg_warn("%s, line %d: %s", src->path, src->line, err.text);
        strbuf_free(&name);
        return;
    }
    for (size_t i = 0; fold && i < name.len; i++)
        name.ptr[i] = ascii_lower(name.ptr[i]);
    if (!memory_put(mem, strbuf_span(&name), value, false))
        msg_warn("%s, line %d: duplicate entry: \"%s\"", src->path, src->line,
                 name.ptr);
    strbuf_free(&name);
}

void memory_load(struct memory *mem, const char *path, struct span text, bool fold)
{
    struct source src;
    struct span line;
    bool first = true, is_alias = false;

    source_init(&src, path, text);
    while (source_line(&src, &line)) {
        if (first)
            is_alias = source_is_alias(line);
        first = false;
        load_line(mem, &src, line, is_alias, fold);
    }
    source_free(&src);
}
