#include "master/master_plan.h"

#define FAILURES_TOLERATED  5
#define DESCRIPTORS_BASE    1024
#define DESCRIPTORS_SESSION 6 /* client, cleanup, policy, milters, queue file, ... */

static size_t at_least_one(int64_t value, size_t otherwise)
{
    return value > 0 ? (size_t)value : otherwise;
}

struct master_plan plan_make(int64_t maxproc, int64_t session_limit,
                             int64_t process_limit, size_t cores)
{
    struct master_plan plan = {.sessions = at_least_one(maxproc, 0),
                               .per_process = at_least_one(session_limit, 1)};
    size_t needed;

    plan.processes = at_least_one(process_limit, cores > 0 ? cores : 1);
    if (plan.sessions == 0)
        return plan;
    if (plan.processes > plan.sessions)
        plan.processes = plan.sessions;
    needed = (plan.sessions + plan.per_process - 1) / plan.per_process;
    if (plan.processes < needed)
        plan.processes = needed;
    return plan;
}

size_t plan_quota(const struct master_plan *plan, size_t slot)
{
    if (plan->sessions == 0)
        return plan->per_process;
    return plan->sessions / plan->processes +
           (slot < plan->sessions % plan->processes ? 1 : 0);
}

bool plan_is_unlimited(const struct master_plan *plan)
{
    return plan->sessions == 0;
}

int64_t plan_next_wakeup(int64_t last_ms, int64_t interval_ms, int64_t now_ms)
{
    int64_t next = last_ms + interval_ms;

    return next > now_ms ? next : now_ms + interval_ms;
}

bool plan_throttles(bool was_ready, unsigned failure_count)
{
    return !was_ready || failure_count > FAILURES_TOLERATED;
}

size_t plan_descriptors(size_t max_sessions_per_process)
{
    return DESCRIPTORS_BASE + DESCRIPTORS_SESSION * max_sessions_per_process;
}
