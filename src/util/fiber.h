/* Stackful fibers: straight-line code that waits as if it blocked. All fibers of
 * a process run on one thread; a switch happens only inside the wait functions
 * below (and whatever calls them: streams, ipc, dns, offload), so code between
 * two waits is atomic.
 *
 * Every wait takes a deadline and can be cancelled. After WAIT_CANCELLED all
 * further waits of that fiber fail at once with WAIT_CANCELLED, so that it
 * unwinds by its normal error paths and returns. */
#ifndef UTIL_FIBER_H
#define UTIL_FIBER_H

#include "util/loop.h"

enum wait_result { WAIT_READY, WAIT_TIMEOUT, WAIT_CANCELLED };

/* Default stack: 256 KiB of address space, touched lazily, guard page below.
 * Stacks of ended fibers are pooled. */
#define FIBER_STACK_DEFAULT (256 * 1024)

struct fiber;

/* The new fiber first runs later in this tick, or in the next one. name is for
 * diagnostics and must outlive the fiber. Freed when fn returns. */
struct fiber *fiber_spawn(const char *name, void (*fn)(void *arg), void *arg);
struct fiber *fiber_spawn_stack(const char *name, size_t stack_size,
                                void (*fn)(void *arg), void *arg);
struct fiber *fiber_self(void); /* NULL outside fibers (loop callbacks, main) */
const char *fiber_name(const struct fiber *fiber);
void fiber_set_name(const char *name);
size_t fiber_count(void); /* live fibers */

/* Ask a fiber to end: its current and all later waits return WAIT_CANCELLED. */
void fiber_cancel(struct fiber *fiber);
bool fiber_cancelled(void);  /* of the current fiber */
void fiber_cancel_all(void); /* every fiber but the current one */

/* Current fiber only; panic outside fibers. */
enum wait_result fiber_yield(void);             /* to the end of the ready queue */
enum wait_result fiber_sleep(int64_t delay_ms); /* WAIT_READY: slept */
enum wait_result fiber_wait_readable(struct evfd *ev, int64_t deadline);
enum wait_result fiber_wait_writable(struct evfd *ev, int64_t deadline);

/* Park until fiber_wake(). A wake that comes before the park is remembered
 * once. Spurious wakes are possible only from fiber_wake itself. */
enum wait_result fiber_park(int64_t deadline);
void fiber_wake(struct fiber *fiber); /* from a fiber or a loop callback */

/* A waiting line: counting semaphore and condition in one. Zeroed + init. */
struct fiber_queue {
    struct list waiters;
};
void fiber_queue_init(struct fiber_queue *queue);
enum wait_result fiber_queue_wait(struct fiber_queue *queue, int64_t deadline);
void fiber_queue_wake_one(struct fiber_queue *queue);
void fiber_queue_wake_all(struct fiber_queue *queue);

/* Run main-like code in a fiber and the loop until it returns: for commands. */
int fiber_main(int (*fn)(void *arg), void *arg);

#endif
