#include "proxymap/proxymap.h"
#include "util/arena.h"

/* Settings nest; nobody nests deeper on purpose. */
#define DEPTH_MAX 20

static void add_list(struct approved *approved, struct span list, int depth);

static void add_name(struct approved *approved, struct span name)
{
    if (name.len == 0 || hash_find(&approved->names, name))
        return;
    struct hash_node *node = arena_alloc(approved->arena, sizeof(*node));
    hash_insert(&approved->names, node, arena_span(approved->arena, name));
}

static bool skip_prefix(struct span *text, const char *prefix)
{
    struct span want = span_str(prefix);

    if (!span_starts(*text, want))
        return false;
    *text = span_skip(*text, want.len);
    return true;
}

static void add_element(struct approved *approved, struct span text, int depth)
{
    if (text.len >= 2 && text.ptr[0] == '{' && text.ptr[text.len - 1] == '}') {
        struct span inside = span_trim(span_of(text.ptr + 1, text.len - 2));
        add_list(approved, inside, depth + 1);
        return;
    }
    if (skip_prefix(&text, "proxy:"))
        add_name(approved, text);
    while (skip_prefix(&text, "proxy:") || skip_prefix(&text, "debug:"))
        add_name(approved, text);
    if (skip_prefix(&text, "unionmap:") || skip_prefix(&text, "pipemap:"))
        add_element(approved, text, depth + 1);
}

static void add_list(struct approved *approved, struct span list, int depth)
{
    struct span element;

    /* "{ proxy:unionmap:{a, b} }" is one table; the inside may be one too. */
    while (depth < DEPTH_MAX && table_next_element(&list, &element))
        add_element(approved, element, depth);
}

void approved_init(struct approved *approved, const char *list)
{
    approved->arena = arena_new();
    hash_init(&approved->names, false);
    add_list(approved, span_str(list), 0);
}

void approved_free(struct approved *approved)
{
    hash_free(&approved->names);
    arena_free(approved->arena);
}

bool approved_has(const struct approved *approved, struct span name)
{
    return hash_find(&approved->names, name) != NULL;
}
