#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/master.h"
#include "util/msg.h"

#define LIMIT_WARN_MS   60000   /* between two warnings about one service's limit */
#define STRESS_MS       1000000 /* after the last time that it was full */
#define FAILURE_SPAN_MS 60000   /* window in which failures are counted */

bool master_service_is_postlog(const struct master_service *service)
{
    return strcmp(service->entry->name,
                  service->master->set->cfg->postlog_service_name) == 0 &&
           service->entry->type == SERVICE_UNIX_DGRAM;
}

/* -- what the processes look like -- */

struct tally {
    size_t all;       /* processes, retiring ones included */
    size_t active;    /* processes that take sessions */
    size_t idle;      /* of these, without any */
    size_t with_room; /* of these, not full */
};

static struct tally take_tally(const struct master_service *service)
{
    struct tally tally = {0};

    list_each(link, &service->processes)
    {
        const struct master_process *process =
            list_entry(link, struct master_process, link);

        tally.all++;
        if (process->retiring)
            continue;
        tally.active++;
        tally.idle += process->sessions == 0;
        tally.with_room += !process->ready || process->free_slots > 0;
    }
    return tally;
}

struct slot {
    bool taken;  /* by a process that takes sessions */
    size_t used; /* sessions that retired processes still have */
};

static struct slot *take_slots(const struct master_service *service, size_t count)
{
    struct slot *slots = xcalloc(count, sizeof *slots);

    list_each(link, &service->processes)
    {
        const struct master_process *process =
            list_entry(link, struct master_process, link);

        if (process->slot >= count)
            continue;
        if (process->retiring)
            slots[process->slot].used += process->sessions;
        else
            slots[process->slot].taken = true;
    }
    return slots;
}

/* A slot for one more process, and how many sessions it may have there. */
static bool find_slot(const struct master_service *service, const struct tally *tally,
                      size_t *slot_out, size_t *quota_out)
{
    size_t count = service->plan.processes;
    struct slot *slots;
    bool found = false;

    /* Without a limit there is always one more, once all processes are full. */
    if (plan_is_unlimited(&service->plan) && tally->with_room == 0)
        count += tally->all + 1;
    slots = take_slots(service, count);
    for (size_t i = 0; i < count && !found; i++) {
        size_t quota = plan_quota(&service->plan, i);

        if (slots[i].taken || slots[i].used >= quota)
            continue;
        *slot_out = i;
        *quota_out = quota - slots[i].used;
        found = true;
    }
    free(slots);
    return found;
}

/* Retired processes that lose sessions leave room to the slot's present one. */
static void raise_quotas(struct master_service *service)
{
    size_t count = service->plan.processes;
    struct slot *slots = NULL;

    list_each(link, &service->processes)
    {
        struct master_process *process = list_entry(link, struct master_process, link);
        size_t quota = plan_quota(&service->plan, process->slot), used;

        if (process->retiring || process->quota >= quota || process->slot >= count)
            continue;
        if (!slots)
            slots = take_slots(service, count);
        used = slots[process->slot].used;
        if (used >= quota || quota - used <= process->quota)
            continue;
        process->quota = quota - used;
        process_order(process, SERVICE_CMD_QUOTA, (uint32_t)process->quota);
    }
    free(slots);
}

/* -- listening on behalf of processes that do not exist yet -- */

static void warn_limit(struct master_service *service)
{
    int64_t now = loop_now();

    if (service->limit_warned ||
        (service->limit_warned_at && now - service->limit_warned_at < LIMIT_WARN_MS))
        return;
    service->limit_warned = true;
    service->limit_warned_at = now;
    msg_warn(
        "service \"%s\" (%s) has reached its process limit \"%zu\": new clients may "
        "experience noticeable delays",
        service->entry->name, service->display, service->plan.sessions);
    msg_warn(
        "to avoid this condition, increase the process count in master.cf or reduce "
        "the service time per client");
    msg_warn("see https://www.postfix.org/STRESS_README.html for examples of "
             "stress-adapting configuration settings");
}

static void retire_all(struct master_service *service)
{
    list_each(link, &service->processes)
    {
        struct master_process *process = list_entry(link, struct master_process, link);

        if (!process->retiring)
            process_retire(process);
    }
    master_service_update(service);
}

static void on_stress_over(void *arg)
{
    struct master_service *service = arg;

    service->stress = false;
    retire_all(service);
}

/* Processes learn of stress when they start: the present ones finish their
 * sessions, and successors take new ones with the settings for stress. */
static void enter_stress(struct master_service *service)
{
    bool already = service->stress;

    service->stress = true;
    loop_timer_set(&service->stress_timer, STRESS_MS, on_stress_over, service);
    if (!already)
        retire_all(service);
}

void master_service_keep_stress(struct master_service *service,
                                const struct master_service *old)
{
    if (!old->stress || !service->exposed)
        return;
    service->stress = true;
    loop_timer_set(&service->stress_timer, STRESS_MS, on_stress_over, service);
}

/* Only clients on the network are told to hurry: a local service that is full is
 * just busy. */
