#include "qmgr/qmgr.h"

#include <stdlib.h>

#include "util/msg.h"

#define IDLE_CONNECTIONS 200

/* The agent's share of concurrent deliveries is the process limit of its master.cf
 * entry: more requests would only wait in its listen queue. */
static int64_t process_limit(const struct qmgr *qm, const char *name)
{
    for (size_t i = 0; qm->services && i < qm->services->count; i++) {
        const struct master_entry *entry = &qm->services->entries[i];

        if (entry->type == SERVICE_UNIX && strcmp(entry->name, name) == 0)
            return entry->process_limit;
    }
    return qm->cfg->default_process_limit;
}

static void load_feedback(struct transport *t, const char *suffix, double *num,
                          int *kind)
{
    const char *value = config_prefix_str(t->qm->cfg, t->name, suffix);

    if (!feedback_parse(value, num, kind)) {
        msg_warn("%s%s: bad feedback value \"%s\": using 1", t->name, suffix, value);
        *num = 1;
        *kind = FEEDBACK_FIXED;
    }
}

static void load_limits(struct transport *t)
{
    const struct config *cfg = t->qm->cfg;
    const char *name = t->name;

    t->concurrency_limit =
        config_prefix_int(cfg, name, "_destination_concurrency_limit");
    t->recipient_limit = config_prefix_int(cfg, name, "_destination_recipient_limit");
    t->initial_concurrency =
        config_prefix_int(cfg, name, "_initial_destination_concurrency");
    t->failed_cohort_limit =
        config_prefix_int(cfg, name, "_destination_concurrency_failed_cohort_limit");
    t->rate_delay = config_prefix_int(cfg, name, "_destination_rate_delay");
    t->transport_rate_delay = config_prefix_int(cfg, name, "_transport_rate_delay");
    t->slot_cost = config_prefix_int(cfg, name, "_delivery_slot_cost");
    t->slot_loan = config_prefix_int(cfg, name, "_delivery_slot_loan");
    t->slot_discount = config_prefix_int(cfg, name, "_delivery_slot_discount");
    t->minimum_slots = config_prefix_int(cfg, name, "_minimum_delivery_slots");
    load_feedback(t, "_destination_concurrency_positive_feedback", &t->positive_num,
                  &t->positive_kind);
    load_feedback(t, "_destination_concurrency_negative_feedback", &t->negative_num,
                  &t->negative_kind);
    if (t->rate_delay > 0)
        t->concurrency_limit = 1;
    if (t->transport_rate_delay > 0)
        t->process_limit = 1;
}

struct transport *transport_get(struct qmgr *qm, const char *name)
{
    struct hash_node *node = hash_find(&qm->transports, span_str(name));
    struct strbuf path = STRBUF_INIT;
    struct transport *t;

    if (node)
        return hash_entry(node, struct transport, node);
    t = xcalloc(1, sizeof *t);
    t->qm = qm;
    t->name = xstrdup(name);
    t->process_limit = process_limit(qm, name);
    strbuf_addf(&path, "private/%s", name);
    t->pool = ipc_pool_new(path.ptr, qm->cfg->ipc_timeout * 1000,
                           qm->cfg->ipc_idle * 1000, IDLE_CONNECTIONS);
    strbuf_free(&path);
    hash_init(&t->destinations, true);
    heap_init(&t->ready);
    heap_init(&t->small);
    load_limits(t);
    hash_insert(&qm->transports, &t->node, span_str(t->name));
    return t;
}

struct destination *destination_get(struct transport *t, const char *key,
                                    const char *nexthop)
{
    struct hash_node *node = hash_find(&t->destinations, span_str(key));
    struct destination *dest;

    if (node)
        return hash_entry(node, struct destination, node);
    dest = xcalloc(1, sizeof *dest);
    dest->transport = t;
    dest->nexthop = xstrdup(nexthop);
    heap_init(&dest->peers);
    dest->window = t->initial_concurrency;
    if (t->concurrency_limit > 0 && dest->window > t->concurrency_limit)
        dest->window = t->concurrency_limit;
    if (dest->window < 1)
        dest->window = 1;
    hash_insert(&t->destinations, &dest->node, span_str(xstrdup(key)));
    return dest;
}

void destination_drop_if_idle(struct destination *dest)
{
    struct transport *t = dest->transport;

    if (dest->busy || dest->todo || dest->dead || dest->paused)
        return;
    hash_remove(&t->destinations, &dest->node);
    heap_remove(&t->ready, &dest->ready_node);
    heap_free(&dest->peers);
    loop_timer_cancel(&dest->timer);
    free((char *)dest->node.key.ptr);
    free((char *)dest->nexthop);
    free(dest->why);
    free(dest);
}

void destination_revive(struct destination *dest)
{
    struct transport *t = dest->transport;

    dest->dead = false;
    dest->failed_cohorts = dest->success = dest->failure = 0;
    dest->window = t->initial_concurrency;
    if (t->concurrency_limit > 0 && dest->window > t->concurrency_limit)
        dest->window = t->concurrency_limit;
    loop_timer_cancel(&dest->timer);
    schedule_update(dest);
}

static void revive_timer(void *arg)
{
    struct destination *dest = arg;

    destination_revive(dest);
    destination_drop_if_idle(dest);
}

void destination_suspend(struct destination *dest, const struct dsn *dsn)
{
    int64_t delay = dest->transport->qm->cfg->minimal_backoff_time;
    struct entry *entry;

    if (dest->dead)
        return;
    dest->dead = true;
    free(dest->why);
    dest->why = xstrdup(dsn->reason);
    memcpy(dest->why_status, dsn->status, sizeof dest->why_status);
    schedule_update(dest);
    loop_timer_set(&dest->timer, delay * 1000, revive_timer, dest);
    while ((entry = schedule_take(dest)) != NULL) {
        struct strbuf why = STRBUF_INIT;

        strbuf_addf(&why, "%s delivery temporarily suspended: %s", dest->why_status,
                    dest->why);
        recipients_retry(entry, why.ptr);
        strbuf_free(&why);
    }
}

static void transport_back(void *arg)
{
    struct transport *t = arg;

    t->unavailable = false;
    schedule_soon(t);
}

void transport_unavailable(struct transport *t)
{
    if (t->unavailable)
        return;
    t->unavailable = true;
    loop_timer_set(&t->retry_timer, t->qm->cfg->transport_retry_time * 1000,
                   transport_back, t);
    for (struct hash_node *node = hash_next(&t->destinations, NULL); node;) {
        struct destination *dest = hash_entry(node, struct destination, node);
        struct entry *entry;

        while ((entry = schedule_take(dest)) != NULL)
            recipients_retry(entry, "4.3.0 mail transport unavailable");
        node = hash_next(&t->destinations, node);
        destination_drop_if_idle(dest);
    }
}

static void forget_dead(struct transport *t)
{
    if (t->unavailable) {
        loop_timer_cancel(&t->retry_timer);
        transport_back(t);
    }
    for (struct hash_node *node = hash_next(&t->destinations, NULL); node;) {
        struct destination *dest = hash_entry(node, struct destination, node);

        node = hash_next(&t->destinations, node);
        if (dest->dead) {
            destination_revive(dest);
            destination_drop_if_idle(dest);
        }
    }
}

void transport_forget_dead(struct qmgr *qm)
{
    for (struct hash_node *node = hash_next(&qm->transports, NULL); node;
         node = hash_next(&qm->transports, node))
        forget_dead(hash_entry(node, struct transport, node));
}
