#include "global/cleanup_client.h"

#include <stdlib.h>

#include "util/msg.h"

/* Beyond this many buffered record bytes a frame is sent. */
#define SEND_BYTES (32 * 1024)
/* Idle connections kept for the next messages. */
#define IDLE_MAX 200
/* A reload may close all idle connections and some new ones. */
#define OPEN_ATTEMPTS (IDLE_MAX + 3)

struct cleanup_client {
    const struct config *cfg;
    struct ipc_pool *pool;
};

struct cleanup_message {
    struct cleanup_client *client;
    struct ipc_conn *conn;
    struct strbuf records;
    char id[QUEUE_ID_MAX];
};

struct cleanup_client *cleanup_client_new(const struct config *cfg)
{
    struct cleanup_client *cc = xcalloc(1, sizeof *cc);
    struct strbuf path = STRBUF_INIT;

    cc->cfg = cfg;
    strbuf_addf(&path, "public/%s", cfg->cleanup_service_name);
    cc->pool =
        ipc_pool_new(path.ptr, cfg->ipc_timeout * 1000, cfg->ipc_idle * 1000, IDLE_MAX);
    strbuf_free(&path);
    return cc;
}

void cleanup_client_free(struct cleanup_client *cc)
{
    if (!cc)
        return;
    ipc_pool_free(cc->pool);
    free(cc);
}

static const char *read_open_reply(struct cleanup_message *msg,
                                   const struct frame *frame)
{
    struct frame_reader r = frame_reader(frame->body);
    int64_t status = frame_want_num(&r, "status");
    struct span id = frame_opt_span(&r, "queue_id");

    if (r.missing || (status == 0 && (id.len == 0 || id.len >= sizeof msg->id)))
        return "cleanup service protocol error";
    if (status != 0)
        return "queue file write error";
    memcpy(msg->id, id.ptr, id.len);
    msg->id[id.len] = '\0';
    return NULL;
}

/* One attempt on one connection. *retry_out: the server closed it before it answered,
 * as it does at a reload; nothing was begun then. */
static const char *open_once(struct cleanup_message *msg, int flags, bool *retry_out)
{
    struct frame frame;
    enum ipc_status status;
    const char *why;

    *retry_out = false;
    status = ipc_pool_get(msg->client->pool, &msg->conn, NULL);
    if (status != IPC_OK)
        return ipc_status_text(status);
    struct strbuf *sb = ipc_conn_begin(msg->conn);
    frame_str(sb, "request", "open");
    frame_num(sb, "flags", flags);
    ipc_conn_end(msg->conn);
    status = ipc_conn_reply(msg->conn, &frame);
    if (status == IPC_OK && (why = read_open_reply(msg, &frame)) == NULL)
        return NULL;
    ipc_pool_drop(msg->client->pool, msg->conn);
    if (status == IPC_OK)
        return why;
    *retry_out = status == IPC_LOST;
    return ipc_status_text(status);
}

struct cleanup_message *cleanup_open(struct cleanup_client *cc, int flags,
                                     const char **why_out)
{
    struct cleanup_message *msg = xcalloc(1, sizeof *msg);
    int attempts = 0;
    bool retry;

    msg->client = cc;
    strbuf_init(&msg->records);
    do {
        *why_out = open_once(msg, flags, &retry);
    } while (retry && ++attempts < OPEN_ATTEMPTS);
    if (!*why_out)
        return msg;
    strbuf_free(&msg->records);
    free(msg);
    return NULL;
}

const char *cleanup_message_id(const struct cleanup_message *msg)
{
    return msg->id;
}

struct strbuf *cleanup_records(struct cleanup_message *msg)
{
    return &msg->records;
}

static void put_records(struct cleanup_message *msg)
{
    struct strbuf *sb;

    if (msg->records.len == 0)
        return;
    sb = ipc_conn_begin(msg->conn);
    frame_span(sb, "records", strbuf_span(&msg->records));
    ipc_conn_end(msg->conn);
    strbuf_reset(&msg->records);
}

enum ipc_status cleanup_send(struct cleanup_message *msg, bool force)
{
    if (msg->records.len < SEND_BYTES && !force)
        return IPC_OK;
    put_records(msg);
    return ipc_conn_flush(msg->conn);
}

static void free_message(struct cleanup_message *msg, bool reuse)
{
    if (reuse)
        ipc_pool_put(msg->client->pool, msg->conn);
    else
        ipc_pool_drop(msg->client->pool, msg->conn);
    strbuf_free(&msg->records);
    free(msg);
}

struct cleanup_result cleanup_commit(struct cleanup_message *msg, struct arena *arena)
{
    struct cleanup_result result = {CLEANUP_STAT_WRITE, "", ""};
    struct frame frame;
    enum ipc_status status;

    put_records(msg);
    struct strbuf *sb = ipc_conn_begin(msg->conn);
    frame_str(sb, "request", "commit");
    ipc_conn_end(msg->conn);
    status = ipc_conn_reply(msg->conn, &frame);
    if (status == IPC_OK) {
        struct frame_reader r = frame_reader(frame.body);
        int64_t code = frame_want_num(&r, "status");

        result.reason = arena_span_str(arena, frame_opt_span(&r, "reason"));
        result.dsn = arena_span_str(arena, frame_opt_span(&r, "dsn"));
        result.status = r.missing ? CLEANUP_STAT_BAD : (int)code;
    } else if (status != IPC_CANCELLED) {
        msg_warn("%s: problem talking to service %s: %s", msg->id,
                 msg->client->cfg->cleanup_service_name, ipc_status_text(status));
    }
    free_message(msg, status == IPC_OK);
    return result;
}

void cleanup_abort(struct cleanup_message *msg)
{
    struct strbuf *sb;

    if (!msg)
        return;
    strbuf_reset(&msg->records);
    sb = ipc_conn_begin(msg->conn);
    frame_str(sb, "request", "abort");
    ipc_conn_end(msg->conn);
    free_message(msg, ipc_conn_flush(msg->conn) == IPC_OK);
}

static const struct cleanup_status_detail details[] = {
    {CLEANUP_STAT_DEFER, 451, "4.7.1", "Error: service unavailable"},
    {CLEANUP_STAT_PROXY, 451, "4.3.0", "Error: queue file write error"},
    {CLEANUP_STAT_BAD, 451, "4.3.0", "Error: internal error 1"},
    {CLEANUP_STAT_RCPT, 550, "5.1.0", "Error: no recipients specified"},
    {CLEANUP_STAT_HOPS, 554, "5.4.0", "Error: too many hops"},
    {CLEANUP_STAT_SIZE, 552, "5.3.4", "Error: message file too big"},
    {CLEANUP_STAT_CONTENT, 550, "5.7.1", "Error: message content rejected"},
    {CLEANUP_STAT_WRITE, 451, "4.3.0", "Error: queue file write error"},
    {CLEANUP_STAT_NOPERM, 550, "5.7.1", "Error: service denied"},
};

const struct cleanup_status_detail *cleanup_status_detail(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(details); i++)
        if (status & details[i].status)
            return &details[i];
    panic("cleanup_status_detail: unknown status %d", status);
}
