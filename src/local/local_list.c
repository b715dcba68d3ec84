/* Lists of destinations: addresses, "|command", /file/name, :include:/file/name,
 * separated by commas or line ends, any of them in double quotes. */
#include "local/local.h"

struct list_walk {
    struct local_delivery *ld;
    const struct local_step *from;
    size_t count;
};

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
static bool next_item(struct span *rest, struct span *item_out)
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

static const char *one_address(void *arg, struct span internal)
{
    struct list_walk *walk = arg;
    const char *address = arena_span_str(walk->ld->arena, internal);

    walk->count++;
    if (*address == '\\')
        address++;
    local_address(walk->ld, walk->from, address);
    return NULL;
}

static void addresses(struct list_walk *walk, struct span item)
{
    struct strbuf unused = STRBUF_INIT;

    addr_header_rewrite(item, walk->ld->arena, one_address, walk, &unused);
    strbuf_free(&unused);
}

/* Not an address: a command, a file or an include file. */
static bool special(struct list_walk *walk, const char *text)
{
    static const struct span include = SPAN_LIT(":include:");
    const struct local_step *from = walk->from;
    struct local_delivery *ld = walk->ld;

    if (*text == '|')
        local_command(ld, from, text + 1 + strspn(text + 1, " \t"));
    else if (*text == '/')
        local_file(ld, from, text);
    else if (span_istarts(span_str(text), include))
        local_include(ld, from,
                      arena_span_str(ld->arena, span_trim(span_skip(span_str(text),
                                                                    include.len))));
    else if (strncmp(text, "~/", 2) == 0 && from->origin == ORIGIN_FORWARD &&
             from->rights)
        local_file(ld, from,
                   arena_printf(ld->arena, "%s%s", from->rights->home, text + 1));
    else
        return false;
    walk->count++;
    return true;
}

size_t local_list(struct local_delivery *ld, const struct local_step *from,
                  struct span text)
{
    struct list_walk walk = {ld, from, 0};
    struct span item;
    const char *plain;

    while (next_item(&text, &item)) {
        if (item.len == 0 || fiber_cancelled())
            continue;
        if (!unquote_whole(ld->arena, item, &plain))
            plain = arena_span_str(ld->arena, item);
        if (!special(&walk, plain))
            addresses(&walk, item);
    }
    return walk.count;
}
