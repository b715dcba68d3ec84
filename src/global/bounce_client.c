#include "global/bounce_client.h"

#include <stdlib.h>

#include "util/ipc.h"
#include "util/msg.h"

#define IDLE_MAX 20

/* One pool a service name: bounce, defer, trace. */
struct bounce_pool {
    char *service;
    struct ipc_pool *pool;
};

struct bounce_client {
    const struct config *cfg;
    struct bounce_pool pools[3];
};

static void pool_init(struct bounce_client *bc, size_t slot, const char *service)
{
    struct strbuf path = STRBUF_INIT;

    strbuf_addf(&path, "private/%s", service);
    bc->pools[slot].service = xstrdup(service);
    bc->pools[slot].pool = ipc_pool_new(path.ptr, bc->cfg->ipc_timeout * 1000,
                                        bc->cfg->ipc_idle * 1000, IDLE_MAX);
    strbuf_free(&path);
}

struct bounce_client *bounce_client_new(const struct config *cfg)
{
    struct bounce_client *bc = xcalloc(1, sizeof *bc);

    bc->cfg = cfg;
    pool_init(bc, 0, cfg->bounce_service_name);
    pool_init(bc, 1, cfg->defer_service_name);
    pool_init(bc, 2, cfg->trace_service_name);
    return bc;
}

void bounce_client_free(struct bounce_client *bc)
{
    if (!bc)
        return;
    for (size_t i = 0; i < ARRAY_LEN(bc->pools); i++) {
        ipc_pool_free(bc->pools[i].pool);
        free(bc->pools[i].service);
    }
    free(bc);
}

static struct ipc_pool *find_pool(struct bounce_client *bc, const char *service)
{
    for (size_t i = 0; i < ARRAY_LEN(bc->pools); i++)
        if (strcmp(bc->pools[i].service, service) == 0)
            return bc->pools[i].pool;
    panic("bounce_client: service %s", service);
}

static void add_recipient(struct strbuf *sb, const struct recipient *rcpt)
{
    size_t mark = frame_group_begin(sb, "recipient");

    frame_str(sb, "recipient", rcpt->address);
    frame_str(sb, "original_recipient", rcpt->orig);
    frame_str(sb, "dsn_orig_rcpt", rcpt->dsn_orcpt);
    frame_num(sb, "notify_flags", rcpt->notify);
    frame_num(sb, "offset", rcpt->offset);
    frame_group_end(sb, mark);
}

static void add_dsn(struct strbuf *sb, const struct dsn *dsn)
{
    size_t mark = frame_group_begin(sb, "dsn");

    dsn_to_frame(dsn, sb);
    frame_group_end(sb, mark);
}

/* The request's own copy of the envelope holds no recipients: the logs have them. */
static void add_envelope(struct strbuf *sb, const struct envelope *env)
{
    struct envelope head = *env;
    size_t mark = frame_group_begin(sb, "envelope");

    head.rcpts = NULL;
    head.rcpt_len = 0;
    envelope_to_frame(&head, sb);
    frame_group_end(sb, mark);
}

static bool call(struct bounce_client *bc, const char *service, struct strbuf *request)
{
    struct strbuf reply = STRBUF_INIT;
    enum ipc_status status = ipc_call(find_pool(bc, service), request, &reply);
    int64_t result = -1;

    if (status == IPC_OK) {
        struct frame_reader r = frame_reader(strbuf_span(&reply));

        result = frame_want_num(&r, "status");
        if (r.missing)
            result = -1;
    } else if (status != IPC_CANCELLED) {
        msg_warn("problem talking to service %s: %s", service, ipc_status_text(status));
    }
    strbuf_free(request);
    strbuf_free(&reply);
    return result == 0;
}

bool bounce_append(struct bounce_client *bc, const char *service, const char *queue_id,
                   int flags, const struct recipient *rcpt, const struct dsn *dsn)
{
    struct strbuf request = STRBUF_INIT;

    frame_num(&request, "request", BOUNCE_APPEND);
    frame_num(&request, "flags", flags);
    frame_str(&request, "queue_id", queue_id);
    add_recipient(&request, rcpt);
    add_dsn(&request, dsn);
    return call(bc, service, &request);
}

static void add_message(struct strbuf *sb, enum bounce_request kind, int flags,
                        const char *queue_name, const char *queue_id,
                        const struct envelope *env)
{
    frame_num(sb, "request", kind);
    frame_num(sb, "flags", flags);
    frame_str(sb, "queue_name", queue_name);
    frame_str(sb, "queue_id", queue_id);
    add_envelope(sb, env);
}

bool bounce_notify(struct bounce_client *bc, const char *service,
                   enum bounce_request kind, int flags, const char *queue_name,
                   const char *queue_id, const struct envelope *env)
{
    struct strbuf request = STRBUF_INIT;

    add_message(&request, kind, flags, queue_name, queue_id, env);
    return call(bc, service, &request);
}

bool bounce_one(struct bounce_client *bc, const char *queue_name, const char *queue_id,
                const struct envelope *env, const struct recipient *rcpt,
                const struct dsn *dsn)
{
    struct strbuf request = STRBUF_INIT;

    add_message(&request, BOUNCE_ONE, 0, queue_name, queue_id, env);
    add_recipient(&request, rcpt);
    add_dsn(&request, dsn);
    return call(bc, bc->cfg->bounce_service_name, &request);
}
