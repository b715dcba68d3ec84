#include <stdlib.h>

#include "global/mail_table.h"
#include "global/match_list.h"
#include "util/file.h"
#include "util/msg.h"

#define FILE_MAX   (16u * 1024 * 1024)
#define FILE_DEPTH 10
#define SEPARATORS ", \t\r\n"

enum item_kind { ITEM_TEXT, ITEM_TABLE, ITEM_BLOCK, ITEM_BROKEN };

struct item {
    enum item_kind kind;
    bool negated;
    struct span text; /* TEXT: pattern; BROKEN: what is wrong */
    struct table *table;
    struct net_block block;
};

struct match_list {
    const char *name;
    enum match_kind kind;
    bool parents; /* "example.com" covers its subdomains */
    struct arena *arena;
    struct arena *scratch;
    const struct table_env *env;
    unsigned table_flags;
    struct item *items;
    size_t count;
};

static struct item *new_item(struct match_list *list, enum item_kind kind, bool negated,
                             struct span text)
{
    list->items = xrealloc(list->items, (list->count + 1) * sizeof(*list->items));
    struct item *item = &list->items[list->count++];
    *item = (struct item){.kind = kind, .negated = negated};
    item->text = arena_span(list->arena, text);
    return item;
}

static void add_broken(struct match_list *list, const struct err *err)
{
    msg_warn("%s: %s", list->name, err->text);
    new_item(list, ITEM_BROKEN, false, span_str(err->text));
}

static void add_table(struct match_list *list, bool negated, struct span text)
{
    struct err err;
    char *name = arena_span_str(list->arena, text);
    struct table *table =
        table_open(list->env, name, TABLE_READ, list->table_flags, &err);

    if (!table) {
        msg_error("%s", err.text);
        table = table_surrogate(name, TABLE_RETRY, err.text);
    }
    new_item(list, ITEM_TABLE, negated, text)->table = table;
}

static bool looks_like_block(struct span text)
{
    return span_chr(text, '/') >= 0 || text.ptr[0] == '[' ||
           (span_chr(text, ':') >= 0 && text.ptr[0] != '.');
}

/* "192.0.2.1", "192.0.2.0/24", "[2001:db8::]/32", "2001:db8::/32". */
static bool try_block(struct match_list *list, bool negated, struct span text)
{
    struct net_block block;
    struct err err;

    if (net_block_parse(text, &block, &err)) {
        new_item(list, ITEM_BLOCK, negated, text)->block = block;
        return true;
    }
    if (!looks_like_block(text))
        return false;
    add_broken(list, &err);
    return true;
}

/* "type:name", but not an address such as "::1" or "2001:db8::/32". */
static bool is_table(struct span text)
{
    ssize_t colon = span_chr(text, ':');

    if (colon <= 0)
        return false;
    for (ssize_t i = 0; i < colon; i++)
        if (!ascii_alnum(text.ptr[i]) && text.ptr[i] != '_')
            return false;
    struct net_block block;
    struct err err;
    return !net_block_parse(text, &block, &err);
}

static void add_text(struct match_list *list, struct span text, bool negated,
                     int depth);

static void add_file(struct match_list *list, struct span name, bool negated, int depth)
{
    struct strbuf text = STRBUF_INIT;
    struct err err;
    char *path = arena_span_str(list->arena, name);

    if (depth >= FILE_DEPTH) {
        err_set(&err, "files name each other too deeply at %s", path);
        add_broken(list, &err);
    } else if (!file_read_all(path, FILE_MAX, &text, &err)) {
        add_broken(list, &err);
    } else {
        struct span rest = strbuf_span(&text);
        while (rest.ptr) {
            struct span line = span_trim(span_cut(&rest, '\n'));
            if (line.len > 0 && line.ptr[0] != '#')
                add_text(list, line, negated, depth + 1);
        }
    }
    strbuf_free(&text);
}

static void add_element(struct match_list *list, struct span text, bool negated,
                        int depth)
{
    while (text.len > 0 && text.ptr[0] == '!') {
        negated = !negated;
        text = span_skip(text, 1);
    }
    if (text.len == 0) {
        struct err err;
        err_set(&err, "no pattern after '!'");
        add_broken(list, &err);
    } else if (text.ptr[0] == '/') {
        add_file(list, text, negated, depth);
    } else if (is_table(text)) {
        add_table(list, negated, text);
    } else if (list->kind != MATCH_HOST || !try_block(list, negated, text)) {
        new_item(list, ITEM_TEXT, negated, text);
    }
}

