/* Search of a cidr table: the rules between an IF and its ENDIF are a block, and so are
 * those outside of all. Of the plain networks of a block an index gives the first one
 * that holds the address; only negated rules and blocks within the block are tried one
 * after another. */
#ifndef TABLE_CIDR_BLOCK_H
#define TABLE_CIDR_BLOCK_H

#include "table/rules.h"
#include "util/net.h"

struct cidr_blocks;

/* Patterns of the rules are struct net_block. rules must outlive the blocks. */
struct cidr_blocks *cidr_blocks_new(const struct rules *rules);
void cidr_blocks_free(struct cidr_blocks *blocks);
/* The first rule that matches, or NULL. A rule of the other address family does not
 * match, negated or not. */
const struct rule *cidr_blocks_find(const struct cidr_blocks *blocks,
                                    const struct net_addr *addr);

#endif
