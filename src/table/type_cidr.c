/* cidr: network blocks; a key that is no address is not found. */
#include <stdlib.h>

#include "table/rules.h"
#include "util/net.h"

struct cidr {
    struct table table;
    struct rules rules;
};

static void *cidr_compile(struct span *rest, struct err *err, bool *unknown_out UNUSED)
{
    size_t len = 0;

    while (len < rest->len && !ascii_space(rest->ptr[len]))
        len++;
    struct net_block *block = xcalloc(1, sizeof(*block));
    struct span text = span_first(*rest, len);
    *rest = span_skip(*rest, len);
    if (net_block_parse(text, block, err))
        return block;
    free(block);
    return NULL;
}

static enum rule_match cidr_match(struct table *table UNUSED, void *pattern,
                                  struct span key, struct rule_groups *groups UNUSED,
                                  struct err *err UNUSED)
{
    struct net_addr addr;

    const struct net_block *block = pattern;

    if (!net_addr_parse(key, 0, &addr) || addr.sa.sa_family != block->family)
        return RULE_MATCH_NEVER;
    return net_block_match(block, &addr) ? RULE_MATCH_YES : RULE_MATCH_NO;
}

static const struct rule_syntax syntax = {
    .kind = "cidr",
    .compile = cidr_compile,
    .discard = free,
    .match = cidr_match,
};

static bool cidr_open(struct table *table, struct err *err)
{
    return rules_open(&((struct cidr *)table)->rules, &syntax, table, err);
}

static void cidr_close(struct table *table)
{
    rules_close(&((struct cidr *)table)->rules);
}

static enum table_status cidr_lookup(struct table *table, struct span key,
                                     struct strbuf *value, struct err *err UNUSED)
{
    struct net_addr addr;

    if (key.len == 0 || key.ptr[0] == '[' || !net_addr_parse(key, 0, &addr))
        return TABLE_NOT_FOUND;
    return rules_lookup(&((struct cidr *)table)->rules, table, key, value);
}

extern const struct table_type table_type_cidr;
const struct table_type table_type_cidr = {
    .name = "cidr",
    .size = sizeof(struct cidr),
    .flags = TABLE_PATTERN,
    .open = cidr_open,
    .close = cidr_close,
    .lookup = cidr_lookup,
};
