#include "util/fiber.h"

#include "util/fiber_internal.h"
#include "util/loop_internal.h"

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define MAIN_STACK_SIZE (1024 * 1024)

enum fiber_state {
    FIBER_READY,     /* in the ready or the yielded list, or running */
    FIBER_WAITING,   /* for a descriptor, a queue, or time */
    FIBER_PARKED,    /* for fiber_wake */
    FIBER_SUSPENDED, /* for fiber_unsuspend, not to be disturbed */
    FIBER_ENDED,
};

struct fiber {
    struct fiber_context ctx;
    struct fiber_stack stack; /* which also holds this struct, at its top */
    const char *name;
    void (*fn)(void *arg);
    void *arg;
    enum fiber_state state;
    enum wait_result result; /* of the wait that ended last */
    bool cancelled, wake_pending;
    struct list link; /* in a scheduler list or the fiber_queue waited in */
    struct list all_link;
    struct fiber **waiting_at; /* the evfd slot that points here */
    int64_t deadline;          /* of the present wait */
    struct loop_timer timer;
#ifdef FIBER_ASAN
    void *fake_stack;
#endif
};

static struct scheduler {
    struct list ready, yielded, all;
    struct fiber *current;
    struct fiber_context loop_ctx;
    size_t count;
#ifdef FIBER_ASAN
    void *loop_fake_stack;
    const void *loop_stack;
    size_t loop_stack_size;
#endif
} sched = {
    .ready = {&sched.ready, &sched.ready},
    .yielded = {&sched.yielded, &sched.yielded},
    .all = {&sched.all, &sched.all},
};

static void switch_to_fiber(struct fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&sched.loop_fake_stack, fiber->stack.base,
                                   fiber->stack.size);
#endif
    fiber_context_switch(&sched.loop_ctx, &fiber->ctx);
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(sched.loop_fake_stack, NULL, NULL);
#endif
}

static void switch_to_loop(struct fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(fiber->state == FIBER_ENDED ? NULL
                                                               : &fiber->fake_stack,
                                   sched.loop_stack, sched.loop_stack_size);
#endif
    fiber_context_switch(&fiber->ctx, &sched.loop_ctx);
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &sched.loop_stack,
                                    &sched.loop_stack_size);
#endif
}

static void fiber_entry(void *arg)
{
    struct fiber *fiber = arg;

#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(NULL, &sched.loop_stack, &sched.loop_stack_size);
#endif
    fiber->fn(fiber->arg);
    fiber->state = FIBER_ENDED;
    switch_to_loop(fiber);
    panic("fiber %s: resumed after its end", fiber->name);
}

struct fiber *fiber_spawn_stack(const char *name, size_t stack_size,
                                void (*fn)(void *arg), void *arg)
{
    struct fiber_stack stack = fiber_stack_get(stack_size);
    uintptr_t top = (uintptr_t)stack.base + stack.size - sizeof(struct fiber);
    struct fiber *fiber = (struct fiber *)(top & ~(uintptr_t)63);

    memset(fiber, 0, sizeof *fiber);
    fiber->stack = stack;
    fiber->name = name;
    fiber->fn = fn;
    fiber->arg = arg;
    fiber_context_init(&fiber->ctx, stack.base, (char *)fiber, fiber_entry, fiber);
    list_append(&sched.all, &fiber->all_link);
    list_append(&sched.ready, &fiber->link);
    sched.count++;
    return fiber;
}

struct fiber *fiber_spawn(const char *name, void (*fn)(void *arg), void *arg)
{
    return fiber_spawn_stack(name, FIBER_STACK_DEFAULT, fn, arg);
}

static void fiber_destroy(struct fiber *fiber)
{
    struct fiber_stack stack = fiber->stack;

    loop_timer_cancel(&fiber->timer);
    list_remove(&fiber->all_link);
    sched.count--;
    fiber_stack_put(stack);
}

bool fiber_any_ready(void)
{
    return !list_empty(&sched.ready) || !list_empty(&sched.yielded);
}

void fiber_begin_tick(void)
{
    while (!list_empty(&sched.yielded)) {
        struct list *link = sched.yielded.next;

        list_remove(link);
        list_append(&sched.ready, link);
    }
}

