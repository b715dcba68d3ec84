#include <stdlib.h>

#include "anvil/anvil.h"
#include "util/frame.h"

#define ENTRIES_MAX 500000 /* beyond this the oldest idle ones go early */

enum answer { ANSWER_OK, ANSWER_FAIL };

/* Connections of one ident that one reporter holds. */
struct anvil_held {
    struct hash_node node;
    struct anvil_entry *entry;
    int64_t count;
};

void anvil_init(struct anvil *anvil, int64_t period_ms)
{
    *anvil = (struct anvil){.period_ms = period_ms};
    hash_init(&anvil->entries, false);
    list_init(&anvil->idle);
}

static void remove_entry(struct anvil *anvil, struct anvil_entry *entry)
{
    list_remove(&entry->idle);
    hash_remove(&anvil->entries, &entry->node);
    free(entry);
}

void anvil_free(struct anvil *anvil)
{
    struct hash_node *node;

    while ((node = hash_next(&anvil->entries, NULL)) != NULL)
        remove_entry(anvil, hash_entry(node, struct anvil_entry, node));
    hash_free(&anvil->entries);
}

void anvil_expire(struct anvil *anvil, int64_t now_ms)
{
    list_each_safe(link, &anvil->idle)
    {
        struct anvil_entry *entry = list_entry(link, struct anvil_entry, idle);

        if (now_ms - entry->touched_ms < anvil->period_ms &&
            anvil->entries.count < ENTRIES_MAX)
            return;
        remove_entry(anvil, entry);
    }
}

static struct anvil_entry *find(struct anvil *anvil, struct span ident)
{
    struct hash_node *node = hash_find(&anvil->entries, ident);

    return node ? hash_entry(node, struct anvil_entry, node) : NULL;
}

static struct anvil_entry *create(struct anvil *anvil, struct span ident,
                                  int64_t now_ms, int64_t when)
{
    struct anvil_entry *entry;

    anvil_expire(anvil, now_ms);
    entry = xcalloc(1, sizeof *entry + ident.len + 1);
    memcpy(entry->ident, ident.ptr, ident.len);
    entry->since_ms = now_ms;
    hash_insert(&anvil->entries, &entry->node, span_of(entry->ident, ident.len));
    list_append(&anvil->idle, &entry->idle);
    anvil_peak_note(&anvil->size_peak, (int64_t)anvil->entries.count, SPAN_EMPTY, when);
    return entry;
}

static void touch(struct anvil *anvil, struct anvil_entry *entry, int64_t now_ms)
{
    entry->touched_ms = now_ms;
    if (now_ms - entry->since_ms >= anvil->period_ms) {
        entry->since_ms = now_ms;
        memset(entry->rates, 0, sizeof entry->rates);
    }
    list_remove(&entry->idle);
    if (entry->connections == 0)
        list_append(&anvil->idle, &entry->idle);
}

/* -- what a process holds -- */

void anvil_reporter_init(struct anvil_reporter *rep, struct anvil *anvil)
{
    rep->anvil = anvil;
    hash_init(&rep->held, false);
}

static struct anvil_held *find_held(struct anvil_reporter *rep, struct span ident)
{
    struct hash_node *node = hash_find(&rep->held, ident);

    return node ? hash_entry(node, struct anvil_held, node) : NULL;
}

static void hold(struct anvil_reporter *rep, struct anvil_entry *entry)
{
    struct anvil_held *held = find_held(rep, entry->node.key);

    if (!held) {
        held = xcalloc(1, sizeof *held);
        held->entry = entry;
        hash_insert(&rep->held, &held->node, entry->node.key);
    }
    held->count++;
    entry->connections++;
}

static void let_go(struct anvil_reporter *rep, struct anvil_held *held, int64_t count,
                   int64_t now_ms)
{
    struct anvil_entry *entry = held->entry;

    entry->connections -= count;
    held->count -= count;
    if (held->count == 0) {
        hash_remove(&rep->held, &held->node);
        free(held);
    }
    touch(rep->anvil, entry, now_ms);
}

