/* Which delivery comes next.
 *
 * Every job has an order: the time of its arrival, in steps, so that a job may be
 * put in front of another. A destination is ready when it may deliver and has an
 * entry; the ready heap of a transport knows the one whose head job is first.
 *
 * Overtaking: a large job earns a slot for every slot_cost deliveries made while it
 * was at the head. The smallest waiting job goes in front as soon as the slots
 * (with loan and discount) pay for all its entries. So a mailing to a million
 * recipients costs a single message a few deliveries of waiting, and small
 * messages can never take more than their share from the large one. */
#include "qmgr/qmgr.h"

#include <stdlib.h>

#define ORDER_STEP (1 << 20)

static void small_update(struct job *job)
{
    heap_remove(&job->transport->small, &job->small_node);
    if (job->entries > 0)
        heap_insert(&job->transport->small, &job->small_node, job->entries);
}

void schedule_update(struct destination *dest)
{
    struct transport *t = dest->transport;
    struct heap_node *head = heap_min(&dest->peers);

    heap_remove(&t->ready, &dest->ready_node);
    if (!head || dest->dead || dest->paused || dest->busy >= dest->window)
        return;
    heap_insert(&t->ready, &dest->ready_node, head->key);
    schedule_soon(t);
}

struct job *schedule_job(struct message *msg, struct transport *t)
{
    struct job *job;

    list_each(link, &msg->jobs)
    {
        job = list_entry(link, struct job, in_message);
        if (job->transport == t)
            return job;
    }
    job = arena_alloc(msg->arena, sizeof *job);
    job->message = msg;
    job->transport = t;
    job->order = msg->qm->job_seq += ORDER_STEP;
    list_init(&job->peers);
    list_append(&msg->jobs, &job->in_message);
    return job;
}

static struct peer *find_peer(const struct message *msg, const struct destination *dest)
{
    struct peer_key key = {msg, dest};
    struct hash_node *node =
        hash_find(&msg->qm->peers, span_of((const char *)&key, sizeof key));

    return node ? hash_entry(node, struct peer, node) : NULL;
}

static struct peer *new_peer(struct job *job, struct destination *dest)
{
    struct peer *peer = xcalloc(1, sizeof *peer);

    peer->key = (struct peer_key){job->message, dest};
    peer->job = job;
    peer->dest = dest;
    list_init(&peer->entries);
    list_append(&job->peers, &peer->in_job);
    hash_insert(&job->message->qm->peers, &peer->node,
                span_of((const char *)&peer->key, sizeof peer->key));
    heap_insert(&dest->peers, &peer->heap_node, job->order);
    return peer;
}

static void free_peer(struct peer *peer)
{
    heap_remove(&peer->dest->peers, &peer->heap_node);
    hash_remove(&peer->job->message->qm->peers, &peer->node);
    list_remove(&peer->in_job);
    free(peer);
}

struct entry *schedule_open_entry(struct message *msg, struct destination *dest,
                                  const struct batch *batch)
{
    struct peer *peer = find_peer(msg, dest);
    struct entry *last;

    if (!peer)
        return NULL;
    last = list_entry(peer->entries.prev, struct entry, in_peer);
    return last->batch == batch && last->rcpt_len < last->rcpt_cap ? last : NULL;
}

void schedule_add(struct entry *entry, struct job *job)
{
    struct destination *dest = entry->dest;
    struct peer *peer = find_peer(entry->message, dest);

    if (!peer)
        peer = new_peer(job, dest);
    list_append(&peer->entries, &entry->in_peer);
    dest->todo++;
    job->entries++;
    job->total++;
    small_update(job);
    schedule_update(dest);
}

static struct entry *take_from_peer(struct peer *peer)
{
    struct entry *entry = list_first(&peer->entries, struct entry, in_peer);
    struct job *job = peer->job;

    list_remove(&entry->in_peer);
    entry->dest->todo--;
    job->entries--;
    small_update(job);
    if (list_empty(&peer->entries))
        free_peer(peer);
    return entry;
}

struct entry *schedule_take(struct destination *dest)
{
    struct heap_node *head = heap_min(&dest->peers);
    struct entry *entry;

    if (!head)
        return NULL;
    entry = take_from_peer(container_of(head, struct peer, heap_node));
    schedule_update(dest);
    return entry;
}

void schedule_forget_job(struct job *job)
{
    if (!list_empty(&job->peers))
        panic("%s: job ends with waiting entries", job->message->id);
    heap_remove(&job->transport->small, &job->small_node);
    list_remove(&job->in_message);
}

/* Give the job a new order, in all heaps that know it. */
static void reorder(struct job *job, int64_t order)
{
    job->order = order;
    list_each(link, &job->peers)
    {
        struct peer *peer = list_entry(link, struct peer, in_job);

        heap_remove(&peer->dest->peers, &peer->heap_node);
        heap_insert(&peer->dest->peers, &peer->heap_node, order);
        schedule_update(peer->dest);
    }
}

static void consider_overtaking(struct transport *t, struct job *head)
{
    struct heap_node *node = heap_min(&t->small);
    struct job *small;
    int64_t slots, price;

    if (t->slot_cost <= 1 || !node)
        return;
    head->slots_earned++;
    small = container_of(node, struct job, small_node);
    if (small == head || small->order < head->order ||
        head->total / t->slot_cost < t->minimum_slots)
        return;
    slots = head->slots_earned / t->slot_cost - head->slots_spent;
    price = small->entries * (100 - t->slot_discount) / 100 - t->slot_loan;
    if (slots < 1 || slots < price)
        return;
    head->slots_spent += small->entries;
    reorder(small, head->order - 1);
}

static struct job *start_next(struct transport *t, struct destination *dest)
{
    struct peer *peer = container_of(heap_min(&dest->peers), struct peer, heap_node);
    struct job *job = peer->job;
    struct entry *entry = take_from_peer(peer);

    dest->busy++;
    t->in_flight++;
    schedule_update(dest);
    delivery_start(entry);
    return job;
}

static void run(void *arg)
{
    struct transport *t = arg;
    struct heap_node *node;

    while (!t->qm->draining && !t->unavailable && !t->paused &&
           (t->process_limit == 0 || t->in_flight < t->process_limit) &&
           (node = heap_min(&t->ready)) != NULL)
        consider_overtaking(
            t, start_next(t, container_of(node, struct destination, ready_node)));
}

void schedule_soon(struct transport *t)
{
    loop_defer(&t->schedule_task, run, t);
}