void fiber_run_ready(size_t max_switches)
{
    while (max_switches-- > 0 && !list_empty(&sched.ready)) {
        struct fiber *fiber = list_entry(sched.ready.next, struct fiber, link);

        list_remove(&fiber->link);
        sched.current = fiber;
        switch_to_fiber(fiber);
        sched.current = NULL;
        if (fiber->state == FIBER_ENDED)
            fiber_destroy(fiber);
    }
}

/* The mappings of the parent's fibers stay: one of them may be what runs now. */
void fiber_reinit_after_fork(void)
{
    list_init(&sched.ready);
    list_init(&sched.yielded);
    list_init(&sched.all);
    sched.current = NULL;
    sched.count = 0;
}

struct fiber *fiber_self(void)
{
    return sched.current;
}

static struct fiber *self_or_panic(const char *caller)
{
    if (!sched.current)
        panic("%s: called outside a fiber", caller);
    return sched.current;
}

const char *fiber_name(const struct fiber *fiber)
{
    return fiber->name;
}

void fiber_set_name(const char *name)
{
    self_or_panic("fiber_set_name")->name = name;
}

size_t fiber_count(void)
{
    return sched.count;
}

/* -- waiting -- */

void fiber_end_wait(struct fiber *fiber, enum wait_result result)
{
    if (fiber->waiting_at)
        *fiber->waiting_at = NULL;
    fiber->waiting_at = NULL;
    list_remove(&fiber->link);
    fiber->result = result;
    fiber->state = FIBER_READY;
    list_append(&sched.ready, &fiber->link);
}

/* The timer outlives the wait that armed it: most waits end early and the next
 * deadline is later, so the timer just moves on when it fires. */
static void fiber_timer_fired(void *arg)
{
    struct fiber *fiber = arg;

    if (fiber->state != FIBER_WAITING && fiber->state != FIBER_PARKED)
        return;
    if (fiber->deadline <= loop_now())
        fiber_end_wait(fiber, WAIT_TIMEOUT);
    else if (fiber->deadline != LOOP_NEVER)
        loop_timer_set_at(&fiber->timer, fiber->deadline, fiber_timer_fired, fiber);
}

static void fiber_arm(struct fiber *fiber, int64_t deadline)
{
    fiber->deadline = deadline;
    if (deadline == LOOP_NEVER)
        return;
    if (!heap_linked(&fiber->timer.node) || fiber->timer.node.key > deadline)
        loop_timer_set_at(&fiber->timer, deadline, fiber_timer_fired, fiber);
}

static enum wait_result fiber_block(struct fiber *fiber, enum fiber_state state,
                                    int64_t deadline)
{
    fiber_arm(fiber, deadline);
    fiber->state = state;
    switch_to_loop(fiber);
    return fiber->result;
}

enum wait_result fiber_yield(void)
{
    struct fiber *fiber = self_or_panic("fiber_yield");

    if (fiber->cancelled)
        return WAIT_CANCELLED;
    list_append(&sched.yielded, &fiber->link);
    switch_to_loop(fiber);
    return fiber->cancelled ? WAIT_CANCELLED : WAIT_READY;
}

enum wait_result fiber_sleep(int64_t delay_ms)
{
    struct fiber *fiber = self_or_panic("fiber_sleep");
    enum wait_result result;

    if (delay_ms <= 0)
        return fiber_yield();
    if (fiber->cancelled)
        return WAIT_CANCELLED;
    result = fiber_block(fiber, FIBER_WAITING, loop_deadline(delay_ms));
    return result == WAIT_TIMEOUT ? WAIT_READY : result;
}

static enum wait_result fiber_wait_slot(struct fiber *fiber, struct fiber **slot,
                                        int64_t deadline)
{
    if (*slot)
        panic("fibers %s and %s wait for the same descriptor", (*slot)->name,
              fiber->name);
    if (deadline <= loop_now())
        return WAIT_TIMEOUT;
    *slot = fiber;
    fiber->waiting_at = slot;
    return fiber_block(fiber, FIBER_WAITING, deadline);
}