void anvil_reporter_free(struct anvil_reporter *rep, int64_t now_ms)
{
    struct hash_node *node;

    while ((node = hash_next(&rep->held, NULL)) != NULL) {
        struct anvil_held *held = hash_entry(node, struct anvil_held, node);

        let_go(rep, held, held->count, now_ms);
    }
    hash_free(&rep->held);
}

/* -- requests -- */

struct request {
    struct anvil_reporter *rep;
    struct span ident;
    int64_t now_ms, when;
    struct strbuf *reply;
    enum anvil_rate rate;
};

static struct anvil_entry *count_event(const struct request *rq)
{
    struct anvil *anvil = rq->rep->anvil;
    struct anvil_entry *entry = find(anvil, rq->ident);

    if (!entry)
        entry = create(anvil, rq->ident, rq->now_ms, rq->when);
    touch(anvil, entry, rq->now_ms);
    entry->rates[rq->rate]++;
    anvil_peak_note(&anvil->rate_peaks[rq->rate], entry->rates[rq->rate], rq->ident,
                    rq->when);
    return entry;
}

static void connected(const struct request *rq)
{
    struct anvil *anvil = rq->rep->anvil;
    struct anvil_entry *entry = count_event(rq);

    hold(rq->rep, entry);
    list_remove(&entry->idle);
    anvil_peak_note(&anvil->count_peak, entry->connections, rq->ident, rq->when);
    frame_num(rq->reply, "status", ANSWER_OK);
    frame_num(rq->reply, "count", entry->connections);
    frame_num(rq->reply, "rate", entry->rates[ANVIL_RATE_CONNECT]);
}

/* One that anvil does not know of may stem from before its own restart. */
static void disconnected(const struct request *rq)
{
    struct anvil_held *held = find_held(rq->rep, rq->ident);

    if (held)
        let_go(rq->rep, held, 1, rq->now_ms);
    frame_num(rq->reply, "status", ANSWER_OK);
}

static void happened(const struct request *rq)
{
    struct anvil_entry *entry = count_event(rq);

    frame_num(rq->reply, "status", ANSWER_OK);
    frame_num(rq->reply, "rate", entry->rates[rq->rate]);
}

static void looked_up(const struct request *rq)
{
    static const char *const names[] = {"rate", "message", "recipient", "newtls",
                                        "auth"};
    struct anvil_entry *entry = find(rq->rep->anvil, rq->ident);

    if (entry)
        touch(rq->rep->anvil, entry, rq->now_ms);
    frame_num(rq->reply, "status", ANSWER_OK);
    frame_num(rq->reply, "count", entry ? entry->connections : 0);
    for (size_t i = 0; i < ANVIL_RATE_COUNT; i++)
        frame_num(rq->reply, names[i], entry ? entry->rates[i] : 0);
}

void anvil_request(struct anvil_reporter *rep, struct span request, int64_t now_ms,
                   int64_t when, struct strbuf *reply)
{
    static const struct {
        const char *name;
        void (*fn)(const struct request *rq);
        enum anvil_rate rate;
    } requests[] = {
        {"connect", connected, ANVIL_RATE_CONNECT},
        {"disconnect", disconnected, ANVIL_RATE_CONNECT},
        {"message", happened, ANVIL_RATE_MESSAGE},
        {"recipient", happened, ANVIL_RATE_RCPT},
        {"newtls", happened, ANVIL_RATE_NEWTLS},
        {"auth", happened, ANVIL_RATE_AUTH},
        {"lookup", looked_up, ANVIL_RATE_CONNECT},
    };
    struct frame_reader r = frame_reader(request);
    struct span name = frame_want_span(&r, "request");
    struct request rq = {.rep = rep, .now_ms = now_ms, .when = when, .reply = reply};

    rq.ident = frame_want_span(&r, "ident");
    for (size_t i = 0; i < ARRAY_LEN(requests) && !r.missing; i++) {
        if (!span_eq_str(name, requests[i].name) || rq.ident.len == 0 ||
            rq.ident.len >= ANVIL_IDENT_MAX)
            continue;
        rq.rate = requests[i].rate;
        requests[i].fn(&rq);
        return;
    }
    frame_num(reply, "status", ANSWER_FAIL);
}
