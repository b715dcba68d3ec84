#include "local/local_item.h"

#include "util/strbuf.h"

/* Offset behind the quoted string, comment or address in brackets that starts at pos.
 */
static size_t skip_group(struct span text, size_t pos)
{
    char open = text.ptr[pos], close = open == '(' ? ')' : open == '<' ? '>' : '"';
    int depth = 1;

    for (pos++; pos < text.len && depth > 0; pos++) {
        char c = text.ptr[pos];

        if (c == '\\' && pos + 1 < text.len)
            pos++;
        else if (c == close)
            depth--;
        else if (c == '(' && open == '(')
            depth++;
        else if (c == '\n')
            break; /* never closed: ends with its line */
    }
    return pos;
}

/* Next item up to a comma or line end outside quotes. A line that begins with # is a
 * comment, as is anything in it. */
bool local_item_next(struct span *rest, struct span *item_out)
{
    size_t pos = 0;

    *rest = span_ltrim(*rest);
    while (rest->len > 0 && rest->ptr[0] == '#') {
        span_cut(rest, '\n');
        *rest = span_ltrim(*rest);
    }
    if (rest->len == 0)
        return false;
    while (pos < rest->len && rest->ptr[pos] != ',' && rest->ptr[pos] != '\n') {
        char c = rest->ptr[pos];

        pos = c == '"' || c == '(' || c == '<' ? skip_group(*rest, pos) : pos + 1;
    }
    *item_out = span_trim(span_first(*rest, pos));
    *rest = span_skip(*rest, pos < rest->len ? pos + 1 : pos);
    return true;
}

/* "text" as a whole: without its quotes and backslashes. */
static bool unquote_whole(struct arena *arena, struct span item, const char **text_out)
{
    struct strbuf sb = STRBUF_INIT;

    if (item.len < 2 || item.ptr[0] != '"' || skip_group(item, 0) != item.len ||
        item.ptr[item.len - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < item.len; i++) {
        if (item.ptr[i] == '\\' && i + 2 < item.len)
            i++;
        strbuf_add_char(&sb, item.ptr[i]);
    }
    *text_out = arena_str(arena, sb.ptr);
    strbuf_free(&sb);
    return true;
}

const char *local_item_text(struct span item, struct arena *arena)
{
    struct span command = item;
    const char *text;

    if (unquote_whole(arena, item, &text))
        return text;
    if (item.len > 0 && item.ptr[0] == '|') {
        command = span_ltrim(span_skip(item, 1));
        if (unquote_whole(arena, command, &text))
            return arena_printf(arena, "|%s", text);
    }
    return arena_span_str(arena, item);
}
