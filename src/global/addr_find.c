#include "global/addr_find.h"

#include "global/addr.h"
#include "global/addr_lex.h"

struct search {
    const struct addr_finder *finder;
    struct maps *maps;
    struct arena *arena;
    const char **value_out;
    struct span address, local, user, extension, domain;
    bool has_domain;
};

static enum table_status ask(struct search *s, struct span key)
{
    return maps_find(s->maps, key, TABLE_FIXED, s->arena, s->value_out);
}

/* An address key, external form first. kinds: which tables. */
static enum table_status ask_address(struct search *s, struct span key, unsigned kinds)
{
    struct strbuf external = STRBUF_INIT;

    addr_quote(&external, key);
    enum table_status status =
        maps_find(s->maps, strbuf_span(&external), kinds, s->arena, s->value_out);
    bool differs = !span_eq(strbuf_span(&external), key);
    strbuf_free(&external);
    if (status == TABLE_NOT_FOUND && differs)
        status = ask(s, key);
    return status;
}

static enum table_status ask_local_at(struct search *s, struct span local,
                                      struct span domain, bool at)
{
    struct strbuf key = STRBUF_INIT;

    strbuf_add_span(&key, local);
    if (at)
        strbuf_add_char(&key, '@');
    strbuf_add_span(&key, domain);
    enum table_status status = ask_address(s, strbuf_span(&key), TABLE_FIXED);
    strbuf_free(&key);
    return status;
}

/* With the extension, then without; *found_short: the shorter key it was. */
static enum table_status ask_users(struct search *s, struct span domain, bool at,
                                   bool *found_short)
{
    enum table_status status = ask_local_at(s, s->local, domain, at);

    if (status != TABLE_NOT_FOUND || s->extension.len == 0)
        return status;
    *found_short = true;
    return ask_local_at(s, s->user, domain, at);
}

static enum match_result domain_is_ours(struct search *s)
{
    if (!s->has_domain || span_ieq_str(s->domain, s->finder->cfg->myorigin))
        return MATCH_YES;
    if (!s->finder->local)
        return MATCH_NO;
    return local_host_is_local(s->finder->local, s->domain);
}

static enum table_status ask_bare_user(struct search *s, bool *found_short)
{
    /* Without a domain the full address was this key already. */
    if (!s->has_domain) {
        if (s->extension.len == 0)
            return TABLE_NOT_FOUND;
        *found_short = true;
        return ask_local_at(s, s->user, SPAN_EMPTY, false);
    }
    switch (domain_is_ours(s)) {
    case MATCH_RETRY:
        return TABLE_RETRY;
    case MATCH_NO:
        return TABLE_NOT_FOUND;
    case MATCH_YES:
        break;
    }
    return ask_users(s, SPAN_EMPTY, false, found_short);
}

static enum table_status ask_parents(struct search *s, bool with_dot)
{
    struct span name = s->domain;
    enum table_status status = TABLE_NOT_FOUND;

    if (name.len == 0 || name.ptr[0] == '[')
        return status;
    while (status == TABLE_NOT_FOUND) {
        ssize_t dot = span_chr(span_skip(name, 1), '.');
        if (dot < 0)
            break;
        name = span_skip(name, (size_t)dot + 1);
        status = ask(s, with_dot ? name : span_skip(name, 1));
    }
    return status;
}

static enum table_status run_steps(struct search *s, unsigned steps, bool *found_short)
{
    enum table_status status = TABLE_NOT_FOUND;

