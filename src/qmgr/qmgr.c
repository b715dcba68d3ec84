/* qmgr(8): the service. Notifications of cleanup and triggers come in here. */
#include "qmgr/qmgr.h"

#include <stdlib.h>

#include "util/msg.h"
#include "util/timefmt.h"

/* How long deliveries under way may hold up a reload or stop. Those that last longer
 * keep their queue file locked and marked: the next process goes on from there. */
#define DRAIN_MS 5000

void qmgr_hold(struct qmgr *qm)
{
    qm->holds++;
    service_hold(qm->svc);
}

void qmgr_release(struct qmgr *qm)
{
    if (qm->holds == 0)
        return;
    qm->holds--;
    service_release(qm->svc);
}

static void post_jail(struct service *svc)
{
    struct qmgr *qm = svc->data;

    scan_request(qm, SCAN_ACTIVE | SCAN_DEFERRED | SCAN_INCOMING);
}

static void pre_jail(struct service *svc)
{
    struct qmgr *qm = arena_alloc(svc->arena, sizeof *qm);
    struct err err;

    svc->data = qm;
    qm->svc = svc;
    qm->cfg = svc->cfg;
    qm->services = master_cf_load(svc->cfg, &err);
    if (!qm->services)
        msg_warn("%s: using default_process_limit for all transports", err.text);
    queue_init(&qm->queue, svc->cfg, svc->arena);
    qm->rewrite = rewrite_client_new(svc->cfg);
    qm->bounce = bounce_client_new(svc->cfg);
    hash_init(&qm->messages, false);
    hash_init(&qm->transports, false);
    hash_init(&qm->peers, false);
    fiber_queue_init(&qm->room);
    deferred_init(qm);
}

/* request=new queue_name=incoming queue_id=Q envelope...: a new message. One-way:
 * what cannot be taken now lies safely in the incoming queue. */
static void new_message(struct qmgr *qm, struct span request)
{
    struct arena *arena = arena_new();
    struct frame_reader r = frame_reader(request);
    const char *missing = NULL;
    struct span queue_name = frame_want_span(&r, "queue_name");
    struct span id = frame_want_span(&r, "queue_id");
    struct envelope env;

    if (r.missing || !queue_id_valid(id) ||
        !envelope_from_frame(request, arena, &env, &missing))
        msg_warn("notification without %s", missing ? missing : "queue_id");
    else if (qm->draining || !message_has_room(qm))
        scan_request(qm, SCAN_INCOMING);
    else
        message_admit(qm, arena_span_str(arena, queue_name), arena_span_str(arena, id),
                      &env);
    arena_free(arena);
}

static void request(struct service *svc, struct span request, struct strbuf *reply)
{
    struct frame_reader r = frame_reader(request);
    struct span name = frame_want_span(&r, "request");

    if (!r.missing && span_eq_str(name, "new")) {
        new_message(svc->data, request);
        return;
    }
    msg_warn("unexpected request \"%.*s\"", SPAN_ARG(span_first(name, 40)));
    frame_num(reply, "status", -1);
}

static void trigger(struct service *svc, struct span bytes)
{
    struct qmgr *qm = svc->data;
    unsigned want = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        switch (bytes.ptr[i]) {
        case 'D':
            want |= SCAN_DEFERRED;
            break;
        case 'I':
        case 'W':
            want |= SCAN_INCOMING;
            break;
        case 'A':
            want |= SCAN_DEFERRED | SCAN_ALL_DUE;
            break;
        case 'F':
            transport_forget_dead(qm);
            break;
        }
    }
    scan_request(qm, want);
}

static void give_up_waiting(void *arg)
{
    struct qmgr *qm = arg;

    while (qm->holds > 0)
        qmgr_release(qm);
}

static void retire(struct service *svc)
{
    struct qmgr *qm = svc->data;

    qm->draining = true;
    fiber_queue_wake_all(&qm->room);
    loop_timer_set(&qm->shutdown_timer, DRAIN_MS, give_up_waiting, qm);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "qmgr",
        .pre_jail = pre_jail,
        .post_jail = post_jail,
        .request = request,
        .trigger = trigger,
        .retire = retire,
        .solitary = true,
    };

    return service_main(argc, argv, &ops);
}
