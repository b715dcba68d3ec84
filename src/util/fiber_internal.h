/* Stacks and context switches below fiber.c. */
#ifndef UTIL_FIBER_INTERNAL_H
#define UTIL_FIBER_INTERNAL_H

#include "util/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

/* -- fiber_stack.c -- */
struct fiber_stack {
    char *base; /* lowest usable byte; the guard is below */
    size_t size;
    unsigned valgrind_id;
};
/* size is rounded up. Out of memory or mappings is fatal, like xmalloc. */
struct fiber_stack fiber_stack_get(size_t size);
/* Must not be called on that stack. */
void fiber_stack_put(struct fiber_stack stack);

/* -- fiber_switch.c -- */
#if !(defined(__x86_64__) && !defined(__ILP32__)) && !defined(__aarch64__) &&          \
    !defined(FIBER_UCONTEXT)
#define FIBER_UCONTEXT 1
#endif
#ifndef FIBER_UCONTEXT
struct fiber_context {
    void *sp;
};
#else
#include <ucontext.h>
struct fiber_context {
    ucontext_t uc;
};
#endif
/* The first switch to ctx calls entry(arg), which must not return, on a stack
 * that ends below top. */
void fiber_context_init(struct fiber_context *ctx, char *base, char *top,
                        void (*entry)(void *), void *arg);
void fiber_context_switch(struct fiber_context *save, struct fiber_context *load);

#endif
