/* MAIL, RCPT, DATA, content, dot: commands go out in one write when the server
 * pipelines, one at a time when not; the replies are taken in the same order. */
#include "smtp/smtp.h"

#include "global/addr.h"
#include "util/escape.h"
#include "util/msg.h"

struct transaction {
    struct smtp_delivery *d;
    struct smtp_session *s;
    bool *accepted; /* by recipient */
    bool *asked;    /* by recipient: RCPT was sent */
    size_t accepted_count;
    bool pipelining;
    bool verify; /* only find out: nothing is delivered */
    bool lost;
};

static const char *address_text(struct transaction *t, const char *address)
{
    struct strbuf sb = STRBUF_INIT;
    const char *text = address;

    if (t->d->agent->p.quote_envelope) {
        addr_quote(&sb, span_str(address));
        text = arena_span_str(t->d->arena, strbuf_span(&sb));
        strbuf_free(&sb);
    }
    return text;
}

static void add_envid(struct stream *out, const char *envid)
{
    struct strbuf sb = STRBUF_INIT;

    if (*envid) {
        xtext_encode(&sb, span_str(envid));
        stream_printf(out, " ENVID=%s", sb.ptr);
    }
    strbuf_free(&sb);
}

static void send_mail(struct transaction *t)
{
    const struct envelope *env = &t->d->req->env;
    struct stream *out = t->s->stream;

    stream_printf(out, "MAIL FROM:<%s>", address_text(t, env->sender));
    if (t->s->features & FEATURE_SIZE)
        stream_printf(out, " SIZE=%lld", (long long)env->content_size);
    if (t->s->features & FEATURE_8BITMIME && *env->encoding)
        stream_printf(out, " BODY=%s",
                      strcmp(env->encoding, "8bit") == 0 ? "8BITMIME" : "7BIT");
    if (t->s->features & FEATURE_SMTPUTF8 && (env->sendopts & SENDOPT_SMTPUTF8))
        stream_write_str(out, " SMTPUTF8");
    if (t->s->features & FEATURE_DSN) {
        add_envid(out, env->envelope_id);
        if (env->ret)
            stream_printf(out, " RET=%s", env->ret == RET_FULL ? "FULL" : "HDRS");
    }
    stream_write_str(out, "\r\n");
}

static void add_notify(struct stream *out, int notify)
{
    static const struct {
        int bit;
        const char *word;
    } words[] = {{NOTIFY_SUCCESS, "SUCCESS"},
                 {NOTIFY_FAILURE, "FAILURE"},
                 {NOTIFY_DELAY, "DELAY"}};
    const char *separator = " NOTIFY=";

    if (notify == NOTIFY_NEVER)
        stream_write_str(out, " NOTIFY=NEVER");
    for (size_t i = 0; notify != NOTIFY_NEVER && i < ARRAY_LEN(words); i++) {
        if (!(notify & words[i].bit))
            continue;
        stream_printf(out, "%s%s", separator, words[i].word);
        separator = ",";
    }
}

/* "rfc822;address": the type stands as it is, the address goes as xtext. */
static void add_orcpt(struct stream *out, const char *orcpt)
{
    struct span rest = span_str(orcpt);
    struct span type = span_cut(&rest, ';');
    struct strbuf sb = STRBUF_INIT;

    if (!rest.ptr || !span_is_printable(type))
        return;
    xtext_encode(&sb, rest);
    stream_printf(out, " ORCPT=%.*s;%s", SPAN_ARG(type), sb.ptr);
    strbuf_free(&sb);
}

static void send_rcpt(struct transaction *t, struct recipient *rcpt)
{
    struct stream *out = t->s->stream;

    stream_printf(out, "RCPT TO:<%s>", address_text(t, rcpt->address));
    if (t->s->features & FEATURE_DSN) {
        if (*rcpt->dsn_orcpt)
            add_orcpt(out, rcpt->dsn_orcpt);
        if (rcpt->notify)
            add_notify(out, rcpt->notify);
    }
    stream_write_str(out, "\r\n");
}

static bool pending(const struct transaction *t, size_t i)
{
    return !deliver_rcpt_is_reported(t->d->req, i);
}

/* What fails for now at one host may succeed at the next one. */
static bool may_move_on(const struct transaction *t, const struct dsn *dsn)
{
    return dsn->status[0] == '4' && !t->d->final_host;
}

static void leave_for_next_host(struct transaction *t, const struct dsn *dsn)
{
    msg_info("%s: %s", t->d->req->queue_id, dsn->reason);
    t->d->trouble = *dsn;
}

static void rcpt_result(struct transaction *t, size_t i, const struct dsn *dsn)
{
    struct smtp_delivery *d = t->d;

    if (may_move_on(t, dsn)) {
        leave_for_next_host(t, dsn);
        return;
    }
    gettimeofday(&d->req->deliver_done, NULL);
    deliver_status(d->agent->deliver, d->req, i, t->s->relay, dsn);
    d->left--;
}

