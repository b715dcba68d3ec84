/* Intrusive hash table keyed by text. The entry embeds struct hash_node and owns
 * its key; the key must stay unchanged while the node is in the table. Grows by
 * itself; iteration order is arbitrary. */
#ifndef UTIL_HASH_H
#define UTIL_HASH_H

#include "util/span.h"

struct hash_node {
    struct hash_node *next;
    struct span key;
    uint64_t hash;
};

struct hash {
    struct hash_node **buckets;
    size_t bucket_count; /* power of two, or 0 */
    size_t count;
    bool ignore_case; /* ASCII */
};

void hash_init(struct hash *table, bool ignore_case);
void hash_free(struct hash *table); /* frees the buckets, not the entries */
struct hash_node *hash_find(const struct hash *table, struct span key);
/* The key must not be in the table. */
void hash_insert(struct hash *table, struct hash_node *node, struct span key);
void hash_remove(struct hash *table, struct hash_node *node);
/* node = hash_next(table, NULL) starts; the current node may be removed only
 * after its successor was fetched. */
struct hash_node *hash_next(const struct hash *table, const struct hash_node *node);
#define hash_entry(node, type, member) container_of(node, type, member)

#endif
