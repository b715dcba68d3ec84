/* inline:{ key=value, { key = text with spaces } }: read-only, in memory. */
#include "table/fold.h"
#include "table/memory.h"
#include "table/value_files.h"

struct inline_table {
    struct table table;
    struct memory mem;
};

static bool syntax_error(const struct table *table, const char *what, struct err *err)
{
    return err_set(err, "%s: \"%s\"; need \"inline:{name=%s...}\"", what,
                   table->full_name,
                   table->flags & TABLE_BASE64 ? "filename" : "value");
}

/* Length of the key: up to '=' or white space outside of double quotes; -1: a quote is
 * left open. A backslash protects. */
static ssize_t key_length(struct span text)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\' && i + 1 < text.len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '=' || ascii_space(c)))
            break;
    }
    return quoted ? -1 : (ssize_t)i;
}

static bool add_pair(struct inline_table *in, struct span key, struct span value,
                     struct err *err)
{
    struct strbuf folded = STRBUF_INIT, content = STRBUF_INIT;
    unsigned flags = in->table.flags;
    struct err why;
    bool ok = true;

    if (!(flags & TABLE_NO_FOLD))
        key = fold_key(key, flags & TABLE_UTF8, &folded);
    if (flags & TABLE_BASE64) {
        ok = value_files_read(value, &content, &why) ||
             syntax_error(&in->table, why.text, err);
        value = strbuf_span(&content);
    }
    if (ok)
        memory_put(&in->mem, key, value, true);
    strbuf_free(&folded);
    strbuf_free(&content);
    return ok;
}

/* The inside of an element in braces. */
static bool inside_braces(struct inline_table *in, struct span *text, struct err *err)
{
    struct err what;

    if (table_braces(*text) != text->len) {
        err_set(&what, "syntax error after '}' in \"%.*s\"", SPAN_ARG(*text));
        return syntax_error(&in->table, what.text, err);
    }
    *text = span_trim(span_of(text->ptr + 1, text->len - 2));
    return text->len > 0 ||
           syntax_error(&in->table, "no key found; expected format: key = value", err);
}

static bool add_element(struct inline_table *in, struct span text, struct err *err)
{
    if (text.ptr[0] == '{' && !inside_braces(in, &text, err))
        return false;
    ssize_t len = key_length(text);
    if (len < 0)
        return syntax_error(&in->table, "unbalanced '\"'", err);
    struct span value = span_ltrim(span_skip(text, (size_t)len));
    if (value.len == 0 || value.ptr[0] != '=')
        return syntax_error(&in->table, "missing '=' after attribute name", err);
    return add_pair(in, span_first(text, (size_t)len), span_trim(span_skip(value, 1)),
                    err);
}

static bool inline_open(struct table *table, struct err *err)
{
    struct inline_table *in = (struct inline_table *)table;
    struct span rest = span_str(table->name), element;
    size_t count = 0;

    memory_init(&in->mem);
    if ((table->flags & TABLE_UTF8) && !span_is_utf8(rest))
        return syntax_error(table, "bad UTF-8 syntax", err);
    if (rest.len <= 2 || rest.ptr[0] != '{' || table_braces(rest) != rest.len)
        return syntax_error(table, "bad syntax", err);
    rest = span_of(rest.ptr + 1, rest.len - 2);
    for (; table_next_element(&rest, &element); count++)
        if (!add_element(in, element, err))
            return false;
    return count > 0 || syntax_error(table, "empty table", err);
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
