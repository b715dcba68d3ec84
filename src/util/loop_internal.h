/* What the parts of the runtime (loop, evfd, poller, fiber, offload) tell one
 * another. Not for use outside src/util. */
#ifndef UTIL_LOOP_INTERNAL_H
#define UTIL_LOOP_INTERNAL_H

#include "util/fiber.h"

/* -- loop.c -- */
/* Like loop_timer_set with an absolute time. */
void loop_timer_set_at(struct loop_timer *timer, int64_t when, void (*fn)(void *),
                       void *arg);

/* -- loop_signal.c -- */
void loop_signal_reinit_after_fork(void);

/* -- poller: loop_epoll.c or loop_kqueue.c -- */
void poller_open(void); /* no-op when open */
void poller_reopen_after_fork(void);
/* Returns 0 or an errno value; EPERM: the descriptor is always ready. */
int poller_add(struct evfd *ev, bool listener);
/* Also drops what was received for ev but not yet dispatched. */
void poller_remove(struct evfd *ev);
void poller_wait(int timeout_ms); /* -1: for ever */
void poller_dispatch(void);       /* evfd_deliver for each event received */

/* -- evfd.c -- */
enum { EVFD_READABLE = 1, EVFD_WRITABLE = 2, EVFD_HANGUP = 4 };
void evfd_deliver(struct evfd *ev, unsigned events);
/* Make sure that the poller knows ev. False (logged): cannot be watched. */
bool evfd_register(struct evfd *ev);

/* -- fiber.c -- */
bool fiber_any_ready(void);
void fiber_begin_tick(void); /* let the fibers that yielded go on */
void fiber_run_ready(size_t max_switches);
/* End the wait of a fiber that waits for an evfd. */
void fiber_end_wait(struct fiber *fiber, enum wait_result result);
/* A wait that neither time nor cancellation ends, only fiber_unsuspend. */
void fiber_suspend(void);
void fiber_unsuspend(struct fiber *fiber);
void fiber_reinit_after_fork(void);

/* -- offload.c -- */
void offload_reinit_after_fork(void);

#endif