    if (steps & ADDR_FIND_FULL)
        status = ask_address(s, s->address, 0);
    if (status == TABLE_NOT_FOUND && (steps & ADDR_FIND_NO_EXT) && s->has_domain &&
        s->extension.len > 0) {
        *found_short = true;
        status = ask_local_at(s, s->user, s->domain, true);
    }
    if (status == TABLE_NOT_FOUND && (steps & ADDR_FIND_USER)) {
        *found_short = false;
        status = ask_bare_user(s, found_short);
    }
    if (status == TABLE_NOT_FOUND)
        *found_short = true;
    if (status == TABLE_NOT_FOUND && (steps & ADDR_FIND_AT_DOMAIN) && s->has_domain)
        status = ask(s, span_skip(s->address, s->local.len));
    if (status == TABLE_NOT_FOUND && (steps & ADDR_FIND_DOMAIN) && s->domain.len > 0)
        status = ask(s, s->domain);
    if (status == TABLE_NOT_FOUND && (steps & ADDR_FIND_PARENTS))
        status = ask_parents(s, false);
    if (status == TABLE_NOT_FOUND && (steps & ADDR_FIND_DOT_PARENTS))
        status = ask_parents(s, true);
    if (status == TABLE_NOT_FOUND && (steps & ADDR_FIND_USER_AT)) {
        *found_short = false;
        status = ask_users(s, SPAN_EMPTY, true, found_short);
    }
    return status;
}

enum table_status addr_find(const struct addr_finder *finder, struct maps *maps,
                            struct span address, unsigned steps, struct arena *arena,
                            const char **value_out, struct span *extension_out)
{
    struct search s = {.finder = finder,
                       .maps = maps,
                       .arena = arena,
                       .value_out = value_out,
                       .address = address};
    bool found_short = false;

    *value_out = NULL;
    if (extension_out)
        *extension_out = SPAN_EMPTY;
    if (maps_empty(maps) || address.len == 0)
        return TABLE_NOT_FOUND;
    addr_split(address, &s.local, &s.domain);
    s.has_domain = s.local.len < address.len;
    /* extension with its delimiter */
    if (addr_split_extension(s.local, finder->cfg->recipient_delimiter, &s.user,
                             &s.extension))
        s.extension = span_skip(s.local, s.user.len);
    enum table_status status = run_steps(&s, steps, &found_short);
    if (status == TABLE_FOUND && extension_out && found_short)
        *extension_out = s.extension;
    return status;
}

struct expansion {
    struct arena *arena;
    struct addr_list *list;
    size_t capacity;
    struct span local, extension;
};

static void append_result(struct expansion *ex, struct span address)
{
    if (ex->list->count == ex->capacity) {
        size_t capacity = ex->capacity ? ex->capacity * 2 : 4;
        struct span *list = arena_alloc(ex->arena, capacity * sizeof(*list));
        if (ex->list->count)
            memcpy(list, ex->list->list, ex->list->count * sizeof(*list));
        ex->list->list = list;
        ex->capacity = capacity;
    }
    ex->list->list[ex->list->count++] = address;
}

static void expand_item(void *arg, const struct addr_item *it)
{
    struct expansion *ex = arg;
    struct span local, domain;
    struct strbuf sb = STRBUF_INIT;

    if (it->internal.len == 0)
        return;
    addr_split(it->internal, &local, &domain);
    if (local.len == 0) {
        strbuf_add_span(&sb, ex->local);
    } else {
        strbuf_add_span(&sb, local);
        strbuf_add_span(&sb, ex->extension);
    }
    strbuf_add_span(&sb, span_skip(it->internal, local.len));
    append_result(ex, arena_span(ex->arena, strbuf_span(&sb)));
    strbuf_free(&sb);
}

enum table_status addr_map(const struct addr_finder *finder, struct maps *maps,
                           struct span address, unsigned steps, bool propagate,
                           struct arena *arena, struct addr_list *list_out)
{
    struct expansion ex = {.arena = arena, .list = list_out};
    struct span extension, domain;
    const char *value;

    *list_out = (struct addr_list){NULL, 0};
    enum table_status status =
        addr_find(finder, maps, address, steps, arena, &value, &extension);
    if (status != TABLE_FOUND)
        return status;
    addr_split(address, &ex.local, &domain);
    if (propagate)
        ex.extension = extension;
    addr_walk(span_str(value), arena, expand_item, &ex);
    return TABLE_FOUND;
}

bool addr_map_propagates(const struct config *cfg, const char *kind)
{
    struct span rest = span_str(cfg->propagate_unmatched_extensions), name;

    while (span_token(&rest, ", \t\r\n", &name))
        if (span_ieq_str(name, kind))
            return true;
    return false;
}
