/* Which of many networks of one address family holds an address, when the first one
 * listed counts. Addresses are numbers of up to 128 bits, the leftmost bit of the
 * address in the topmost bit of hi. */
#ifndef TABLE_CIDR_INDEX_H
#define TABLE_CIDR_INDEX_H

#include "util/base.h"

#define CIDR_INDEX_NONE UINT32_MAX

struct cidr_key {
    uint64_t hi, lo;
};

struct cidr_net {
    struct cidr_key start;
    uint32_t number; /* the lowest wins; not CIDR_INDEX_NONE */
    uint8_t prefix_len;
};

struct cidr_index; /* NULL: of no networks */

/* Sorts nets, which the index does not need afterwards. Time n log n; 12 bytes for each
 * range (20 when prefixes are longer than 64), at most two ranges a network. */
struct cidr_index *cidr_index_new(struct cidr_net *nets, size_t count);
void cidr_index_free(struct cidr_index *index);
/* Number of the network, or CIDR_INDEX_NONE. */
uint32_t cidr_index_find(const struct cidr_index *index, struct cidr_key key);

#endif
