#include "util/hash.h"

#include <stdlib.h>

#define BUCKETS_MIN 16

void hash_init(struct hash *table, bool ignore_case)
{
    *table = (struct hash){.ignore_case = ignore_case};
}

void hash_free(struct hash *table)
{
    free(table->buckets);
    hash_init(table, table->ignore_case);
}

static uint64_t key_hash(const struct hash *table, struct span key)
{
    return table->ignore_case ? span_ihash(key) : span_hash(key);
}

static struct hash_node **bucket_of(const struct hash *table, uint64_t hash)
{
    return &table->buckets[hash & (table->bucket_count - 1)];
}

static void node_push(struct hash *table, struct hash_node *node)
{
    struct hash_node **bucket = bucket_of(table, node->hash);

    node->next = *bucket;
    *bucket = node;
}

static void grow(struct hash *table)
{
    struct hash_node **old = table->buckets;
    size_t old_count = table->bucket_count;

    table->bucket_count = old_count ? old_count * 2 : BUCKETS_MIN;
    table->buckets = xcalloc(table->bucket_count, sizeof(*table->buckets));
    for (size_t i = 0; i < old_count; i++)
        for (struct hash_node *node = old[i], *next; node; node = next) {
            next = node->next;
            node_push(table, node);
        }
    free(old);
}

struct hash_node *hash_find(const struct hash *table, struct span key)
{
    uint64_t hash;

    if (table->count == 0)
        return NULL;
    hash = key_hash(table, key);
    for (struct hash_node *node = *bucket_of(table, hash); node; node = node->next)
        if (node->hash == hash &&
            (table->ignore_case ? span_ieq(node->key, key) : span_eq(node->key, key)))
            return node;
    return NULL;
}

void hash_insert(struct hash *table, struct hash_node *node, struct span key)
{
    if (table->count >= table->bucket_count)
        grow(table);
    node->key = key;
    node->hash = key_hash(table, key);
    node_push(table, node);
    table->count++;
}

void hash_remove(struct hash *table, struct hash_node *node)
{
    struct hash_node **at;

    if (table->count == 0)
        panic("hash_remove: the table is empty");
    at = bucket_of(table, node->hash);
    while (*at && *at != node)
        at = &(*at)->next;
    if (!*at)
        panic("hash_remove: the node is not in the table");
    *at = node->next;
    node->next = NULL;
    table->count--;
}

struct hash_node *hash_next(const struct hash *table, const struct hash_node *node)
{
    size_t bucket = 0;

    if (table->count == 0)
        return NULL;
    if (node) {
        if (node->next)
            return node->next;
        bucket = (node->hash & (table->bucket_count - 1)) + 1;
    }
    for (; bucket < table->bucket_count; bucket++)
        if (table->buckets[bucket])
            return table->buckets[bucket];
    return NULL;
}
