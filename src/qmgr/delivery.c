/* One delivery: a fiber that hands an entry to an agent and takes the answer. */
#include "qmgr/qmgr.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/msg.h"

struct outcome {
    enum ipc_status status;
    bool was_idle; /* an idle connection that the agent may just have closed */
    bool connected;
    struct deliver_reply reply;
};

static void build_request(struct entry *entry, struct strbuf *sb)
{
    struct message *msg = entry->message;
    struct deliver_request req = {.queue_name = QUEUE_ACTIVE,
                                  .queue_id = msg->id,
                                  .nexthop = entry->dest->nexthop,
                                  .env = msg->env,
                                  .active_arrival = msg->active_arrival};

    req.flags = msg->attempt_flags | DELIVER_SUCCESS;
    /* Keep connections open while more mail waits for the same place. */
    if (entry->dest->todo > 0)
        req.flags |= DELIVER_CONN_STORE | DELIVER_CONN_LOAD;
    else if (entry->dest->window > 1)
        req.flags |= DELIVER_CONN_LOAD;
    req.env.rcpts = entry->rcpts;
    req.env.rcpt_len = entry->rcpt_len;
    gettimeofday(&req.agent_handoff, NULL);
    deliver_request_to_frame(&req, sb);
}

static void exchange(struct transport *t, struct entry *entry, struct arena *arena,
                     struct outcome *out)
{
    struct ipc_conn *conn;
    struct frame frame;
    const char *missing;
    bool fresh;

    out->status = ipc_pool_get(t->pool, &conn, &fresh);
    if (out->status != IPC_OK)
        return;
    out->connected = true;
    out->was_idle = !fresh;
    build_request(entry, ipc_conn_begin(conn));
    ipc_conn_end(conn);
    out->status = ipc_conn_reply(conn, &frame);
    if (out->status == IPC_OK &&
        !deliver_reply_from_frame(frame.body, arena, &out->reply, &missing)) {
        msg_warn("transport %s: reply without attribute %s", t->name, missing);
        out->status = IPC_BROKEN;
    }
    if (out->status == IPC_OK)
        ipc_pool_put(t->pool, conn);
    else
        ipc_pool_drop(t->pool, conn);
}

/* A transport without a service in master.cf is the common case. */
static const char *why_no_connection(const struct transport *t, enum ipc_status status)
{
    struct strbuf path = STRBUF_INIT;
    bool missing;

    strbuf_addf(&path, "private/%s", t->name);
    missing = access(path.ptr, F_OK) < 0 && errno == ENOENT;
    strbuf_free(&path);
    return missing ? strerror(ENOENT) : ipc_status_text(status);
}

static void agent_failed(struct transport *t, struct entry *entry,
                         const struct outcome *out)
{
    struct message *msg = entry->message;

    if (out->was_idle && out->status == IPC_LOST) {
        /* It closed an idle connection as we wrote. What was done is marked in the
         * file: read that again and go on. */
        msg->retry_soon = true;
        message_entry_done(entry);
        return;
    }
    if (!t->unavailable) {
        if (out->connected)
            msg_warn("transport %s failure -- see a previous warning/fatal/panic "
                     "logfile record for the problem description",
                     t->name);
        else
            msg_warn("connect to transport private/%s: %s", t->name,
                     why_no_connection(t, out->status));
    }
    transport_unavailable(t);
    if (out->connected) {
        msg->incomplete = true;
        message_entry_done(entry);
    } else {
        recipients_retry(entry, "4.3.0 mail transport unavailable");
    }
}

static void take_reply(struct destination *dest, struct entry *entry,
                       const struct outcome *out)
{
    struct message *msg = entry->message;

    msg->incomplete |= out->reply.incomplete;
    msg->bounced |= out->reply.bounced;
    msg->traced |= out->reply.traced;
    if (out->reply.site_failed)
        feedback_failure(dest, &out->reply.dsn);
    else
        feedback_success(dest);
    message_entry_done(entry);
}

static void end_pause(void *arg)
{
    struct destination *dest = arg;

    dest->paused = false;
    schedule_update(dest);
    destination_drop_if_idle(dest);
}

static void end_transport_pause(void *arg)
{
    struct transport *t = arg;

    t->paused = false;
    schedule_soon(t);
}

static void pause_for_rates(struct destination *dest)
{
    struct transport *t = dest->transport;

    if (t->transport_rate_delay > 0) {
        t->paused = true;
        loop_timer_set(&t->pause_timer, t->transport_rate_delay * 1000,
                       end_transport_pause, t);
    }
    if (t->rate_delay > 0 && !dest->dead) {
        dest->paused = true;
        loop_timer_set(&dest->timer, t->rate_delay * 1000, end_pause, dest);
    }
}

static void deliver_fiber(void *arg)
{
    struct entry *entry = arg;
    struct destination *dest = entry->dest;
    struct transport *t = dest->transport;
    struct qmgr *qm = t->qm;
    struct arena *arena = arena_new();
    struct outcome out = {.status = IPC_OK};

    exchange(t, entry, arena, &out);
    pause_for_rates(dest);
    if (out.status == IPC_OK)
        take_reply(dest, entry, &out);
    else
        agent_failed(t, entry, &out);
    arena_free(arena);
    /* Only now: a busy destination cannot be dropped by what happened above. */
    dest->busy--;
    t->in_flight--;
    qm->in_flight--;
    schedule_update(dest);
    destination_drop_if_idle(dest);
    schedule_soon(t);
    qmgr_release(qm);
}

void delivery_start(struct entry *entry)
{
    struct qmgr *qm = entry->message->qm;

    qm->in_flight++;
    qmgr_hold(qm);
    fiber_spawn("delivery", deliver_fiber, entry);
}
