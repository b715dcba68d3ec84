#include "global/event.h"

#include "global/addr.h"
#include "util/escape.h"
#include "util/msg.h"
#include "util/timefmt.h"

static void add_text(struct strbuf *sb, struct span text)
{
    escape_printable(sb, text, '?', true);
}

static void add_str(struct strbuf *sb, const char *text)
{
    add_text(sb, span_str(text));
}

/* "name=<address>" with the address in external form. */
static void add_addr(struct strbuf *sb, const char *label, const char *address)
{
    struct strbuf quoted = STRBUF_INIT;

    addr_quote(&quoted, span_str(address));
    strbuf_add_str(sb, label);
    strbuf_add_str(sb, "=<");
    add_text(sb, strbuf_span(&quoted));
    strbuf_add_char(sb, '>');
    strbuf_free(&quoted);
}

static void add_queue_id(struct strbuf *sb, const char *queue_id)
{
    strbuf_add_str(sb, queue_id && *queue_id ? queue_id : "NOQUEUE");
    strbuf_add_str(sb, ": ");
}

static void emit(struct strbuf *sb)
{
    msg_line(MSG_INFO, strbuf_span(sb));
    strbuf_free(sb);
}

static bool known(const char *text)
{
    return text && *text;
}

static void add_known(struct strbuf *sb, const char *label, const char *value)
{
    if (!known(value))
        return;
    strbuf_addf(sb, "%s=", label);
    add_str(sb, value);
}

void event_connect(const char *client)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_add_str(&sb, "connect from ");
    add_str(&sb, client);
    emit(&sb);
}

void event_disconnect(const char *client, const char *counts)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_add_str(&sb, "disconnect from ");
    add_str(&sb, client);
    strbuf_add_char(&sb, ' ');
    add_str(&sb, counts);
    emit(&sb);
}

void event_transaction(const char *queue_id, const struct event_client *who)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_add_str(&sb, "client=");
    add_str(&sb, who->client);
    add_known(&sb, ", sasl_method", who->sasl_method);
    add_known(&sb, ", sasl_username", who->sasl_username);
    add_known(&sb, ", sasl_sender", who->sasl_sender);
    add_known(&sb, ", orig_queue_id", who->orig_queue_id);
    add_known(&sb, ", orig_client", who->orig_client);
    emit(&sb);
}

/* The <whatsup> part: what is known of the transaction. */
static void add_context(struct strbuf *sb, const struct event_context *ctx)
{
    if (ctx->sender)
        add_addr(sb, " from", ctx->sender);
    if (ctx->recipient)
        add_addr(sb, " to", ctx->recipient);
    add_known(sb, " proto", ctx->protocol);
    if (known(ctx->helo)) {
        strbuf_add_str(sb, " helo=<");
        add_str(sb, ctx->helo);
        strbuf_add_char(sb, '>');
    }
    add_known(sb, " sasl_method", ctx->sasl_method);
    add_known(sb, " sasl_username", ctx->sasl_username);
    add_known(sb, " sasl_sender", ctx->sasl_sender);
}

void event_policy(const char *queue_id, const char *verb, const char *where,
                  const char *client, const char *text, const struct event_context *ctx)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_addf(&sb, "%s: %s from ", verb, where);
    add_str(&sb, client);
    strbuf_add_str(&sb, ": ");
    add_str(&sb, text);
    strbuf_add_char(&sb, ';');
    add_context(&sb, ctx);
    emit(&sb);
}

void event_session_broken(const char *queue_id, const char *what, const char *where,
                          const char *client)
{
    struct strbuf sb = STRBUF_INIT;

    if (known(queue_id))
        add_queue_id(&sb, queue_id);
    strbuf_addf(&sb, "%s after ", what);
    add_str(&sb, where);
    strbuf_add_str(&sb, " from ");
    add_str(&sb, client);
    emit(&sb);
}

void event_pipelining(const char *where, const char *client, struct span input)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_add_str(&sb, "improper command pipelining after ");
    add_str(&sb, where);
    strbuf_add_str(&sb, " from ");
    add_str(&sb, client);
    strbuf_add_str(&sb, ": ");
    escape_c(&sb, span_first(input, 100));
    emit(&sb);
}

