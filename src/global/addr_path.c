#include "global/addr.h"
#include "global/addr_lex.h"

/* The path ends at white space outside of brackets and quotes. False: a bracket or a
 * quote is left open. */
static bool cut_path(struct span text, struct span *path_out, struct span *rest_out)
{
    size_t depth = 0, i = 0;
    bool quoted = false;

    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\' && i + 1 < text.len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (c == '<')
            depth++;
        else if (c == '>' && depth > 0)
            depth--;
        else if (depth == 0 && ascii_space(c))
            break;
    }
    *path_out = span_first(text, i);
    *rest_out = span_ltrim(span_skip(text, i));
    return depth == 0 && !quoted;
}

struct found {
    struct span address;
    size_t count;
};

static void found_item(void *arg, const struct addr_item *it)
{
    struct found *found = arg;

    if (it->internal.len == 0)
        return;
    found->address = it->internal;
    found->count++;
}

/* "<@a,@b:user@dom>": RFC 5321 lets a server ignore the route. */
static struct span strip_route(struct span path)
{
    if (path.len == 0 || path.ptr[0] != '@')
        return path;
    ssize_t colon = span_chr(path, ':');
    return colon < 0 ? path : span_ltrim(span_skip(path, (size_t)colon + 1));
}

enum addr_path addr_parse_path(struct span text, bool strict, struct arena *arena,
                               struct span *address_out, struct span *rest_out)
{
    struct found found = {SPAN_EMPTY, 0};
    struct span path;

    *address_out = SPAN_EMPTY;
    bool complete = cut_path(span_ltrim(text), &path, rest_out);
    if (!complete || path.len == 0)
        return ADDR_PATH_BAD;
    bool bracketed =
        path.len >= 2 && path.ptr[0] == '<' && path.ptr[path.len - 1] == '>';
    if (strict && !bracketed)
        return ADDR_PATH_BAD;
    if (bracketed)
        path = strip_route(span_ltrim(span_of(path.ptr + 1, path.len - 2)));
    struct addr_walk_info info = addr_walk(path, arena, found_item, &found);
    if (found.count > 1)
        return ADDR_PATH_BAD;
    if (strict && (info.comment || info.group ||
                   (found.count == 1 && found.address.ptr[0] == '@')))
        return ADDR_PATH_BAD;
    *address_out = found.address;
    return ADDR_PATH_OK;
}
