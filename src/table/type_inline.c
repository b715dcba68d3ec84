/* inline:{ key=value, { key = text with spaces } }: read-only, in memory. */
#include "table/memory.h"
#include "util/msg.h"

struct inline_table {
    struct table table;
    struct memory mem;
};

static bool syntax_error(struct table *table, const char *what, struct err *err)
{
    return err_set(err, "%s: \"%s\"; need \"inline:{name=value...}\"", what,
                   table->full_name);
}

static bool add_element(struct inline_table *in, struct span element, struct err *err)
{
    struct table *table = &in->table;

    if (element.ptr[0] == '{' && element.ptr[element.len - 1] == '}')
        element = span_trim(span_of(element.ptr + 1, element.len - 2));
    ssize_t equals = span_chr(element, '=');
    if (equals < 0)
        return syntax_error(table, "missing '=' after attribute name", err);
    struct span name = span_trim(span_first(element, (size_t)equals));
    struct span value = span_trim(span_skip(element, (size_t)equals + 1));
    if (name.len == 0)
        return syntax_error(table, "missing attribute name", err);
    struct strbuf key = STRBUF_INIT;
    for (size_t i = 0; i < name.len; i++)
        strbuf_add_char(&key, table->flags & TABLE_NO_FOLD ? name.ptr[i]
                                                           : ascii_lower(name.ptr[i]));
    if (value.len == 0)
        msg_warn("table %s: key %s: empty string result is not allowed",
                 table->full_name, key.ptr);
    memory_put(&in->mem, strbuf_span(&key), value, true);
    strbuf_free(&key);
    return true;
}

static bool inline_open(struct table *table, struct err *err)
{
    struct inline_table *in = (struct inline_table *)table;
    struct span rest, element;

    memory_init(&in->mem);
    if (!table_inline_text(table, &rest) || rest.len == 0)
        return syntax_error(table, "bad syntax", err);
    while (table_next_element(&rest, &element))
        if (!add_element(in, element, err))
            return false;
    return true;
}

static void inline_close(struct table *table)
{
    memory_free(&((struct inline_table *)table)->mem);
}

static enum table_status inline_lookup(struct table *table, struct span key,
                                       struct strbuf *value, struct err *err UNUSED)
{
    const char *text = memory_get(&((struct inline_table *)table)->mem, key);

    if (!text)
        return TABLE_NOT_FOUND;
    strbuf_add_str(value, text);
    return TABLE_FOUND;
}

static enum table_status inline_next(struct table *table, bool first,
                                     struct strbuf *key, struct strbuf *value,
                                     struct err *err UNUSED)
{
    return memory_next(&((struct inline_table *)table)->mem, first, key, value);
}

extern const struct table_type table_type_inline;
const struct table_type table_type_inline = {
    .name = "inline",
    .size = sizeof(struct inline_table),
    .flags = TABLE_FIXED,
    .open = inline_open,
    .close = inline_close,
    .lookup = inline_lookup,
    .next = inline_next,
};
