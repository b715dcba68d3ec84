/* MAIL, RCPT, DATA, content, dot: commands go out in one write when the server
 * pipelines, one at a time when not; the replies are taken in the same order. */
#include "smtp/smtp.h"

#include "global/addr.h"
#include "util/escape.h"
#include "util/msg.h"

struct transaction {
    struct smtp_delivery *d;
    struct smtp_session *s;
    bool *accepted;       /* by recipient */
    size_t accepted_count;
    bool pipelining;
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

static void add_xtext(struct stream *stream, const char *label, const char *text)
{
    struct strbuf sb = STRBUF_INIT;

    xtext_encode(&sb, span_str(text));
    stream_printf(stream, " %s=%s", label, sb.ptr);
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
        if (*env->envelope_id)
            add_xtext(out, "ENVID", env->envelope_id);
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

/* Report a recipient, or leave it for the next host when that may help. */
static void rcpt_result(struct transaction *t, size_t i, const struct dsn *dsn)
{
    struct smtp_delivery *d = t->d;

    gettimeofday(&d->req->deliver_done, NULL);
    if (dsn->status[0] == '4' && !d->final_host) {
        msg_info("%s: %s", d->req->queue_id, dsn->reason);
        d->trouble.dsn = *dsn;
        d->have_trouble = true;
        return;
    }
    deliver_status(d->agent->deliver, d->req, i, t->s->relay, dsn);
    d->left--;
}

static void all_results(struct transaction *t, const struct dsn *dsn, bool accepted_only)
{
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

static bool take_rcpt_reply(struct transaction *t, size_t i)
{
    struct smtp_reply reply;
    struct dsn dsn;

    if (!read_reply(t, t->d->agent->p.rcpt_timeout, "sending RCPT TO", &reply))
        return false;
    if (reply.code / 100 == 2) {
        t->accepted[i] = true;
        t->accepted_count++;
        return true;
    }
    smtp_said(t->d, t->s, &reply, "RCPT TO command", &dsn);
    /* 552 is how old servers say "too many recipients" (RFC 5321, 4.5.3.1.10). */
    if (reply.code == 552)
        dsn.status[0] = '4';
    rcpt_result(t, i, &dsn);
    return true;
}

static bool take_data_reply(struct transaction *t)
{
    struct smtp_reply reply;
    struct dsn dsn;

    if (!read_reply(t, t->d->agent->p.data_init_timeout, "sending DATA command", &reply))
        return false;
    if (reply.code / 100 == 3)
        return true;
    if (t->accepted_count > 0) {
        smtp_said(t->d, t->s, &reply, "DATA command", &dsn);
        all_results(t, &dsn, true);
    }
    return false;
}

static void sent(struct transaction *t, size_t i, const struct smtp_reply *reply)
{
    struct dsn dsn = {.action = "relayed", .reason = reply->text, .diag_type = "smtp",
                      .diag_text = reply->text, .mta_type = "dns"};

    memcpy(dsn.status, reply->status, sizeof dsn.status);
    dsn.mta_name = t->s->host;
    /* A server with DSN has taken over the duty to tell the sender of success. */
    if (t->s->features & FEATURE_DSN)
        t->d->req->env.rcpts[i].notify &= ~NOTIFY_SUCCESS;
    gettimeofday(&t->d->req->deliver_done, NULL);
    deliver_sent(t->d->agent->deliver, t->d->req, i, t->s->relay, &dsn);
    t->d->left--;
}

static bool take_final_reply(struct transaction *t, size_t i, bool all)
{
    struct smtp_reply reply;
    struct dsn dsn;

    if (!read_reply(t, t->d->agent->p.data_done_timeout,
                    "sending end of data -- message may be sent more than once", &reply))
        return false;
    if (reply.code / 100 != 2)
        smtp_said(t->d, t->s, &reply, "end of DATA command", &dsn);
    for (size_t k = all ? 0 : i; k < (all ? t->d->req->env.rcpt_len : i + 1); k++) {
        if (!pending(t, k) || !t->accepted[k])
            continue;
        if (reply.code / 100 == 2)
            sent(t, k, &reply);
        else
            rcpt_result(t, k, &dsn);
    }
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
    if (st == STREAM_OK)
        st = stream_write(t->s->stream, ".\r\n", 3);
    if (st == STREAM_OK)
        st = stream_flush(t->s->stream);
    stream_set_bufsize(t->s->stream, 8192);
    if (st == STREAM_OK)
        return true;
    return smtp_lost(d, t->s, st, "sending message body");
}

static void send_all(struct transaction *t)
{
    struct deliver_request *req = t->d->req;

    send_mail(t);
    for (size_t i = 0; i < req->env.rcpt_len; i++)
        if (pending(t, i))
            send_rcpt(t, &req->env.rcpts[i]);
    stream_write_str(t->s->stream, "DATA\r\n");
}

/* The whole dialog up to the reply to DATA: true when content may be sent. */
static bool negotiate_pipelined(struct transaction *t)
{
    size_t count = t->d->req->env.rcpt_len;
    bool *asked = arena_alloc(t->d->arena, count + 1);
    bool mail_ok;

    for (size_t i = 0; i < count; i++)
        asked[i] = pending(t, i);
    send_all(t);
    mail_ok = take_mail_reply(t);
    for (size_t i = 0; i < count && !t->lost; i++) {
        struct smtp_reply ignored;

        if (!asked[i])
            continue;
        if (mail_ok)
            take_rcpt_reply(t, i);
        else
            read_reply(t, t->d->agent->p.rcpt_timeout, "sending RCPT TO", &ignored);
    }
    return !t->lost && take_data_reply(t);
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
    if (t->accepted_count == 0)
        return false;
    stream_write_str(t->s->stream, "DATA\r\n");
    return take_data_reply(t);
}

static bool too_big(struct transaction *t)
{
    const struct envelope *env = &t->d->req->env;
    struct dsn dsn = {.status = "5.3.4", .action = "", .diag_type = "",
                      .diag_text = "", .mta_type = "", .mta_name = ""};

    if (t->s->size_limit <= 0 || env->content_size <= t->s->size_limit)
        return false;
    dsn.reason = arena_printf(t->d->arena,
                              "message size %lld exceeds size limit %lld of server %s",
                              (long long)env->content_size, (long long)t->s->size_limit,
                              t->s->namaddr);
    all_results(t, &dsn, false);
    return true;
}

static bool reset(struct transaction *t)
{
    struct smtp_reply reply;

    if (t->s->dead)
        return false;
    stream_write_str(t->s->stream, "RSET\r\n");
    return read_reply(t, t->d->agent->p.rset_timeout, "sending RSET", &reply) &&
           !t->s->dead;
}

bool smtp_transaction(struct smtp_delivery *d, struct smtp_session *s)
{
    struct transaction t = {.d = d, .s = s};
    bool go;

    t.accepted = arena_alloc(d->arena, d->req->env.rcpt_len + 1);
    t.pipelining = s->features & FEATURE_PIPELINING;
    if (too_big(&t))
        return true;
    go = t.pipelining ? negotiate_pipelined(&t) : negotiate_stepwise(&t);
    if (go && t.accepted_count == 0) {
        /* The server wants content for nobody: an empty one ends it. */
        struct smtp_reply ignored;

        stream_write_str(s->stream, ".\r\n");
        return read_reply(&t, d->agent->p.data_done_timeout, "sending end of data",
                          &ignored) && !s->dead;
    }
    if (!go)
        return !t.lost && reset(&t);
    return send_content(&t) && take_final_replies(&t) && !s->dead;
}