void event_message_id(const char *queue_id, const char *header, struct span id)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_addf(&sb, "%s=", header);
    add_text(&sb, id);
    emit(&sb);
}

void event_content(const char *queue_id, const char *verb, struct span what,
                   const char *origin, const struct event_context *ctx,
                   const char *text)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_addf(&sb, "%s: ", verb);
    add_text(&sb, span_first(what, 200));
    strbuf_add_str(&sb, " from ");
    add_str(&sb, origin);
    strbuf_add_char(&sb, ';');
    add_context(&sb, ctx);
    if (known(text)) {
        strbuf_add_str(&sb, ": ");
        add_str(&sb, text);
    }
    emit(&sb);
}

void event_dropped(const char *queue_id, const char *why)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_addf(&sb, "removed (%s)", why);
    emit(&sb);
}

void event_pickup(const char *queue_id, unsigned uid, const char *sender,
                  const char *orig_id)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_addf(&sb, "uid=%u ", uid);
    add_addr(&sb, "from", sender);
    add_known(&sb, " orig_id", orig_id);
    emit(&sb);
}

void event_active(const char *queue_id, const char *sender, int64_t size, int64_t nrcpt)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    add_addr(&sb, "from", sender);
    strbuf_addf(&sb, ", size=%lld, nrcpt=%lld (queue active)", (long long)size,
                (long long)nrcpt);
    emit(&sb);
}

void event_removed(const char *queue_id)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_add_str(&sb, "removed");
    emit(&sb);
}

void event_expired(const char *queue_id, const char *sender, bool forced)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    add_addr(&sb, "from", sender);
    strbuf_addf(&sb, ", status=%sexpired, returned to sender", forced ? "force-" : "");
    emit(&sb);
}

static int64_t to_us(const struct timeval *tv)
{
    return (int64_t)tv->tv_sec * 1000000 + tv->tv_usec;
}

static void add_stage(struct strbuf *sb, int64_t from_us, int64_t to, int decimals)
{
    time_delay(sb, to > from_us ? to - from_us : 0, decimals);
}

static void add_delays(struct strbuf *sb, const struct deliver_request *req,
                       int decimals)
{
    int64_t arrival = to_us(&req->env.arrival), active = to_us(&req->active_arrival);
    int64_t begin = to_us(&req->agent_begin);
    int64_t done = req->deliver_done.tv_sec ? to_us(&req->deliver_done) : time_now_us();
    int64_t conn = req->conn_done.tv_sec ? to_us(&req->conn_done) : begin;

    strbuf_add_str(sb, ", delay=");
    add_stage(sb, arrival, done, decimals);
    strbuf_add_str(sb, ", delays=");
    add_stage(sb, arrival, active, decimals);
    strbuf_add_char(sb, '/');
    add_stage(sb, active, begin, decimals);
    strbuf_add_char(sb, '/');
    add_stage(sb, begin, conn, decimals);
    strbuf_add_char(sb, '/');
    add_stage(sb, conn, done, decimals);
}

void event_delivery(const struct config *cfg, const struct deliver_request *req,
                    const struct recipient *rcpt, const char *relay,
                    const struct dsn *dsn, const char *status)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, req->queue_id);
    add_addr(&sb, "to", rcpt->address);
    if (known(rcpt->orig) && strcasecmp(rcpt->orig, rcpt->address) != 0)
        add_addr(&sb, ", orig_to", rcpt->orig);
    strbuf_add_str(&sb, ", relay=");
    add_str(&sb, known(relay) ? relay : "none");
    if (req->conn_use > 1)
        strbuf_addf(&sb, ", conn_use=%d", req->conn_use);
    add_delays(&sb, req, (int)cfg->delay_logging_resolution_limit);
    strbuf_addf(&sb, ", dsn=%s, status=%s (", dsn->status, status);
    add_str(&sb, dsn->reason);
    strbuf_add_char(&sb, ')');
    emit(&sb);
}

void event_notification(const char *queue_id, const char *kind, const char *new_id)
{
    struct strbuf sb = STRBUF_INIT;

    add_queue_id(&sb, queue_id);
    strbuf_addf(&sb, "%s: %s", kind, new_id);
    emit(&sb);
}