static void all_results(struct transaction *t, const struct dsn *dsn,
                        bool accepted_only)
{
    if (may_move_on(t, dsn)) {
        leave_for_next_host(t, dsn);
        return;
    }
    for (size_t i = 0; i < t->d->req->env.rcpt_len; i++)
        if (pending(t, i) && (!accepted_only || t->accepted[i]))
            rcpt_result(t, i, dsn);
}

static bool read_reply(struct transaction *t, int64_t timeout, const char *doing,
                       struct smtp_reply *reply)
{
    if (smtp_read_reply(t->d, t->s, timeout, doing, reply))
        return true;
    t->lost = true;
    return false;
}

static bool take_mail_reply(struct transaction *t)
{
    struct smtp_reply reply;
    struct dsn dsn;

    if (!read_reply(t, t->d->agent->p.mail_timeout, "sending MAIL FROM", &reply))
        return false;
    if (reply.code / 100 == 2)
        return true;
    smtp_said(t->d, t->s, &reply, "MAIL FROM command", &dsn);
    all_results(t, &dsn, false);
    return false;
}

static void sent(struct transaction *t, size_t i, const struct smtp_reply *reply)
{
    struct dsn dsn = {.action = "relayed",
                      .reason = reply->text,
                      .diag_type = "smtp",
                      .diag_text = reply->text,
                      .mta_type = "dns"};

    memcpy(dsn.status, reply->status, sizeof dsn.status);
    dsn.mta_name = t->s->host;
    /* A server with DSN has taken over the duty to tell the sender of success. */
    if (t->s->features & FEATURE_DSN)
        t->d->req->env.rcpts[i].notify &= ~NOTIFY_SUCCESS;
    gettimeofday(&t->d->req->deliver_done, NULL);
    deliver_sent(t->d->agent->deliver, t->d->req, i, t->s->relay, &dsn);
    t->d->left--;
}

static bool take_rcpt_reply(struct transaction *t, size_t i)
{
    struct smtp_reply reply;
    struct dsn dsn;

    if (!read_reply(t, t->d->agent->p.rcpt_timeout, "sending RCPT TO", &reply))
        return false;
    if (reply.code / 100 == 2) {
        t->accepted[i] = true;
        t->accepted_count++;
        if (t->verify)
            sent(t, i, &reply);
        return true;
    }
    smtp_said(t->d, t->s, &reply, "RCPT TO command", &dsn);
    rcpt_result(t, i, &dsn);
    return true;
}

static bool take_data_reply(struct transaction *t)
{
    struct smtp_reply reply;
    struct dsn dsn;

    if (!read_reply(t, t->d->agent->p.data_init_timeout, "sending DATA command",
                    &reply))
        return false;
    if (reply.code / 100 == 3)
        return true;
    if (t->accepted_count > 0) {
        smtp_said(t->d, t->s, &reply, "DATA command", &dsn);
        if (reply.code / 100 == 2)
            dsn.reason = arena_printf(t->d->arena, "Protocol error: %s", dsn.reason);
        all_results(t, &dsn, true);
    }
    return false;
}

static bool take_final_reply(struct transaction *t, size_t i, bool all)
{
    struct smtp_reply reply;
    struct dsn dsn;

    if (!read_reply(t, t->d->agent->p.data_done_timeout,
                    "sending end of data -- message may be sent more than once",
                    &reply))
        return false;
    if (reply.code / 100 == 2) {
        for (size_t k = all ? 0 : i; k < (all ? t->d->req->env.rcpt_len : i + 1); k++)
            if (pending(t, k) && t->accepted[k])
                sent(t, k, &reply);
        return true;
    }
    smtp_said(t->d, t->s, &reply, "end of DATA command", &dsn);
    if (all)
        all_results(t, &dsn, true);
    else
        rcpt_result(t, i, &dsn);
    return true;
}

/* LMTP answers once a recipient, SMTP once (RFC 2033, 4.2). */
static bool take_final_replies(struct transaction *t)
{
    if (!t->d->agent->p.lmtp)
        return take_final_reply(t, 0, true);
    for (size_t i = 0; i < t->d->req->env.rcpt_len; i++)
        if (t->accepted[i] && pending(t, i) && !take_final_reply(t, i, false))
            return false;
    return true;
}

/* What was sent so far must leave in packets of its own: that is the point. */
static enum stream_status wait_before_dot(struct transaction *t)
{
    enum stream_status st = stream_flush(t->s->stream);

    if (st == STREAM_OK &&
        fiber_sleep(t->d->agent->p.pix_delay_time * 1000) != WAIT_READY)
        st = STREAM_CANCELLED;
    return st;
}

static bool send_content(struct transaction *t)
{
    struct smtp_delivery *d = t->d;
    bool read_error;
    enum stream_status st = smtp_send_content(d, t->s, &read_error);

    if (read_error) {
        /* Half a message must not be taken for a whole one: no dot, hang up. */
        msg_warn("%s: queue file is damaged: delivery stopped", d->req->queue_id);
        smtp_set_trouble(d, "4.3.0", "queue file read error");
        t->s->dead = true;
        return false;
    }
    if (st == STREAM_OK && t->s->delay_dot)
        st = wait_before_dot(t);
    if (st == STREAM_OK)
        st = stream_write(t->s->stream, ".\r\n", 3);
    if (st == STREAM_OK)
        st = stream_flush(t->s->stream);
    stream_set_bufsize(t->s->stream, 8192);
    if (st == STREAM_OK)
        return true;
    return smtp_lost(d, t->s, st, "sending message body");
}

