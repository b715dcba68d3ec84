#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "util/msg.h"

#define STATUS_RETRY_MS 100
#define IDLE_REPORT_MS  200
#define STOP_GRACE_MS   5000 /* for what is under way when the system stops */
#define STOP_UNWIND_MS  2000 /* for cancelled sessions to end */

/* -- status reports -- */

static struct service_status current_status(const struct service_frame *frame)
{
    const struct service *svc = &frame->svc;
    size_t room = svc->retiring || svc->session_count >= frame->quota
                      ? 0
                      : frame->quota - svc->session_count;

    return (struct service_status){
        .generation = frame->generation,
        .sessions = (uint32_t)svc->session_count,
        .free_slots = room > UINT32_MAX ? UINT32_MAX : (uint32_t)room,
        .retiring = svc->retiring,
        .served = frame->served,
    };
}

/* While retiring, each session that ends makes room for a successor. */
static bool worth_telling(const struct service_frame *frame,
                          const struct service_status *now)
{
    const struct service_status *old = &frame->sent;

    return (now->sessions == 0) != (old->sessions == 0) ||
           (now->free_slots == 0) != (old->free_slots == 0) ||
           (now->served == 0) != (old->served == 0) || now->retiring != old->retiring ||
           (now->retiring && now->sessions != old->sessions);
}

/* Sessions that follow one another closely are one busy spell: master need not hear
 * of every gap. */
static bool is_short_gap(const struct service_frame *frame,
                         const struct service_status *now)
{
    return !now->retiring && now->sessions == 0 && frame->sent.sessions > 0 &&
           (now->free_slots == 0) == (frame->sent.free_slots == 0);
}

static void send_status_now(void *arg)
{
    struct service_frame *frame = arg;
    struct service_status now = current_status(frame);

    if (frame->ended || !worth_telling(frame, &now))
        return;
    loop_timer_cancel(&frame->status_retry);
    if (send(SERVICE_STATUS_FD, &now, sizeof now, MSG_DONTWAIT | MSG_NOSIGNAL) ==
        (ssize_t)sizeof now)
        frame->sent = now;
    else if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
        loop_timer_set(&frame->status_retry, STATUS_RETRY_MS, send_status_now, frame);
}

static void send_status(void *arg)
{
    struct service_frame *frame = arg;
    struct service_status now = current_status(frame);

    if (!is_short_gap(frame, &now))
        send_status_now(frame);
    else if (!heap_linked(&frame->status_retry.node))
        loop_timer_set(&frame->status_retry, IDLE_REPORT_MS, send_status_now, frame);
}

/* -- the end -- */

static void finish(struct service_frame *frame)
{
    if (frame->exiting)
        return;
    frame->exiting = true;
    if (frame->svc.ops->on_exit)
        frame->svc.ops->on_exit(&frame->svc);
    loop_stop();
}

static bool is_idle(const struct service_frame *frame)
{
    return frame->svc.session_count == 0 && frame->requests == 0 && frame->holds == 0;
}

static void on_idle_long(void *arg)
{
    struct service_frame *frame = arg;

    if (is_idle(frame))
        life_retire(frame);
}

static void update_idle_timer(struct service_frame *frame)
{
    if (frame->svc.ops->solitary)
        return;
    if (!is_idle(frame))
        loop_timer_cancel(&frame->idle_timer);
    else if (!heap_linked(&frame->idle_timer.node))
        loop_timer_set(&frame->idle_timer, frame->svc.cfg->max_idle * 1000,
                       on_idle_long, frame);
}

void life_changed(struct service_frame *frame)
{
    if (frame->use_limit && frame->served >= frame->use_limit && !frame->svc.retiring)
        life_retire(frame);
    accept_update(frame);
    loop_defer(&frame->status_task, send_status, frame);
    if (frame->svc.retiring && is_idle(frame))
        finish(frame);
    else
        update_idle_timer(frame);
}

void life_retire(struct service_frame *frame)
{
    if (frame->svc.retiring)
        return;
    frame->svc.retiring = true;
    accept_close(frame);
    session_cancel_waiting(frame);
    request_retire(frame);
    if (frame->svc.ops->retire)
        frame->svc.ops->retire(&frame->svc);
    life_changed(frame);
}