enum wait_result fiber_wait_readable(struct evfd *ev, int64_t deadline)
{
    struct fiber *fiber = self_or_panic("fiber_wait_readable");

    if (fiber->cancelled || !evfd_register(ev))
        return WAIT_CANCELLED;
    if (ev->readable || ev->hangup)
        return WAIT_READY;
    return fiber_wait_slot(fiber, &ev->reader, deadline);
}

enum wait_result fiber_wait_writable(struct evfd *ev, int64_t deadline)
{
    struct fiber *fiber = self_or_panic("fiber_wait_writable");

    if (fiber->cancelled || !evfd_register(ev))
        return WAIT_CANCELLED;
    if (ev->writable)
        return WAIT_READY;
    return fiber_wait_slot(fiber, &ev->writer, deadline);
}

enum wait_result fiber_park(int64_t deadline)
{
    struct fiber *fiber = self_or_panic("fiber_park");

    if (fiber->cancelled)
        return WAIT_CANCELLED;
    if (fiber->wake_pending) {
        fiber->wake_pending = false;
        return WAIT_READY;
    }
    if (deadline <= loop_now())
        return WAIT_TIMEOUT;
    return fiber_block(fiber, FIBER_PARKED, deadline);
}

void fiber_wake(struct fiber *fiber)
{
    if (fiber->state == FIBER_PARKED)
        fiber_end_wait(fiber, WAIT_READY);
    else
        fiber->wake_pending = true;
}

void fiber_suspend(void)
{
    fiber_block(self_or_panic("fiber_suspend"), FIBER_SUSPENDED, LOOP_NEVER);
}

void fiber_unsuspend(struct fiber *fiber)
{
    if (fiber->state != FIBER_SUSPENDED)
        panic("fiber %s: resumed but not suspended", fiber->name);
    fiber_end_wait(fiber, WAIT_READY);
}

/* A fiber that was made ready before keeps that result, so that what it was given
 * (a place in a queue, a reply) is not lost; its next wait fails. */
void fiber_cancel(struct fiber *fiber)
{
    fiber->cancelled = true;
    if (fiber->state == FIBER_WAITING || fiber->state == FIBER_PARKED)
        fiber_end_wait(fiber, WAIT_CANCELLED);
}

bool fiber_cancelled(void)
{
    return sched.current && sched.current->cancelled;
}

void fiber_cancel_all(void)
{
    list_each(link, &sched.all)
    {
        struct fiber *fiber = list_entry(link, struct fiber, all_link);

        if (fiber != sched.current)
            fiber_cancel(fiber);
    }
}

/* -- queues -- */

void fiber_queue_init(struct fiber_queue *queue)
{
    list_init(&queue->waiters);
}

enum wait_result fiber_queue_wait(struct fiber_queue *queue, int64_t deadline)
{
    struct fiber *fiber = self_or_panic("fiber_queue_wait");

    if (fiber->cancelled)
        return WAIT_CANCELLED;
    if (deadline <= loop_now())
        return WAIT_TIMEOUT;
    list_append(&queue->waiters, &fiber->link);
    return fiber_block(fiber, FIBER_WAITING, deadline);
}

void fiber_queue_wake_one(struct fiber_queue *queue)
{
    struct fiber *fiber = list_first(&queue->waiters, struct fiber, link);

    if (fiber)
        fiber_end_wait(fiber, WAIT_READY);
}

void fiber_queue_wake_all(struct fiber_queue *queue)
{
    while (!list_empty(&queue->waiters))
        fiber_queue_wake_one(queue);
}

/* -- commands -- */

struct main_call {
    int (*fn)(void *arg);
    void *arg;
    int result;
};

static void main_fiber(void *arg)
{
    struct main_call *call = arg;

    call->result = call->fn(call->arg);
    loop_stop();
}

int fiber_main(int (*fn)(void *arg), void *arg)
{
    struct main_call call = {fn, arg, 0};

    loop_init();
    fiber_spawn_stack("main", MAIN_STACK_SIZE, main_fiber, &call);
    loop_run();
    return call.result;
}
