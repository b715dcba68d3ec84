#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "master/master.h"
#include "util/msg.h"

/* Services give what is under way five seconds and end two seconds later; those
 * that do not are helped along. */
#define STOP_TERM_MS  9000
#define STOP_KILL_MS  3000
#define ABORT_KILL_MS 1000
#define LOG_TERM_MS   500

static bool only_postlog_left(const struct master *master)
{
    for (struct hash_node *node = hash_next(&master->by_pid, NULL); node;
         node = hash_next(&master->by_pid, node)) {
        struct master_process *process = hash_entry(node, struct master_process, node);

        if (!process->service || !master_service_is_postlog(process->service))
            return false;
    }
    return true;
}

static void escalate(void *arg)
{
    struct master *master = arg;
    int signo = master->stop_step++ == 0 ? SIGTERM : SIGKILL;

    if (signo == SIGKILL)
        msg_warn("killing %zu processes that do not end", process_count(master));
    process_signal_all(master, signo, only_postlog_left(master) || signo == SIGKILL);
    loop_timer_set(&master->stop_timer,
                   master->phase == MASTER_ABORTING ? ABORT_KILL_MS : STOP_KILL_MS,
                   escalate, master);
}

static struct master_service *postlog_service(struct master *master)
{
    list_each(link, &master->set->services)
    {
        struct master_service *service = list_entry(link, struct master_service, link);

        if (master_service_is_postlog(service))
            return service;
    }
    return NULL;
}

/* Lines wait, but no log service runs: have one write them. */
static bool drain_log(struct master *master)
{
    struct master_service *service = postlog_service(master);
    struct pollfd pfd = {.events = POLLIN};

    if (master->log_drained || !service)
        return false;
    master->log_drained = true;
    pfd.fd = service->listeners[0].socket->fd;
    return poll(&pfd, 1, 0) > 0 &&
           process_start(service, 0, plan_quota(&service->plan, 0)) != NULL;
}

/* The log service goes last, so that the others' last words are kept. */
void stop_progress(struct master *master)
{
    msg_flush();
    if (process_count(master) == 0 && !drain_log(master))
        loop_stop();
    else if (only_postlog_left(master)) {
        process_order_all(master, SERVICE_CMD_STOP, true);
        loop_timer_set(&master->stop_timer, LOG_TERM_MS, escalate, master);
    }
}

void master_stop(struct master *master, enum master_phase phase)
{
    if (phase <= master->phase)
        return;
    master->phase = phase;
    master->stop_step = 0;
    list_each(link, &master->set->services)
    {
        struct master_service *service = list_entry(link, struct master_service, link);

        master_service_unwatch(service);
        loop_timer_cancel(&service->wakeup_timer);
        loop_timer_cancel(&service->throttle_timer);
    }
    sockets_close_all(master, postlog_service(master));
    switch (phase) {
    case MASTER_RUNNING:
        break;
    case MASTER_DRAINING:
        process_order_all(master, SERVICE_CMD_RETIRE, false);
        break;
    case MASTER_STOPPING:
        process_order_all(master, SERVICE_CMD_STOP, false);
        loop_timer_set(&master->stop_timer, STOP_TERM_MS, escalate, master);
        break;
    case MASTER_ABORTING:
        master->stop_step = 1;
        process_signal_all(master, SIGKILL, false);
        loop_timer_set(&master->stop_timer, ABORT_KILL_MS, escalate, master);
        break;
    }
    stop_progress(master);
}
