#include "util/fiber_internal.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/msg.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(start, end) 0
#define VALGRIND_STACK_DEREGISTER(id)       (void)(id)
#endif

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_STACK
#define MAP_STACK 0
#endif

#define STACK_MIN (16 * 1024)
/* Larger than a page, so that a function with a large array cannot step over it. */
#define GUARD_SIZE (64 * 1024)

/* A few pooled stacks stay warm; the memory of the others is given back, which
 * leaves only address space. */
#define POOL_CLASSES 4
#define POOL_WARM    256
#define POOL_MAX     512

struct stack_pool {
    size_t size; /* of its stacks; 0: class not used yet */
    size_t count;
    char *bases[POOL_MAX];
};

static struct stack_pool *pools[POOL_CLASSES];

static struct stack_pool *pool_find(size_t size)
{
    for (size_t i = 0; i < POOL_CLASSES; i++) {
        if (!pools[i]) {
            pools[i] = xcalloc(1, sizeof *pools[i]);
            pools[i]->size = size;
        }
        if (pools[i]->size == size)
            return pools[i];
    }
    return NULL;
}

static size_t round_size(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

#ifdef FIBER_ASAN
    size *= 4; /* instrumented frames are that much larger */
#endif
    if (size < STACK_MIN)
        size = STACK_MIN;
    return (size + page - 1) / page * page;
}

static char *stack_map(size_t size)
{
    char *map = mmap(NULL, size + GUARD_SIZE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (map == MAP_FAILED)
        msg_fatal("cannot map a fiber stack of %zu bytes: %s", size, strerror(errno));
    if (mprotect(map + GUARD_SIZE, size, PROT_READ | PROT_WRITE) < 0)
        msg_fatal("cannot protect a fiber stack: %s", strerror(errno));
    return map + GUARD_SIZE;
}

struct fiber_stack fiber_stack_get(size_t size)
{
    struct fiber_stack stack = {.size = round_size(size)};
    struct stack_pool *pool = pool_find(stack.size);

    if (pool && pool->count > 0)
        stack.base = pool->bases[--pool->count];
    else
        stack.base = stack_map(stack.size);
    stack.valgrind_id = VALGRIND_STACK_REGISTER(stack.base, stack.base + stack.size);
#ifdef FIBER_ASAN
    __lsan_register_root_region(stack.base, stack.size);
#endif
    return stack;
}

void fiber_stack_put(struct fiber_stack stack)
{
    struct stack_pool *pool = pool_find(stack.size);

    VALGRIND_STACK_DEREGISTER(stack.valgrind_id);
#ifdef FIBER_ASAN
    /* The frames of an ended fiber never returned; their red zones are still set. */
    __asan_unpoison_memory_region(stack.base, stack.size);
    __lsan_unregister_root_region(stack.base, stack.size);
#endif
    if (!pool || pool->count == POOL_MAX) {
        munmap(stack.base - GUARD_SIZE, stack.size + GUARD_SIZE);
        return;
    }
    if (pool->count >= POOL_WARM)
        madvise(stack.base, stack.size, MADV_DONTNEED);
    pool->bases[pool->count++] = stack.base;
}
