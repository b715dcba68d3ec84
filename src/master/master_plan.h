/* How many processes carry the sessions of a service, and how many sessions each.
 *
 * maxproc of master.cf is what operators think in: clients served at the same time.
 * A process carries many sessions, so there are about as many processes as cores
 * until a process would have more sessions than service_session_limit. */
#ifndef MASTER_PLAN_H
#define MASTER_PLAN_H

#include "util/base.h"

struct master_plan {
    size_t processes;   /* slots; the process in slot i has plan_quota(plan, i) */
    size_t sessions;    /* over all processes; 0: no limit */
    size_t per_process; /* service_session_limit */
};

/* maxproc 0: no limit. process_limit 0: one process a core. */
struct master_plan plan_make(int64_t maxproc, int64_t session_limit,
                             int64_t process_limit, size_t cores);
/* Shares differ by at most one and sum up to maxproc. */
size_t plan_quota(const struct master_plan *plan, size_t slot);
/* May processes be added beyond plan->processes once all are full? */
bool plan_is_unlimited(const struct master_plan *plan);

/* The next wake-up of a timer that should ring every interval_ms and last did at
 * last_ms: never in a burst after the clock stood still. All in milliseconds. */
int64_t plan_next_wakeup(int64_t last_ms, int64_t interval_ms, int64_t now_ms);

/* Is a service that failed failure_count times in the last window to be left alone
 * for a while? One failure before it was ready for work is enough. */
bool plan_throttles(bool was_ready, unsigned failure_count);

/* File descriptors that processes with so many sessions need. */
size_t plan_descriptors(size_t max_sessions_per_process);

#endif
