#include "table/cidr_block.h"

#include <stdlib.h>

#include "table/cidr_index.h"

/* A rule that the index does not know. */
struct special {
    uint32_t rule;
    uint32_t block; /* IF: what it guards; otherwise RULES_NONE */
};

struct block {
    uint32_t first, end; /* rules */
    uint32_t parent;     /* block, and which special of it leads here */
    uint32_t parent_special;
    struct cidr_index *v4, *v6;
    struct special *specials;
    uint32_t special_count;
};

struct cidr_blocks {
    const struct rules *rules;
    struct block *list; /* the first is outside of all IFs */
    uint32_t count, room;
};

/* Networks and specials of one block, while it is built. */
struct collector {
    struct cidr_net *v4, *v6;
    size_t v4_count, v6_count;
    struct special *specials;
    uint32_t special_count;
};

static uint64_t big_endian(const uint8_t *bytes)
{
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

static struct cidr_key key_of(int family, const uint8_t *bytes)
{
    uint8_t padded[16] = {0};

    memcpy(padded, bytes, family == AF_INET ? 4 : 16);
    return (struct cidr_key){big_endian(padded), big_endian(padded + 8)};
}

static uint32_t add_block(struct cidr_blocks *blocks, uint32_t first, uint32_t end,
                          uint32_t parent, uint32_t parent_special)
{
    if (blocks->count == blocks->room) {
        blocks->room += blocks->room / 2 + 1;
        blocks->list = xrealloc(blocks->list, blocks->room * sizeof(*blocks->list));
    }
    blocks->list[blocks->count] = (struct block){
        .first = first, .end = end, .parent = parent, .parent_special = parent_special};
    return blocks->count++;
}

static void add_net(struct collector *found, const struct net_block *net,
                    uint32_t number)
{
    bool v4 = net->family == AF_INET;
    struct cidr_net *slot =
        v4 ? &found->v4[found->v4_count++] : &found->v6[found->v6_count++];

    *slot = (struct cidr_net){.start = key_of(net->family, net->bytes),
                              .number = number,
                              .prefix_len = (uint8_t)net->prefix_len};
}

static void add_special(struct cidr_blocks *blocks, uint32_t self,
                        struct collector *found, uint32_t number)
{
    const struct rule *rule = &blocks->rules->list[number];
    uint32_t inner = RULES_NONE;

    if (rule->kind == RULE_IF)
        inner = add_block(blocks, number + 1, rule->jump, self, found->special_count);
    found->specials[found->special_count++] = (struct special){number, inner};
}

/* Blocks inside this one are added behind it, to be built later. */
static void build_block(struct cidr_blocks *blocks, uint32_t self,
                        struct collector *found)
{
    const struct rule *list = blocks->rules->list;
    uint32_t end = blocks->list[self].end;

    found->v4_count = found->v6_count = found->special_count = 0;
    for (uint32_t i = blocks->list[self].first; i < end; i++) {
        if (list[i].kind == RULE_RESULT && !list[i].negated)
            add_net(found, list[i].pattern, i);
        else
            add_special(blocks, self, found, i);
        if (list[i].kind == RULE_IF)
            i = list[i].jump;
    }
    struct block *block = &blocks->list[self];
    block->v4 = cidr_index_new(found->v4, found->v4_count);
    block->v6 = cidr_index_new(found->v6, found->v6_count);
    block->special_count = found->special_count;
    if (found->special_count > 0) {
        size_t size = found->special_count * sizeof(*block->specials);
        block->specials = xmalloc(size);
        memcpy(block->specials, found->specials, size);
    }
}

struct cidr_blocks *cidr_blocks_new(const struct rules *rules)
{
    struct cidr_blocks *blocks = xcalloc(1, sizeof(*blocks));
    size_t room = rules->count + 1;
    struct collector found = {
        .v4 = xmalloc(room * sizeof(*found.v4)),
        .v6 = xmalloc(room * sizeof(*found.v6)),
        .specials = xmalloc(room * sizeof(*found.specials)),
    };

    blocks->rules = rules;
    add_block(blocks, 0, rules->count, RULES_NONE, 0);
    for (uint32_t i = 0; i < blocks->count; i++)
        build_block(blocks, i, &found);
    free(found.v4);
    free(found.v6);
    free(found.specials);
    return blocks;
}

void cidr_blocks_free(struct cidr_blocks *blocks)
{
    if (!blocks)
        return;
    for (uint32_t i = 0; i < blocks->count; i++) {
        cidr_index_free(blocks->list[i].v4);
        cidr_index_free(blocks->list[i].v6);
        free(blocks->list[i].specials);
    }
    free(blocks->list);
    free(blocks);
}

struct search {
    const struct cidr_blocks *blocks;
    const struct net_addr *addr;
    struct cidr_key key;
};

static uint32_t first_plain(const struct search *search, uint32_t block)
{
    const struct block *list = search->blocks->list;

    return cidr_index_find(search->addr->sa.sa_family == AF_INET ? list[block].v4
                                                                 : list[block].v6,
                           search->key);
}

static bool special_matches(const struct search *search, const struct rule *rule)
{
    const struct net_block *net = rule->pattern;

    return net->family == search->addr->sa.sa_family &&
           net_block_match(net, search->addr) != rule->negated;
}

/* Number of the rule. The specials in front of the first plain match come first; one
 * that is an IF leads into its block, and from there back when nothing is found. */
static uint32_t find(const struct search *search)
{
    const struct block *list = search->blocks->list;
    const struct rule *rules = search->blocks->rules->list;
    uint32_t here = 0, at = 0;
    uint32_t plain = first_plain(search, here);

    for (;;) {
        const struct block *block = &list[here];
        if (at < block->special_count && block->specials[at].rule < plain) {
            const struct special *special = &block->specials[at++];
            if (!special_matches(search, &rules[special->rule]))
                continue;
            if (special->block == RULES_NONE)
                return special->rule;
            here = special->block;
            at = 0;
        } else if (plain != CIDR_INDEX_NONE || here == 0) {
            return plain;
        } else {
            at = block->parent_special + 1;
            here = block->parent;
        }
        plain = first_plain(search, here);
    }
}

const struct rule *cidr_blocks_find(const struct cidr_blocks *blocks,
                                    const struct net_addr *addr)
{
    struct search search = {.blocks = blocks, .addr = addr};
    bool v4 = addr->sa.sa_family == AF_INET;

    search.key = key_of(addr->sa.sa_family, v4 ? (const uint8_t *)&addr->in.sin_addr
                                               : (const uint8_t *)&addr->in6.sin6_addr);
    uint32_t number = find(&search);
    return number == CIDR_INDEX_NONE ? NULL : &blocks->rules->list[number];
}
