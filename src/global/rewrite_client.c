#include "global/rewrite_client.h"

#include "global/addr.h"
#include "util/hash.h"
#include "util/ipc.h"
#include "util/loop.h"
#include "util/msg.h"

#include <stdlib.h>

/* Answers are kept for a few seconds: long enough to serve the recipients of a
 * burst, short enough that a changed table is noticed as fast as an operator can
 * look. The whole cache ends at once, so that entries need no clocks of their own. */
#define CACHE_MS    5000
#define CACHE_COUNT 1000

struct cached_resolve {
    struct hash_node node;
    struct resolve resolve;
};

struct rewrite_client {
    const struct config *cfg;
    struct ipc_mux *mux;
    struct arena *cache_arena;
    struct hash cache;
    int64_t cache_end;
};

struct rewrite_client *rewrite_client_new(const struct config *cfg)
{
    struct rewrite_client *rc = xcalloc(1, sizeof *rc);
    struct strbuf path = STRBUF_INIT;

    rc->cfg = cfg;
    strbuf_addf(&path, "private/%s", cfg->rewrite_service_name);
    rc->mux = ipc_mux_new(path.ptr, cfg->ipc_timeout * 1000);
    rc->cache_arena = arena_new();
    hash_init(&rc->cache, false);
    strbuf_free(&path);
    return rc;
}

void rewrite_client_free(struct rewrite_client *rc)
{
    if (!rc)
        return;
    ipc_mux_free(rc->mux);
    hash_free(&rc->cache);
    arena_free(rc->cache_arena);
    free(rc);
}

static enum rewrite_status call(struct rewrite_client *rc, const struct strbuf *request,
                                struct strbuf *reply)
{
    enum ipc_status status = ipc_mux_call(rc->mux, request, reply);

    if (status == IPC_OK)
        return REWRITE_OK;
    if (status != IPC_CANCELLED)
        msg_warn("problem talking to service %s: %s", rc->cfg->rewrite_service_name,
                 ipc_status_text(status));
    return REWRITE_RETRY;
}

static enum rewrite_status missing(struct rewrite_client *rc, const char *name)
{
    msg_warn("service %s: reply without attribute %s", rc->cfg->rewrite_service_name,
             name);
    return REWRITE_RETRY;
}

enum rewrite_status rewrite_address(struct rewrite_client *rc, const char *context,
                                    struct span address, struct arena *arena,
                                    const char **result_out)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    enum rewrite_status status;

    if (addr_is_canonical(address)) {
        *result_out = arena_span_str(arena, address);
        return REWRITE_OK;
    }
    frame_str(&request, "request", "rewrite");
    frame_str(&request, "context", context);
    frame_span(&request, "address", address);
    status = call(rc, &request, &reply);
    if (status == REWRITE_OK) {
        struct frame_reader r = frame_reader(strbuf_span(&reply));
        struct span result = frame_want_span(&r, "address");

        if (r.missing)
            status = missing(rc, r.missing);
        else
            *result_out = arena_span_str(arena, result);
    }
    strbuf_free(&request);
    strbuf_free(&reply);
    return status;
}

static void cache_expire(struct rewrite_client *rc)
{
    if (rc->cache.count < CACHE_COUNT && loop_now() < rc->cache_end)
        return;
    hash_free(&rc->cache);
    hash_init(&rc->cache, false);
    arena_reset(rc->cache_arena);
    rc->cache_end = loop_now() + CACHE_MS;
}

static void copy_resolve(struct arena *arena, const struct resolve *from,
                         struct resolve *to)
{
    to->transport = arena_str(arena, from->transport);
    to->nexthop = arena_str(arena, from->nexthop);
    to->recipient = arena_str(arena, from->recipient);
    to->flags = from->flags;
}

static void cache_add(struct rewrite_client *rc, struct span key,
                      const struct resolve *resolve)
{
    struct cached_resolve *entry;

    if (resolve->flags & RESOLVE_FAIL)
        return;
    cache_expire(rc);
    if (hash_find(&rc->cache, key))
        return;
    entry = arena_alloc(rc->cache_arena, sizeof *entry);
    copy_resolve(rc->cache_arena, resolve, &entry->resolve);
    hash_insert(&rc->cache, &entry->node, arena_span(rc->cache_arena, key));
}

static enum rewrite_status resolve_reply(struct rewrite_client *rc, struct span body,
                                         struct arena *arena, struct resolve *out)
{
    struct frame_reader r = frame_reader(body);

    out->transport = arena_span_str(arena, frame_want_span(&r, "transport"));
    out->nexthop = arena_span_str(arena, frame_want_span(&r, "nexthop"));
    out->recipient = arena_span_str(arena, frame_want_span(&r, "recipient"));
    out->flags = (int)frame_want_num(&r, "flags");
    return r.missing ? missing(rc, r.missing) : REWRITE_OK;
}

enum rewrite_status rewrite_resolve(struct rewrite_client *rc, const char *sender,
                                    struct span address, struct arena *arena,
                                    struct resolve *resolve_out)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    enum rewrite_status status = REWRITE_OK;
    struct hash_node *node;

    /* The attributes of the request are also the key of the cache. */
    frame_str(&request, "request", "resolve");
    frame_str(&request, "sender", sender);
    frame_span(&request, "address", address);
    cache_expire(rc);
    node = hash_find(&rc->cache, strbuf_span(&request));
    if (node) {
        copy_resolve(arena, &hash_entry(node, struct cached_resolve, node)->resolve,
                     resolve_out);
    } else {
        status = call(rc, &request, &reply);
        if (status == REWRITE_OK)
            status = resolve_reply(rc, strbuf_span(&reply), arena, resolve_out);
        if (status == REWRITE_OK)
            cache_add(rc, strbuf_span(&request), resolve_out);
    }
    strbuf_free(&request);
    strbuf_free(&reply);
    return status;
}
