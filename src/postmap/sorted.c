#include "postmap/sorted.h"

#include <endian.h>
#include <stdlib.h>

#define ROOM_MIN ((size_t)16 * 1024)

void sorted_init(struct sorted *all)
{
    *all = (struct sorted){.arena = arena_new()};
}

void sorted_free(struct sorted *all)
{
    free(all->entries);
    arena_free(all->arena);
}

static struct span keep(struct sorted *all, struct span stable, struct span s)
{
    uintptr_t at = (uintptr_t)s.ptr, start = (uintptr_t)stable.ptr;

    return at >= start && at + s.len <= start + stable.len ? s
                                                           : arena_span(all->arena, s);
}

static uint64_t head(struct span key)
{
    uint64_t word = 0;

    if (key.len > 0)
        memcpy(&word, key.ptr, key.len < sizeof(word) ? key.len : sizeof(word));
    return be64toh(word);
}

void sorted_add(struct sorted *all, struct span stable, struct span key,
                struct span value)
{
    if (all->count == all->room) {
        all->room = all->room ? all->room * 2 : ROOM_MIN;
        all->entries = xrealloc(all->entries, all->room * sizeof(*all->entries));
    }
    key = keep(all, stable, key);
    all->entries[all->count] = (struct sorted_entry){
        .head = {head(key), head(span_skip(key, sizeof(uint64_t)))},
        .key = key,
        .value = keep(all, stable, value),
        .number = all->count,
    };
    all->count++;
}

static int compare_keys(const struct sorted_entry *a, const struct sorted_entry *b)
{
    for (int i = 0; i < 2; i++)
        if (a->head[i] != b->head[i])
            return a->head[i] < b->head[i] ? -1 : 1;
    return span_cmp(a->key, b->key);
}

static int by_number(const void *a, const void *b)
{
    const struct sorted_entry *one = a, *two = b;

    return (one->number > two->number) - (one->number < two->number);
}

static int by_key(const void *a, const void *b)
{
    int order = compare_keys(a, b);

    return order ? order : by_number(a, b);
}

void sorted_by_key(struct sorted *all, bool last)
{
    if (all->count == 0)
        return;
    qsort(all->entries, all->count, sizeof(*all->entries), by_key);
    for (size_t i = 1; i < all->count; i++)
        if (compare_keys(&all->entries[i - 1], &all->entries[i]) == 0)
            all->entries[last ? i - 1 : i].duplicate = true;
}

void sorted_by_number(struct sorted *all)
{
    if (all->count > 0)
        qsort(all->entries, all->count, sizeof(*all->entries), by_number);
}
