/* The LMDB file format, version 1, as far as readers need it: numbers in the byte order
 * and word size of the machine. Page 0 and 1 are meta pages; tree pages hold an array
 * of 16-bit offsets behind their header, which grows up to lower, and nodes from upper
 * to the end. */
#ifndef TABLE_LMDB_PAGE_H
#define TABLE_LMDB_PAGE_H

#include "util/base.h"

#define LMDB_MAGIC     0xBEEFC0DEu
#define LMDB_VERSION   1u
#define LMDB_DEPTH_MAX 32

enum lmdb_page_flag {
    LMDB_BRANCH = 0x01,
    LMDB_LEAF = 0x02,
    LMDB_OVERFLOW = 0x04,
};
enum lmdb_node_flag {
    LMDB_BIG = 0x01
}; /* the data is the number of an overflow page */

struct lmdb_page {
    size_t number;
    uint16_t pad, flags;
    uint16_t lower, upper; /* overflow pages: one 32-bit number of pages */
};

struct lmdb_node {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint16_t low, high;
#else
    uint16_t high, low;
#endif
    uint16_t flags; /* branch: bits 32 to 47 of the page number */
    uint16_t key_size;
};

struct lmdb_meta_tree {
    uint32_t pad; /* of the free list: the page size */
    uint16_t flags, depth;
    size_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct lmdb_meta {
    uint32_t magic, version;
    void *address;
    size_t map_size;
    struct lmdb_meta_tree free_list, data;
    size_t last_page, txnid;
};

#endif