static void note_full(struct master_service *service)
{
    if (!service->exposed)
        return;
    warn_limit(service);
    enter_stress(service);
}

static void on_listener_ready(struct evfd *ev, void *arg)
{
    struct master_service *service = arg;
    struct tally tally = take_tally(service);
    size_t slot, quota;

    evfd_read_blocked(ev);
    service->used = true;
    master_service_unwatch(service);
    if (find_slot(service, &tally, &slot, &quota)) {
        process_start(service, slot, quota);
        master_service_update(service);
    } else if (tally.with_room == 0 && !plan_is_unlimited(&service->plan)) {
        note_full(service);
    }
}

void master_service_unwatch(struct master_service *service)
{
    if (!service->watching)
        return;
    service->watching = false;
    for (size_t i = 0; i < service->listener_count; i++)
        evfd_forget(&service->listeners[i].ev);
}

static void watch(struct master_service *service)
{
    if (service->watching)
        return;
    service->watching = true;
    for (size_t i = 0; i < service->listener_count; i++)
        evfd_watch_listener(&service->listeners[i].ev, on_listener_ready, service);
}

/* A wake-up for a connection may have gone to a process that then left the
 * listener alone; nobody else would be told about it again. */
void master_service_nudge(struct master_service *service)
{
    struct pollfd pfd = {.events = POLLIN};

    /* Once master is stopping its listeners are gone. */
    if (service->master->phase != MASTER_RUNNING || service->watching ||
        take_tally(service).with_room == 0)
        return;
    for (size_t i = 0; i < service->listener_count; i++) {
        pfd.fd = service->listeners[i].socket->fd;
        if (poll(&pfd, 1, 0) <= 0)
            continue;
        list_each(link, &service->processes)
        {
            struct master_process *process =
                list_entry(link, struct master_process, link);

            if (process->ready && !process->retiring && process->free_slots > 0)
                process_order(process, SERVICE_CMD_LOOK, 0);
        }
        return;
    }
}

void master_service_update(struct master_service *service)
{
    struct tally tally = take_tally(service);
    size_t slot, quota;
    bool room, full;

    if (service->master->phase != MASTER_RUNNING || service->throttled) {
        master_service_unwatch(service);
        return;
    }
    raise_quotas(service);
    room = find_slot(service, &tally, &slot, &quota);
    full = !room && tally.with_room == 0 && tally.active > 0 &&
           !plan_is_unlimited(&service->plan);
    if (!full)
        service->limit_warned = false;
    if (tally.idle > 0)
        master_service_unwatch(service);
    else if (room || (full && service->exposed && !service->limit_warned))
        watch(service);
    else
        master_service_unwatch(service);
}

/* -- crashing services -- */

static void on_throttle_over(void *arg)
{
    struct master_service *service = arg;

    service->throttled = false;
    service->failures = 0;
    master_service_update(service);
}

void master_service_failed(struct master_service *service, bool was_ready)
{
    int64_t now = loop_now();

    if (service->throttled)
        return;
    if (now - service->failures_since > FAILURE_SPAN_MS) {
        service->failures_since = now;
        service->failures = 0;
    }
    service->failures++;
    if (!plan_throttles(was_ready, service->failures))
        return;
    msg_warn("%s: bad command startup -- throttling", service->program);
    master_service_pause(service,
                         service->master->set->cfg->service_throttle_time * 1000);
}

void master_service_pause(struct master_service *service, int64_t pause_ms)
{
    service->throttled = true;
    loop_timer_set(&service->throttle_timer, pause_ms, on_throttle_over, service);
}

/* -- wake-up timers -- */

static void wake(struct master_service *service)
{
    struct tally tally = take_tally(service);
    size_t slot, quota;
    struct master_process *process;

    if (service->throttled)
        return;
    list_each(link, &service->processes)
    {
        process = list_entry(link, struct master_process, link);
        if (!process->retiring) {
            process_order(process, SERVICE_CMD_WAKEUP, 0);
            return;
        }
    }
    if (!find_slot(service, &tally, &slot, &quota))
        return;
    process = process_start(service, slot, quota);
    if (process)
        process_order(process, SERVICE_CMD_WAKEUP, 0);
    master_service_update(service);
}

static void on_wakeup(void *arg)
{
    struct master_service *service = arg;
    int64_t now = loop_now();

    if (service->master->phase != MASTER_RUNNING)
        return;
    if (!service->entry->wakeup_if_used || service->used)
        wake(service);
    service->wakeup_due =
        plan_next_wakeup(service->wakeup_due, service->entry->wakeup_s * 1000, now);
    loop_timer_set(&service->wakeup_timer, service->wakeup_due - now, on_wakeup,
                   service);
}

/* The first one rings at once: work may have been left by an earlier run. */
void master_service_start_wakeups(struct master_service *service)
{
    if (service->entry->wakeup_s <= 0)
        return;
    service->wakeup_due = loop_now();
    loop_timer_set(&service->wakeup_timer, 0, on_wakeup, service);
}
