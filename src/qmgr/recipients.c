#include "qmgr/qmgr.h"

#include <stdlib.h>

#include "global/addr.h"
#include "global/event.h"
#include "util/msg.h"

/* The double-bounce address only receives what nobody else may: such mail ends here
 * so that it cannot loop. */
static bool is_double_bounce(const struct qmgr *qm, const char *address)
{
    struct span local, domain;

    addr_split(span_str(address), &local, &domain);
    return span_ieq_str(local, qm->cfg->double_bounce_sender);
}

/* With one recipient a delivery the recipient is the destination, so that a slow
 * mailbox holds up nobody else. */
static const char *destination_key(const struct transport *t, const struct route *route)
{
    return t->recipient_limit == 1 ? route->address : route->nexthop;
}

static struct destination *find_destination(struct message *msg, struct arena *arena,
                                            struct route *route)
{
    struct qmgr *qm = msg->qm;
    struct transport *t = transport_get(qm, route->transport);
    struct destination *dest;

    if (t->unavailable && strcmp(t->name, RETRY_SERVICE) != 0) {
        route_to_retry(route, "4.3.0 mail transport unavailable");
        t = transport_get(qm, route->transport);
    }
    dest = destination_get(t, destination_key(t, route), route->nexthop);
    if (dest->dead && msg->flushed)
        destination_revive(dest);
    if (!dest->dead)
        return dest;
    route_to_retry(route, arena_printf(arena, "%s delivery temporarily suspended: %s",
                                       dest->why_status, dest->why));
    t = transport_get(qm, route->transport);
    return destination_get(t, destination_key(t, route), route->nexthop);
}

static struct entry *new_entry(struct message *msg, struct batch *batch,
                               struct destination *dest, size_t wanted)
{
    struct entry *entry = arena_alloc(batch->arena, sizeof *entry);
    int64_t limit = dest->transport->recipient_limit;

    entry->batch = batch;
    entry->message = msg;
    entry->dest = dest;
    entry->rcpt_cap = limit > 0 && (size_t)limit < wanted ? (size_t)limit : wanted;
    entry->rcpts = arena_alloc(batch->arena, entry->rcpt_cap * sizeof *entry->rcpts);
    batch->refs++;
    msg->entries++;
    return entry;
}

static void discard_double_bounce(struct message *msg, const struct recipient *rcpt)
{
    struct dsn dsn = {.status = "2.0.0",
                      .action = "",
                      .diag_type = "",
                      .diag_text = "",
                      .mta_type = "",
                      .mta_name = "",
                      .reason = "undeliverable postmaster notification discarded"};
    struct deliver_request req = {.queue_name = QUEUE_ACTIVE,
                                  .queue_id = msg->id,
                                  .env = msg->env,
                                  .active_arrival = msg->active_arrival};

    gettimeofday(&req.agent_begin, NULL);
    event_delivery(msg->qm->cfg, &req, rcpt, "none", &dsn, "sent");
}

/* One destination that fills the active queue keeps mail for all others waiting. */
static void warn_of_congestion(struct destination *dest)
{
    const struct config *cfg = dest->transport->qm->cfg;
    int64_t places = cfg->qmgr_message_active_limit;

    if (cfg->qmgr_clog_warn_time <= 0 || dest->todo <= places / 5 * 4 ||
        loop_now() < dest->next_warning)
        return;
    dest->next_warning = loop_deadline(cfg->qmgr_clog_warn_time * 1000);
    msg_warn("mail for %s is using up %lld of %lld active queue entries", dest->nexthop,
             (long long)dest->todo, (long long)places);
    msg_warn("this may slow down other mail deliveries");
    msg_warn("consider a transport of its own for this destination");
}

static void queue_one(struct message *msg, struct batch *batch,
                      const struct recipient *rcpt, struct route route, size_t left)
{
    struct qmgr *qm = msg->qm;
    struct destination *dest;
    struct entry *entry;

    if (is_double_bounce(qm, rcpt->address)) {
        discard_double_bounce(msg, rcpt);
        return;
    }
    dest = find_destination(msg, batch->arena, &route);
    entry = schedule_open_entry(msg, dest, batch);
    if (!entry) {
        entry = new_entry(msg, batch, dest, left);
        schedule_add(entry, schedule_job(msg, dest->transport));
        warn_of_congestion(dest);
    }
    entry->rcpts[entry->rcpt_len] = *rcpt;
    entry->rcpts[entry->rcpt_len].address = route.address;
    /* The destination looks at where the mail goes, the log at whom it was for. */
    if (!*rcpt->orig && strcmp(rcpt->address, route.address) != 0)
        entry->rcpts[entry->rcpt_len].orig = rcpt->address;
    entry->rcpt_len++;
    msg->rcpts++;
    qm->rcpts_in_memory++;
}

/* All routes first, which waits for answers; then all entries at once, so that
 * recipients of one destination travel together. */
void recipients_queue(struct message *msg, struct batch *batch)
{
    size_t count = msg->env.rcpt_len;
    struct route *routes = arena_alloc(batch->arena, (count + 1) * sizeof *routes);

    route_find_all(msg, batch->arena, routes);
    for (size_t i = 0; i < count; i++)
        queue_one(msg, batch, &msg->env.rcpts[i], routes[i], count - i);
}

void recipients_retry(struct entry *entry, const char *why)
{
    struct message *msg = entry->message;
    struct transport *t = transport_get(msg->qm, RETRY_SERVICE);

    if (t->unavailable || t == entry->dest->transport) {
        msg->incomplete = true;
        message_entry_done(entry);
        return;
    }
    entry->dest = destination_get(t, why, why);
    schedule_add(entry, schedule_job(msg, t));
}
