#include "util/heap.h"

#include <stdlib.h>

void heap_init(struct heap *heap)
{
    memset(heap, 0, sizeof *heap);
}

void heap_free(struct heap *heap)
{
    for (size_t i = 0; i < heap->count; i++)
        heap->nodes[i]->slot = 0;
    free(heap->nodes);
    heap_init(heap);
}

static void heap_put(struct heap *heap, size_t pos, struct heap_node *node)
{
    heap->nodes[pos] = node;
    node->slot = pos + 1;
}

static void heap_sift_up(struct heap *heap, size_t pos, struct heap_node *node)
{
    while (pos > 0) {
        size_t parent = (pos - 1) / 2;

        if (heap->nodes[parent]->key <= node->key)
            break;
        heap_put(heap, pos, heap->nodes[parent]);
        pos = parent;
    }
    heap_put(heap, pos, node);
}

static void heap_sift_down(struct heap *heap, size_t pos, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * pos + 1;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count &&
            heap->nodes[child + 1]->key < heap->nodes[child]->key)
            child++;
        if (heap->nodes[child]->key >= node->key)
            break;
        heap_put(heap, pos, heap->nodes[child]);
        pos = child;
    }
    heap_put(heap, pos, node);
}

void heap_insert(struct heap *heap, struct heap_node *node, int64_t key)
{
    if (heap_linked(node))
        panic("heap_insert: node is in a heap already");
    if (heap->count == heap->cap) {
        heap->cap = heap->cap ? heap->cap * 2 : 16;
        heap->nodes = xrealloc(heap->nodes, heap->cap * sizeof heap->nodes[0]);
    }
    node->key = key;
    heap_sift_up(heap, heap->count++, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    struct heap_node *last;
    size_t pos;

    if (!heap_linked(node))
        return;
    pos = node->slot - 1;
    if (pos >= heap->count || heap->nodes[pos] != node)
        panic("heap_remove: node belongs to another heap");
    node->slot = 0;
    last = heap->nodes[--heap->count];
    if (last == node)
        return;
    if (pos > 0 && heap->nodes[(pos - 1) / 2]->key > last->key)
        heap_sift_up(heap, pos, last);
    else
        heap_sift_down(heap, pos, last);
}

struct heap_node *heap_min(const struct heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}
