/* Mail for addresses that are not delivered to here becomes a new message, one for
 * all addresses of a sender, handed to cleanup at the end. */
#include "local/local.h"

#include <stdio.h>

#include "global/rec.h"
#include "util/msg.h"
#include "util/timefmt.h"

struct forward_rcpt {
    struct list link;
    struct recipient rcpt;
};

struct local_forward {
    struct list link;
    const char *sender;
    const char *delivered_to;
    struct list rcpts;
};

static struct local_forward *find_forward(struct local_delivery *ld,
                                          const struct local_step *step)
{
    struct local_forward *fwd;

    list_each(link, &ld->forwards)
    {
        fwd = list_entry(link, struct local_forward, link);
        if (strcmp(fwd->sender, step->sender) == 0 &&
            strcmp(fwd->delivered_to, step->delivered_to) == 0)
            return fwd;
    }
    fwd = arena_alloc(ld->arena, sizeof *fwd);
    fwd->sender = step->sender;
    fwd->delivered_to = step->delivered_to;
    list_init(&fwd->rcpts);
    list_append(&ld->forwards, &fwd->link);
    return fwd;
}

void local_forward(struct local_delivery *ld, const struct local_step *step)
{
    struct span key = arena_span_lower(ld->arena, span_str(step->rcpt.address));
    struct forward_rcpt *one;

    if (!local_first_time(ld, arena_printf(ld->arena, "to %s", key.ptr ? key.ptr : "")))
        return;
    if (local_is_probe(ld)) {
        local_report(ld, step, "2.0.0", "",
                     arena_printf(ld->arena, "forwards to %s", step->rcpt.address));
        return;
    }
    one = arena_alloc(ld->arena, sizeof *one);
    one->rcpt = step->rcpt;
    list_append(&find_forward(ld, step)->rcpts, &one->link);
}

/* -- the new message -- */

static void put_attr(struct strbuf *sb, const char *name, const char *value)
{
    if (value && *value)
        rec_add_attr(sb, name, span_str(value));
}

static void put_recipients(struct strbuf *sb, const struct local_forward *fwd)
{
    list_each(link, &fwd->rcpts)
    {
        const struct recipient *rcpt =
            &list_entry(link, struct forward_rcpt, link)->rcpt;

        if (*rcpt->dsn_orcpt)
            rec_add_str(sb, REC_DSN_ORCPT, rcpt->dsn_orcpt);
        if (rcpt->notify)
            rec_addf(sb, REC_DSN_NOTIFY, "%d", rcpt->notify);
        if (*rcpt->orig)
            rec_add_str(sb, REC_ORIG_RCPT, rcpt->orig);
        rec_add_str(sb, REC_RCPT, rcpt->address);
    }
}

static void put_envelope(struct local_delivery *ld, struct strbuf *sb,
                         const struct local_forward *fwd)
{
    const struct envelope *env = &ld->req->env;
    int64_t now = time_now_us();

    rec_addf(sb, REC_TIME, "%lld %lld", (long long)(now / 1000000),
             (long long)(now % 1000000));
    rec_add_str(sb, REC_SENDER, fwd->sender);
    put_attr(sb, "envelope_id", env->envelope_id);
    if (env->ret)
        rec_addf(sb, REC_ATTR, "ret_flags=%d", env->ret);
    if (env->sendopts)
        rec_addf(sb, REC_ATTR, "sendopts=%d", env->sendopts);
    put_attr(sb, "encoding", env->encoding);
    put_attr(sb, "log_client_name", env->log_client_name);
    put_attr(sb, "log_client_address", env->log_client_address);
    put_attr(sb, "log_client_port", env->log_client_port);
    put_attr(sb, "log_message_origin", env->log_message_origin);
    put_attr(sb, "log_helo_name", env->log_helo_name);
    put_attr(sb, "log_protocol_name", env->log_protocol_name);
    put_attr(sb, "log_ident",
             env->log_ident && *env->log_ident ? env->log_ident : ld->req->queue_id);
    put_attr(sb, "rewrite_context", "local");
    put_recipients(sb, fwd);
    rec_add(sb, REC_MESSAGE, SPAN_EMPTY);
}

