/* Source text of postmap and postalias, inline tables, and messages that keys are taken
 * from. First byte: what the rest is. No crash, no leak; alias lines come out in a form
 * that reads the same again; folding a folded key changes nothing. */
#include "table/fold.h"
#include "table/memory.h"
#include "postmap/content.h"
#include "util/msg.h"

static void check_fold(struct span key)
{
    struct strbuf once = STRBUF_INIT, twice = STRBUF_INIT;
    struct span folded = fold_key(key, true, &once);

    if (span_is_utf8(key) && !span_is_utf8(folded))
        panic("folding breaks UTF-8");
    fold_key(folded, true, &twice);
    strbuf_free(&once);
    strbuf_free(&twice);
}

static void check_entry(enum source_style style, struct span value)
{
    struct strbuf line = STRBUF_INIT, key = STRBUF_INIT, again = STRBUF_INIT;
    struct err err;

    strbuf_add_str(&line, "x: ");
    strbuf_add_span(&line, value);
    /* A lone backslash is a word of no letters. */
    if (style == SOURCE_ALIAS && span_trim(value).len > 0 &&
        source_split_alias(strbuf_span(&line), &key, &again, &err) != SOURCE_ENTRY)
        panic("not read again: %.*s", SPAN_ARG(value));
    strbuf_free(&line);
    strbuf_free(&key);
    strbuf_free(&again);
}

static void read_source(enum source_style style, struct span text, bool utf8)
{
    struct source_entries entries;
    struct span key, value;

    source_entries_init(&entries, "fuzz", text, style, utf8);
    while (source_entries_next(&entries, &key, &value)) {
        check_fold(key);
        check_entry(style, value);
    }
    source_entries_free(&entries);
}

static void load_memory(struct span text, unsigned flags)
{
    struct memory mem;

    memory_init(&mem);
    memory_load_source(&mem, "fuzz", text, SOURCE_MAP, flags);
    memory_free(&mem);
}

static void open_table(const char *type, struct span text)
{
    struct strbuf name = STRBUF_INIT;
    struct span k, v;
    struct err err;

    strbuf_add_str(&name, type);
    strbuf_add_span(&name, text);
    struct table *table = table_open(NULL, name.ptr, TABLE_READ, TABLE_UTF8, &err);
    bool first = true;
    while (table && table->type->next &&
           table_next(table, first, &k, &v, &err) == TABLE_FOUND)
        first = false;
    table_close(table);
    strbuf_free(&name);
}

static void count_text(void *arg, struct span text)
{
    *(size_t *)arg += text.len;
}

static void scan_message(struct span text, unsigned bits)
{
    struct content_want want = {bits & 1, bits & 2, bits & 4};
    size_t total = 0;

    content_scan(text, &want, count_text, &total);
    if (total > text.len + 1)
        panic("more text than there was");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)data + 1, size ? size - 1 : 0);

    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    if (size == 0)
        return 0;
    switch (data[0]) {
    case 'a':
        read_source(SOURCE_ALIAS, text, true);
        break;
    case 'A':
        read_source(SOURCE_ALIAS, text, false);
        break;
    case 'i':
        open_table("inline:", text);
        break;
    case 's':
        open_table("static:", text);
        break;
    case 't':
        load_memory(text, TABLE_UTF8);
        break;
    case 'm':
        read_source(SOURCE_MAP, text, true);
        break;
    default:
        scan_message(text, data[0]);
    }
    return 0;
}
