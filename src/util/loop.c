#include "util/loop_internal.h"

#include <limits.h>
#include <signal.h>
#include <time.h>

#include "util/msg.h"

/* Bounds on the work between two polls, so that fibers or tasks that keep waking
 * one another cannot starve descriptors and timers. */
#define TICK_ROUNDS   8
#define TICK_SWITCHES 4096

static struct loop {
    struct heap timers;
    struct list tasks;
    int64_t now;
    bool running, stopping;
} loop = {.tasks = {&loop.tasks, &loop.tasks}};

static void ignore_signal(int signo)
{
    (void)signo;
}

void loop_init(void)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};

    /* A handler, unlike SIG_IGN, is not inherited by programs that we execute. */
    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
    poller_open();
}

static void loop_drop_tasks(void)
{
    while (!list_empty(&loop.tasks))
        list_remove(loop.tasks.next);
}

void loop_reinit_after_fork(void)
{
    heap_free(&loop.timers);
    loop_drop_tasks();
    loop.running = loop.stopping = false;
    fiber_reinit_after_fork();
    offload_reinit_after_fork();
    poller_reopen_after_fork();
    loop_signal_reinit_after_fork();
}

int64_t loop_now_exact(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t loop_now(void)
{
    return loop.running ? loop.now : loop_now_exact();
}

int64_t loop_deadline(int64_t timeout_ms)
{
    int64_t deadline;

    if (timeout_ms <= 0 || __builtin_add_overflow(loop_now(), timeout_ms, &deadline))
        return LOOP_NEVER;
    return deadline;
}

void loop_timer_set_at(struct loop_timer *timer, int64_t when, void (*fn)(void *),
                       void *arg)
{
    heap_remove(&loop.timers, &timer->node);
    timer->fn = fn;
    timer->arg = arg;
    heap_insert(&loop.timers, &timer->node, when);
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_ms, void (*fn)(void *),
                    void *arg)
{
    int64_t when;

    if (__builtin_add_overflow(loop_now(), delay_ms > 0 ? delay_ms : 0, &when))
        when = LOOP_NEVER;
    loop_timer_set_at(timer, when, fn, arg);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    heap_remove(&loop.timers, &timer->node);
}

void loop_defer(struct loop_task *task, void (*fn)(void *), void *arg)
{
    if (list_linked(&task->link))
        return;
    task->fn = fn;
    task->arg = arg;
    list_append(&loop.tasks, &task->link);
}

static void loop_run_timers(void)
{
    struct heap_node *node;

    /* The count bounds timers that set themselves again without a delay. */
    for (size_t left = loop.timers.count; left > 0; left--) {
        struct loop_timer *timer;

        node = heap_min(&loop.timers);
        if (!node || node->key > loop.now)
            break;
        timer = container_of(node, struct loop_timer, node);
        heap_remove(&loop.timers, node);
        timer->fn(timer->arg);
    }
}

static void loop_run_tasks(void)
{
    struct list batch;

    if (list_empty(&loop.tasks))
        return;
    list_insert_between(&batch, loop.tasks.prev, loop.tasks.next);
    list_init(&loop.tasks);
    while (!list_empty(&batch)) {
        struct loop_task *task = list_entry(batch.next, struct loop_task, link);

        list_remove(&task->link);
        task->fn(task->arg);
    }
}

static bool loop_has_work(void)
{
    return fiber_any_ready() || !list_empty(&loop.tasks);
}

static int loop_poll_timeout(void)
{
    struct heap_node *next = heap_min(&loop.timers);
    int64_t wait_ms;

    if (loop_has_work())
        return 0;
    if (!next || next->key == LOOP_NEVER)
        return -1;
    wait_ms = next->key - loop_now_exact();
    if (wait_ms <= 0)
        return 0;
    return wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

static void loop_tick(void)
{
    poller_wait(loop_poll_timeout());
    loop.now = loop_now_exact();
    poller_dispatch();
    loop_run_timers();
    fiber_begin_tick();
    for (int round = 0; round < TICK_ROUNDS && loop_has_work(); round++) {
        fiber_run_ready(TICK_SWITCHES);
        loop_run_tasks();
    }
    msg_flush();
}

void loop_run(void)
{
    if (loop.running)
        panic("loop_run: called from within the loop");
    poller_open();
    loop.now = loop_now_exact();
    loop.running = true;
    msg_set_batching(true);
    while (!loop.stopping)
        loop_tick();
    loop.stopping = false;
    loop.running = false;
    msg_set_batching(false);
    msg_flush();
}

void loop_stop(void)
{
    loop.stopping = true;
}