static void add_text(struct match_list *list, struct span text, bool negated, int depth)
{
    struct span element;

    while (table_next_element(&text, &element))
        add_element(list, element, negated, depth);
}

bool match_parent_domains(const struct config *cfg, const char *feature)
{
    struct span rest = span_str(cfg->parent_domain_matches_subdomains), name;

    while (span_token(&rest, SEPARATORS, &name))
        if (span_ieq_str(name, feature))
            return true;
    return false;
}

struct match_list *match_list_open(const struct config *cfg, const char *name,
                                   const char *text, enum match_kind kind)
{
    struct match_list *list = xcalloc(1, sizeof(*list));

    list->arena = arena_new();
    list->scratch = arena_new();
    list->name = arena_str(list->arena, name);
    list->kind = kind;
    list->parents = match_parent_domains(cfg, name);
    list->env = mail_table_env(cfg);
    list->table_flags = mail_table_flags(cfg);
    add_text(list, span_str(text), false, 0);
    return list;
}

void match_list_close(struct match_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        table_close(list->items[i].table);
    free(list->items);
    arena_free(list->scratch);
    arena_free(list->arena);
    free(list);
}

static enum match_result ask_table(struct match_list *list, struct table *table,
                                   struct span key)
{
    const char *value;
    struct err err;

    arena_reset(list->scratch); /* nobody keeps the values */
    switch (table_lookup(table, key, list->scratch, &value, &err)) {
    case TABLE_FOUND:
        return MATCH_YES;
    case TABLE_NOT_FOUND:
        return MATCH_NO;
    default:
        if (err.text[0])
            msg_warn("%s", err.text);
        msg_warn("%s: %s: table lookup problem", list->name, table_name(table));
        return MATCH_RETRY;
    }
}

/* The name, then its parents: "a.b.c" asks for "b.c" and "c", with a dot in front
 * unless the list's parents cover subdomains. */
static enum match_result ask_table_domain(struct match_list *list, struct table *table,
                                          struct span name)
{
    enum match_result result = ask_table(list, table, name);

    if (list->kind == MATCH_STRING || !(table_flags(table) & TABLE_FIXED))
        return result;
    while (result == MATCH_NO) {
        ssize_t dot = span_chr(span_skip(name, 1), '.');
        if (name.len == 0 || dot < 0)
            break;
        name = span_skip(name, (size_t)dot + 1);
        result = ask_table(list, table, list->parents ? span_skip(name, 1) : name);
    }
    return result;
}

static bool text_matches(const struct match_list *list, struct span pattern,
                         struct span name)
{
    if (span_ieq(pattern, name))
        return true;
    if (list->kind == MATCH_STRING || name.len <= pattern.len || pattern.len == 0)
        return false;
    if (pattern.ptr[0] == '.')
        return !list->parents && span_iends(name, pattern);
    return list->parents && span_iends(name, pattern) &&
           name.ptr[name.len - pattern.len - 1] == '.';
}

static enum match_result match_item(struct match_list *list, const struct item *item,
                                    struct span name, const struct net_addr *addr)
{
    char text[NET_ADDR_STRLEN];
    enum match_result result;

    switch (item->kind) {
    case ITEM_TEXT:
        return text_matches(list, item->text, name) ? MATCH_YES : MATCH_NO;
    case ITEM_TABLE:
        result = name.len > 0 ? ask_table_domain(list, item->table, name) : MATCH_NO;
        if (result != MATCH_NO || !addr)
            return result;
        net_addr_host(addr, text);
        return ask_table(list, item->table, span_str(text));
    case ITEM_BLOCK:
        return addr && net_block_match(&item->block, addr) ? MATCH_YES : MATCH_NO;
    case ITEM_BROKEN:
        break;
    }
    msg_warn("%s: %.*s", list->name, SPAN_ARG(item->text));
    return MATCH_RETRY;
}

enum match_result match_list_find_host(struct match_list *list, struct span host,
                                       const struct net_addr *addr)
{
    enum match_result result = MATCH_NO;

    for (size_t i = 0; i < list->count && result == MATCH_NO; i++) {
        const struct item *item = &list->items[i];
        result = match_item(list, item, host, addr);
        if (result == MATCH_YES && item->negated)
            break;
        if (result != MATCH_NO)
            return result;
    }
    return MATCH_NO;
}

enum match_result match_list_find(struct match_list *list, struct span text)
{
    return match_list_find_host(list, text, NULL);
}

bool match_list_empty(const struct match_list *list)
{
    return list->count == 0;
}

const char *match_list_changed(const struct match_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].table && table_changed(list->items[i].table))
            return table_name(list->items[i].table);
    return NULL;
}