static void put_headers(struct local_delivery *ld, struct cleanup_message *msg,
                        const struct local_forward *fwd)
{
    const struct config *cfg = ld->agent->cfg;
    struct strbuf *sb = cleanup_records(msg);
    struct strbuf text = STRBUF_INIT;

    rec_addf(sb, REC_LINE, "Received: by %s (%s)", cfg->myhostname, cfg->mail_name);
    strbuf_addf(&text, "\tid %s; ", cleanup_message_id(msg));
    time_rfc5322(&text, time_now());
    rec_add(sb, REC_LINE, strbuf_span(&text));
    if (ld->agent->delivered_header & TARGET_FORWARD) {
        strbuf_reset(&text);
        strbuf_add_str(&text, "Delivered-To: ");
        addr_quote(&text, span_str(fwd->delivered_to));
        rec_add(sb, REC_LINE, strbuf_span(&text));
    }
    strbuf_free(&text);
}

/* False: the queue file could not be read, or cleanup went away. */
static bool put_content(struct local_delivery *ld, struct cleanup_message *msg)
{
    struct rec_reader reader;
    struct span data;
    bool good = true;
    int type;

    rec_reader_init(&reader, ld->req->fd);
    rec_reader_seek(&reader, ld->req->env.data_offset);
    while (good && (type = rec_read(&reader, &data)) != REC_EXTRACTED) {
        if (type == REC_LINE || type == REC_FILTER_OR_CONT) {
            rec_add(cleanup_records(msg), type, data);
            good = cleanup_send(msg, false) == IPC_OK;
        } else if (type != REC_PADDING && type != REC_POINTER) {
            good = false;
        }
    }
    rec_reader_free(&reader);
    return good;
}

static void report_failure(struct local_delivery *ld, const struct local_step *top,
                           const struct cleanup_result *result)
{
    const struct cleanup_status_detail *detail = cleanup_status_detail(result->status);
    const char *reason = *result->reason ? result->reason : detail->text;
    char status[DSN_STATUS_LEN];

    if (!dsn_status_parse(span_str(result->dsn), status))
        snprintf(status, sizeof status, "%s", detail->dsn);
    /* What cleanup could not do now must not bounce. */
    if (result->status & (CLEANUP_STAT_WRITE | CLEANUP_STAT_DEFER | CLEANUP_STAT_PROXY))
        status[0] = '4';
    local_report(ld, top, status, "",
                 arena_printf(ld->arena, "unable to forward message: %s", reason));
}

static void send_forward(struct local_delivery *ld, const struct local_step *top,
                         const struct local_forward *fwd)
{
    struct cleanup_result result;
    struct cleanup_message *msg;
    const char *why, *id;

    msg = cleanup_open(ld->agent->cleanup, CLEANUP_INTERNAL, &why);
    if (!msg) {
        msg_warn("%s: forward: %s", ld->req->queue_id, why);
        local_report(ld, top, "4.3.0", "",
                     arena_printf(ld->arena, "unable to forward message: %s", why));
        return;
    }
    id = arena_str(ld->arena, cleanup_message_id(msg));
    put_envelope(ld, cleanup_records(msg), fwd);
    put_headers(ld, msg, fwd);
    if (!put_content(ld, msg)) {
        cleanup_abort(msg);
        local_report(ld, top, "4.3.0", "", "unable to forward message");
        return;
    }
    rec_add(cleanup_records(msg), REC_EXTRACTED, SPAN_EMPTY);
    rec_add(cleanup_records(msg), REC_END, SPAN_EMPTY);
    result = cleanup_commit(msg, ld->arena);
    if (result.status == CLEANUP_STAT_OK)
        local_report(ld, top, "2.0.0", "relayed",
                     arena_printf(ld->arena, "forwarded as %s", id));
    else
        report_failure(ld, top, &result);
}

void local_forward_flush(struct local_delivery *ld, const struct local_step *top)
{
    list_each(link, &ld->forwards)
        send_forward(ld, top, list_entry(link, struct local_forward, link));
}