/* Commands in flight: a server that does not read on before its replies are read
 * must not be able to block us. */
#define PIPELINE_WINDOW 200

static size_t next_pending(const struct transaction *t, size_t i)
{
    while (i < t->d->req->env.rcpt_len && !pending(t, i))
        i++;
    return i;
}

/* Send RCPTs from *next on while the window has room, and DATA after the last. */
static void fill_pipeline(struct transaction *t, size_t *next, size_t *in_flight)
{
    struct deliver_request *req = t->d->req;

    if (*in_flight > 0 || *next > req->env.rcpt_len)
        return;
    while (*next < req->env.rcpt_len && *in_flight < PIPELINE_WINDOW) {
        send_rcpt(t, &req->env.rcpts[*next]);
        t->asked[*next] = true;
        ++*in_flight;
        *next = next_pending(t, *next + 1);
    }
    if (*next == req->env.rcpt_len) {
        if (!t->verify)
            stream_write_str(t->s->stream, "DATA\r\n");
        ++*next;
    }
}

/* The whole dialog up to the reply to DATA: true when content may be sent. */
static bool negotiate_pipelined(struct transaction *t)
{
    size_t count = t->d->req->env.rcpt_len, next = next_pending(t, 0), in_flight = 0;
    bool mail_ok;

    send_mail(t);
    fill_pipeline(t, &next, &in_flight);
    mail_ok = take_mail_reply(t);
    for (size_t i = 0; i < count && !t->lost; i++) {
        struct smtp_reply ignored;

        if (!t->asked[i])
            continue;
        if (mail_ok)
            take_rcpt_reply(t, i);
        else
            read_reply(t, t->d->agent->p.rcpt_timeout, "sending RCPT TO", &ignored);
        in_flight--;
        fill_pipeline(t, &next, &in_flight);
    }
    return !t->lost && !t->verify && take_data_reply(t);
}

static bool negotiate_stepwise(struct transaction *t)
{
    struct deliver_request *req = t->d->req;

    send_mail(t);
    if (!take_mail_reply(t))
        return false;
    for (size_t i = 0; i < req->env.rcpt_len; i++) {
        if (!pending(t, i))
            continue;
        send_rcpt(t, &req->env.rcpts[i]);
        if (!take_rcpt_reply(t, i))
            return false;
    }
    if (t->accepted_count == 0 || t->verify)
        return false;
    stream_write_str(t->s->stream, "DATA\r\n");
    return take_data_reply(t);
}

static bool too_big(struct transaction *t)
{
    const struct envelope *env = &t->d->req->env;
    struct dsn dsn = {.status = "5.3.4",
                      .action = "",
                      .diag_type = "",
                      .diag_text = "",
                      .mta_type = "",
                      .mta_name = ""};

    if (t->s->size_limit <= 0 || env->content_size <= t->s->size_limit)
        return false;
    dsn.reason = arena_printf(
        t->d->arena, "message size %lld exceeds size limit %lld of server %s",
        (long long)env->content_size, (long long)t->s->size_limit, t->s->namaddr);
    all_results(t, &dsn, false);
    return true;
}

/* Make the session fit for more mail; one that is not asked for more gets QUIT. */
static bool reset(struct transaction *t)
{
    struct smtp_reply reply;

    if (t->s->ending)
        return true;
    stream_write_str(t->s->stream, "RSET\r\n");
    if (!read_reply(t, t->d->agent->p.rset_timeout, "sending RSET", &reply))
        return false;
    t->s->ending |= reply.code / 100 != 2;
    return true;
}

/* A server that takes content for nobody: an empty message ends it. */
static bool end_empty(struct transaction *t)
{
    struct smtp_reply ignored;

    stream_write_str(t->s->stream, ".\r\n");
    return read_reply(t, t->d->agent->p.data_done_timeout, "sending end of data",
                      &ignored);
}

bool smtp_transaction(struct smtp_delivery *d, struct smtp_session *s)
{
    struct transaction t = {.d = d, .s = s};
    bool go;

    t.accepted = arena_alloc(d->arena, d->req->env.rcpt_len + 1);
    t.asked = arena_alloc(d->arena, d->req->env.rcpt_len + 1);
    t.verify = d->req->flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY);
    t.pipelining = s->features & FEATURE_PIPELINING;
    if (too_big(&t))
        return true;
    go = t.pipelining ? negotiate_pipelined(&t) : negotiate_stepwise(&t);
    if (go && t.accepted_count == 0)
        return end_empty(&t);
    if (!go)
        return !t.lost && reset(&t);
    return send_content(&t) && take_final_replies(&t);
}
