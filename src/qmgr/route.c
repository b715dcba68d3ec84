/* Asks the resolver where recipients go. */
#include "qmgr/qmgr.h"

#include <stdlib.h>

#include "global/addr.h"

/* Questions in flight for one message. They leave together, so that a mailing to
 * thousands does not wait thousands of times. */
#define ASK_AT_ONCE 64

void route_to_retry(struct route *route, const char *why)
{
    route->transport = RETRY_SERVICE;
    route->nexthop = why;
}

static bool transport_deferred(const struct qmgr *qm, const char *transport)
{
    struct span rest = span_str(qm->cfg->defer_transports), name;

    while (span_token(&rest, ", \t\r\n", &name))
        if (span_eq_str(name, transport))
            return true;
    return false;
}

static void split_filter(const struct message *msg, struct arena *arena,
                         struct route *route)
{
    struct span rest = span_str(msg->env.filter);
    struct span transport = span_cut(&rest, ':');
    struct span local, domain;

    route->transport = arena_span_str(arena, transport);
    if (rest.len > 0) {
        route->nexthop = arena_span_str(arena, rest);
        return;
    }
    addr_split(span_str(route->address), &local, &domain);
    route->nexthop =
        domain.len ? arena_span_str(arena, domain) : msg->qm->cfg->myhostname;
}

static void take_answer(struct message *msg, struct arena *arena,
                        const struct resolve *resolve, struct route *route)
{
    route->transport = arena_str(arena, resolve->transport);
    route->nexthop = arena_str(arena, resolve->nexthop);
    if (!(resolve->flags & RESOLVE_ERROR))
        route->address = arena_str(arena, resolve->recipient);
    if (*msg->env.filter)
        split_filter(msg, arena, route);
    if (transport_deferred(msg->qm, route->transport))
        route_to_retry(route, "4.3.2 deferred transport");
}

/* The work of several fibers, who look at it after every wait: the message is gone when
 * its own fiber was cancelled. */
struct search {
    struct message *msg; /* NULL: nobody wants the answers any more */
    struct arena *arena;
    struct route *routes;
    struct fiber_queue ended;
    size_t next, refs;
};

static void find_one(struct search *search, size_t i, struct arena *scratch)
{
    struct message *msg = search->msg;
    struct route *route = &search->routes[i];
    struct resolve resolve = {0};
    enum rewrite_status status;

    route->address = msg->env.rcpts[i].address;
    route_to_retry(route, "4.3.0 address resolver failure");
    status = rewrite_resolve(msg->qm->rewrite, msg->env.sender,
                             span_str(route->address), scratch, &resolve);
    if (search->msg && status == REWRITE_OK && !(resolve.flags & RESOLVE_FAIL))
        take_answer(msg, search->arena, &resolve, route);
}

static void find_rest(struct search *search)
{
    struct arena *scratch = arena_new();

    while (search->msg && search->next < search->msg->env.rcpt_len) {
        find_one(search, search->next++, scratch);
        arena_reset(scratch);
    }
    arena_free(scratch);
}

static void release(struct search *search)
{
    if (--search->refs == 0)
        free(search);
}

static void helper(void *arg)
{
    struct search *search = arg;

    find_rest(search);
    if (search->msg && search->refs == 2)
        fiber_queue_wake_all(&search->ended);
    release(search);
}

/* A recipient whose answer has not come is put off. */
static void give_up(struct search *search)
{
    for (size_t i = search->next; i < search->msg->env.rcpt_len; i++) {
        search->routes[i].address = search->msg->env.rcpts[i].address;
        route_to_retry(&search->routes[i], "4.3.0 address resolver failure");
    }
    search->msg = NULL;
}

void route_find_all(struct message *msg, struct arena *arena, struct route *routes)
{
    if (msg->expire) {
        for (size_t i = 0; i < msg->env.rcpt_len; i++) {
            routes[i].address = msg->env.rcpts[i].address;
            route_to_retry(&routes[i], "4.7.0 message is administratively expired");
        }
        return;
    }
    struct search *search = xcalloc(1, sizeof *search);
    size_t count = msg->env.rcpt_len;

    search->msg = msg;
    search->arena = arena;
    search->routes = routes;
    fiber_queue_init(&search->ended);
    search->refs = 1;
    for (size_t i = 1; i < count && i < ASK_AT_ONCE; i++) {
        search->refs++;
        fiber_spawn("resolve", helper, search);
    }
    find_rest(search);
    while (search->refs > 1)
        if (fiber_queue_wait(&search->ended, loop_deadline(1000)) == WAIT_CANCELLED)
            break;
    give_up(search);
    release(search);
}
