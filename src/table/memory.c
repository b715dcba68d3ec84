#include <stdlib.h>

#include "table/fold.h"
#include "table/memory.h"
#include "table/value_files.h"
#include "util/msg.h"

void memory_init(struct memory *mem)
{
    hash_init(&mem->by_key, false);
    list_init(&mem->entries);
    mem->cursor = NULL;
}

static char *entry_text(struct memory_entry *entry)
{
    return (char *)(entry + 1);
}

static void drop_value(struct memory_entry *entry)
{
    if (entry->value != entry_text(entry) + entry->node.key.len + 1)
        free(entry->value);
}

static void entry_free(struct memory_entry *entry)
{
    drop_value(entry);
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

static void add_new(struct memory *mem, struct span key, struct span value)
{
    struct memory_entry *entry = xmalloc(sizeof(*entry) + key.len + 1 + value.len + 1);
    char *text = entry_text(entry);

    memcpy(text, key.ptr ? key.ptr : "", key.len);
    text[key.len] = '\0';
    entry->value = text + key.len + 1;
    memcpy(entry->value, value.ptr ? value.ptr : "", value.len);
    entry->value[value.len] = '\0';
    hash_insert(&mem->by_key, &entry->node, span_of(text, key.len));
    list_append(&mem->entries, &entry->link);
}

bool memory_put(struct memory *mem, struct span key, struct span value, bool replace)
{
    struct memory_entry *entry = find(mem, key);

    if (!entry) {
        add_new(mem, key, value);
        return true;
    }
    if (replace) {
        drop_value(entry);
        entry->value = xstrndup(value.ptr ? value.ptr : "", value.len);
    }
    return replace;
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

static void load_entry(struct memory *mem, const struct source *src, struct span key,
                       struct span value, unsigned flags)
{
    struct strbuf folded = STRBUF_INIT, content = STRBUF_INIT;
    struct span stored =
        flags & TABLE_NO_FOLD ? key : fold_key(key, flags & TABLE_UTF8, &folded);
    struct err err;

    if ((flags & TABLE_BASE64) && !value_files_read(value, &content, &err)) {
        msg_warn("%s, line %d: %s: skipping this entry", src->path, src->line,
                 err.text);
    } else {
        if (flags & TABLE_BASE64)
            value = strbuf_span(&content);
        if (!memory_put(mem, stored, value, flags & TABLE_REPLACE_DUP) &&
            !(flags & TABLE_IGNORE_DUP))
            msg_warn("%s, line %d: duplicate entry: \"%.*s\"", src->path, src->line,
                     SPAN_ARG(key));
    }
    strbuf_free(&folded);
    strbuf_free(&content);
}

void memory_load_source(struct memory *mem, const char *path, struct span text,
                        enum source_style style, unsigned flags)
{
    struct source_entries entries;
    struct span key, value;

    source_entries_init(&entries, path, text, style, flags & TABLE_UTF8);
    entries.bad_suffix = " -- ignoring this line";
    while (source_entries_next(&entries, &key, &value))
        load_entry(mem, &entries.src, key, value, flags);
    source_entries_free(&entries);
}

void memory_load(struct memory *mem, const char *path, struct span text, bool fold)
{
    enum source_style style = SOURCE_MAP;
    struct source src;
    struct span line;

    source_init(&src, path, text);
    if (source_line(&src, &line) && source_is_alias(line))
        style = SOURCE_ALIAS;
    source_free(&src);
    memory_load_source(mem, path, text, style, fold ? 0 : TABLE_NO_FOLD);
}
