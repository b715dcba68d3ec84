/* The event loop: one a process, epoll on Linux (kqueue on BSD). It runs ready
 * fibers, timers, fd callbacks and end-of-tick tasks. Nothing in here blocks but
 * the loop itself.
 *
 * Times are milliseconds. Deadlines are absolute on the monotonic clock;
 * LOOP_NEVER means none. The clock is read once a tick. */
#ifndef UTIL_LOOP_H
#define UTIL_LOOP_H

#include "util/heap.h"
#include "util/list.h"

#define LOOP_NEVER INT64_MAX

/* Also makes SIGPIPE harmless (programs that are executed get the default back). */
void loop_init(void);
/* After fork() in a child that goes on to use a loop of its own, be it inside a
 * fiber. Fibers, timers, tasks and worker threads of the parent are gone; signal
 * handlers stay; each evfd that was registered needs evfd_init again. */
void loop_reinit_after_fork(void);
void loop_run(void);  /* until loop_stop() */
void loop_stop(void); /* loop_run returns at the end of the tick */

int64_t loop_now(void);                    /* monotonic, as of this tick */
int64_t loop_deadline(int64_t timeout_ms); /* now + timeout; <= 0: LOOP_NEVER */
int64_t loop_now_exact(void);              /* reads the clock */

struct loop_timer {
    struct heap_node node;
    void (*fn)(void *arg);
    void *arg;
};
/* (Re)arm; fires once. The timer's memory belongs to the caller. */
void loop_timer_set(struct loop_timer *timer, int64_t delay_ms, void (*fn)(void *),
                    void *arg);
void loop_timer_cancel(struct loop_timer *timer);

/* A task run once at the end of the current tick, after all ready fibers: the
 * place to flush what was batched. Queueing a queued task is a no-op. */
struct loop_task {
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};
void loop_defer(struct loop_task *task, void (*fn)(void *), void *arg);

/* Readiness of one descriptor, edge-triggered and sticky: readable/writable stay
 * set until an I/O call reported EAGAIN (evfd_*_blocked), hangup for ever. At
 * most one fiber waits for each direction; a callback may be used instead. */
struct fiber;
struct evfd {
    int fd;
    bool readable, writable, hangup;
    bool registered;
    struct fiber *reader, *writer;
    void (*on_ready)(struct evfd *ev, void *arg); /* NULL when fibers wait */
    void *arg;
};
/* fd must be non-blocking. Registration happens at the first wait, or here when
 * on_ready is given (level of interest: both directions). */
void evfd_init(struct evfd *ev, int fd);
void evfd_watch(struct evfd *ev, void (*on_ready)(struct evfd *, void *), void *arg);
/* Level-triggered accept watch: wakes one process of many (EPOLLEXCLUSIVE). */
void evfd_watch_listener(struct evfd *ev, void (*on_ready)(struct evfd *, void *),
                         void *arg);
/* Forget the fd (does not close it). Must be called before close(). Waiting
 * fibers are resumed with WAIT_CANCELLED. */
void evfd_forget(struct evfd *ev);
static inline void evfd_read_blocked(struct evfd *ev)
{
    ev->readable = false;
}
static inline void evfd_write_blocked(struct evfd *ev)
{
    ev->writable = false;
}

/* fn runs in the loop, not in signal context. One handler a signal. */
void loop_on_signal(int signo, void (*fn)(int signo));

#endif