static void on_unwind_over(void *arg)
{
    finish(arg);
}

static void on_grace_over(void *arg)
{
    struct service_frame *frame = arg;

    fiber_cancel_all();
    loop_timer_set(&frame->stop_timer, STOP_UNWIND_MS, on_unwind_over, frame);
}

void life_stop(struct service_frame *frame)
{
    if (frame->svc.stopping)
        return;
    frame->svc.stopping = true;
    loop_timer_set(&frame->stop_timer, STOP_GRACE_MS, on_grace_over, frame);
    if (!frame->svc.retiring) {
        life_retire(frame);
        return;
    }
    /* The program's retire operation has not yet heard that it is urgent. */
    session_cancel_waiting(frame);
    if (frame->svc.ops->retire)
        frame->svc.ops->retire(&frame->svc);
    life_changed(frame);
}

void service_retire(struct service *svc)
{
    life_retire(svc->frame);
}

void service_hold(struct service *svc)
{
    svc->frame->holds++;
    loop_timer_cancel(&svc->frame->idle_timer);
}

void service_release(struct service *svc)
{
    if (svc->frame->holds == 0)
        panic("service_release: not held");
    svc->frame->holds--;
    life_changed(svc->frame);
}

/* -- orders -- */

static void obey(struct service_frame *frame, const struct service_order *order)
{
    switch (order->command) {
    case SERVICE_CMD_RETIRE:
        life_retire(frame);
        break;
    case SERVICE_CMD_STOP:
        life_stop(frame);
        break;
    case SERVICE_CMD_WAKEUP:
        session_trigger(frame, SPAN_LIT("W"));
        break;
    case SERVICE_CMD_FLUSH_LOG:
        msg_flush();
        break;
    case SERVICE_CMD_LOOK:
        accept_look(frame);
        break;
    case SERVICE_CMD_QUOTA:
        if (frame->quota != SIZE_MAX && order->value > 0)
            frame->quota = order->value;
        life_changed(frame);
        break;
    }
}

static void on_order(struct evfd *ev, void *arg)
{
    struct service_frame *frame = arg;
    struct service_order order;
    ssize_t len;

    while (!frame->ended &&
           (len = recv(ev->fd, &order, sizeof order, MSG_DONTWAIT)) != -1) {
        if (len == (ssize_t)sizeof order) {
            obey(frame, &order);
        } else if (len == 0) {
            /* Nobody will start a successor; end before a new master comes. */
            frame->ended = true;
            evfd_forget(ev);
            life_stop(frame);
        }
    }
    evfd_read_blocked(ev);
}

/* From an operator, or from master when an order to stop was not obeyed. */
static void on_terminate(int signo)
{
    (void)signo;
    life_stop(frame_of_process());
    on_grace_over(frame_of_process());
}

/* -- watchdog: a loop that stands still for daemon_timeout -- */

static void on_alarm(int signo)
{
    (void)signo;
    crash_say("fatal: watchdog timeout");
    _exit(1);
}

static void rearm_watchdog(void *arg)
{
    struct service_frame *frame = arg;
    int64_t seconds = frame->svc.cfg->daemon_timeout;

    if (seconds > UINT32_MAX / 1000)
        seconds = UINT32_MAX / 1000;
    alarm((unsigned)seconds);
    loop_timer_set(&frame->watchdog, seconds * 1000 / 3, rearm_watchdog, frame);
}

void life_start(struct service_frame *frame)
{
    struct sigaction action = {.sa_handler = on_alarm};

    loop_on_signal(SIGTERM, on_terminate);
    signal(SIGHUP, SIG_IGN);
    sigaction(SIGALRM, &action, NULL);
    rearm_watchdog(frame);

    net_set_nonblocking(SERVICE_STATUS_FD, true);
    evfd_init(&frame->status_ev, SERVICE_STATUS_FD);
    evfd_watch(&frame->status_ev, on_order, frame);
    /* Differs from any real status, so that the first one is always sent. */
    frame->sent = (struct service_status){.retiring = 2};
    send_status_now(frame);
    life_changed(frame);
    if (frame->woken_early)
        session_trigger(frame, SPAN_LIT("W"));
}
