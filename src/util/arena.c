#include "util/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

/* With the address sanitizer, free room is poisoned and a gap is left behind each
 * allocation, so that an overrun of one is found. */
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define GAP 16
#else
#define ASAN_POISON_MEMORY_REGION(ptr, size)   ((void)(ptr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, size) ((void)(ptr), (void)(size))
#define GAP                                    0
#endif

#define ALIGNMENT   16
#define BLOCK_FIRST 2048
#define BLOCK_MAX   (64 * 1024)

struct block {
    struct block *next;
    size_t size; /* of data */
    _Alignas(ALIGNMENT) char data[];
};

/* blocks: newest first; the newest is the one with free room. Allocations that
 * would waste most of a block stand in blocks of their own, in big. */
struct arena {
    struct block *blocks, *big;
    size_t used; /* of blocks->data */
    size_t held; /* bytes of all blocks */
};

struct arena *arena_new(void)
{
    return xcalloc(1, sizeof(struct arena));
}

static struct block *block_new(struct arena *arena, struct block *next, size_t size)
{
    struct block *block = xmalloc(sizeof(*block) + size);

    block->next = next;
    block->size = size;
    ASAN_POISON_MEMORY_REGION(block->data, size);
    arena->held += sizeof(*block) + size;
    return block;
}

static void block_free(struct arena *arena, struct block *block)
{
    arena->held -= sizeof(*block) + block->size;
    ASAN_UNPOISON_MEMORY_REGION(block->data, block->size);
    free(block);
}

static void blocks_free(struct arena *arena, struct block *block)
{
    while (block) {
        struct block *next = block->next;

        block_free(arena, block);
        block = next;
    }
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    blocks_free(arena, arena->blocks);
    blocks_free(arena, arena->big);
    free(arena);
}

/* The first, smallest block stays: idle sessions must not hold on to the memory
 * of the largest message they have seen. */
void arena_reset(struct arena *arena)
{
    blocks_free(arena, arena->big);
    arena->big = NULL;
    arena->used = 0;
    while (arena->blocks && arena->blocks->next) {
        struct block *next = arena->blocks->next;

        block_free(arena, arena->blocks);
        arena->blocks = next;
    }
    if (arena->blocks)
        ASAN_POISON_MEMORY_REGION(arena->blocks->data, arena->blocks->size);
}

static size_t next_block_size(const struct arena *arena)
{
    if (!arena->blocks)
        return BLOCK_FIRST;
    return arena->blocks->size >= BLOCK_MAX ? BLOCK_MAX : arena->blocks->size * 2;
}

static void *carve(struct arena *arena, size_t need)
{
    if (arena->blocks && need <= arena->blocks->size - arena->used) {
        arena->used += need;
        return arena->blocks->data + arena->used - need;
    }
    if (need > next_block_size(arena) / 2) {
        arena->big = block_new(arena, arena->big, need);
        return arena->big->data;
    }
    arena->blocks = block_new(arena, arena->blocks, next_block_size(arena));
    arena->used = need;
    return arena->blocks->data;
}

/* As arena_alloc, but not zeroed. */
static void *alloc_raw(struct arena *arena, size_t size)
{
    void *ptr;

    if (size > SIZE_MAX / 2)
        panic("arena_alloc: %zu bytes", size);
    ptr = carve(arena, (size + GAP + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1));
    ASAN_UNPOISON_MEMORY_REGION(ptr, size);
    return ptr;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    return memset(alloc_raw(arena, size), 0, size);
}

char *arena_span_str(struct arena *arena, struct span s)
{
    char *copy = alloc_raw(arena, s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *arena_str(struct arena *arena, const char *str)
{
    return arena_span_str(arena, span_str(str));
}

struct span arena_span(struct arena *arena, struct span s)
{
    return (struct span){arena_span_str(arena, s), s.len};
}

struct span arena_span_lower(struct arena *arena, struct span s)
{
    char *copy = arena_span_str(arena, s);

    for (size_t i = 0; i < s.len; i++)
        copy[i] = ascii_lower(copy[i]);
    return (struct span){copy, s.len};
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        panic("arena_printf: bad format \"%s\"", fmt);
    text = alloc_raw(arena, (size_t)len + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return text;
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->held;
}
