/* Intrusive binary min-heap ordered by a 64-bit key (a time, mostly). Insert,
 * remove of any node and pop are O(log n). */
#ifndef UTIL_HEAP_H
#define UTIL_HEAP_H

#include "util/base.h"

struct heap_node {
    int64_t key;
    size_t slot; /* position + 1; 0 = not in a heap (zeroed memory is valid) */
};

struct heap {
    struct heap_node **nodes;
    size_t count, cap;
};

void heap_init(struct heap *heap);
void heap_free(struct heap *heap);
void heap_insert(struct heap *heap, struct heap_node *node, int64_t key);
void heap_remove(struct heap *heap, struct heap_node *node); /* no-op when not in */
struct heap_node *heap_min(const struct heap *heap);         /* NULL when empty */
static inline bool heap_linked(const struct heap_node *node)
{
    return node->slot != 0;
}

#endif
