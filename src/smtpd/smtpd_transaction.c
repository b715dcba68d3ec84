#include <stdio.h>

#include "global/rec.h"
#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

void smtpd_transaction_reset(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;

    smtpd_sink_abort(trans->msg);
    smtpd_chunks_free(trans->chunks);
    smtpd_arena_put(s->ss, trans->arena);
    *trans = (struct smtpd_transaction){0};
}

static void attr(struct strbuf *sb, const char *name, const char *value)
{
    rec_add_attr(sb, name, span_str(value));
}

static void client_attrs(const struct smtpd_session *s, struct strbuf *sb)
{
    const struct smtpd_client *client = &s->client;

    attr(sb, "log_client_name", client->name);
    attr(sb, "log_client_address", client->address);
    attr(sb, "log_client_port", client->port);
    attr(sb, "log_message_origin", client->namaddr);
    if (s->helo)
        attr(sb, "log_helo_name", s->helo);
    attr(sb, "log_protocol_name", s->protocol);
    attr(sb, "client_name", client->name);
    attr(sb, "reverse_client_name", client->reverse_name);
    attr(sb, "client_address", client->address);
    attr(sb, "client_port", client->port);
    attr(sb, "server_address", client->server_address);
    attr(sb, "server_port", client->server_port);
    if (s->helo)
        attr(sb, "helo_name", s->helo);
    attr(sb, "protocol_name", s->protocol);
    rec_addf(sb, REC_ATTR, "client_address_type=%d",
             client->addr.len ? client->addr.sa.sa_family : AF_UNSPEC);
}

static void dsn_and_sender(const struct smtpd_transaction *trans, struct strbuf *sb)
{
    if (trans->envid[0])
        rec_add_str(sb, REC_DSN_ENVID, trans->envid);
    if (trans->dsn_ret)
        rec_addf(sb, REC_ATTR, "ret_flags=%d", trans->dsn_ret);
    rec_add_str(sb, REC_SENDER, trans->sender);
    if (trans->encoding[0])
        attr(sb, "encoding", trans->encoding);
}

/* What must be known before the first recipient. Users cannot say all of it: in
 * stand-alone mode postdrop and pickup add what is true. */
static void write_envelope(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = smtpd_sink_records(trans->msg);

    if (!s->ss->svc) {
        attr(sb, "rewrite_context", "local");
        dsn_and_sender(trans, sb);
        return;
    }
    rec_addf(sb, REC_TIME, "%lld %ld", (long long)trans->arrival.tv_sec,
             (long)trans->arrival.tv_usec);
    if (s->cfg->content_filter[0])
        rec_add_str(sb, REC_FILTER_OR_CONT, s->cfg->content_filter);
    attr(sb, "log_ident", trans->queue_id);
    attr(sb, "rewrite_context", s->client.rewrite_local ? "local" : "remote");
    dsn_and_sender(trans, sb);
    client_attrs(s, sb);
}

bool smtpd_transaction_open(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct event_client who = {.client = s->client.namaddr};
    int flags = s->ss->cleanup_flags | trans->flags;
    const char *why;

    if (trans->smtputf8)
        flags |= CLEANUP_SMTPUTF8;
    trans->msg = smtpd_sink_open(s->ss, flags, &why);
    if (!trans->msg) {
        msg_warn("cannot begin a message: %s", why);
        smtpd_error(s, "451 4.3.0 Error: queue file write error");
        return false;
    }
    trans->open_flags = trans->flags;
    trans->queue_id = arena_str(trans->arena, smtpd_sink_id(trans->msg));
    event_transaction(trans->queue_id, &who);
    write_envelope(s);
    return true;
}

void smtpd_transaction_rcpt(struct smtpd_session *s, const char *address, int notify,
                            const char *orcpt)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = smtpd_sink_records(trans->msg);

    if (trans->rcpt_count++ == 0)
        trans->first_rcpt = arena_str(trans->arena, address);
    if (notify)
        rec_addf(sb, REC_DSN_NOTIFY, "%d", notify);
    if (orcpt[0])
        attr(sb, "dsn_orig_rcpt", orcpt);
    rec_add_str(sb, REC_RCPT, address);
    if (!smtpd_sink_send(trans->msg, false))
        trans->write_failed = true;
}

void smtpd_transaction_content(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = smtpd_sink_records(trans->msg);

    /* Decisions that came after cleanup had opened the message. */
    if (trans->flags != trans->open_flags)
        rec_addf(sb, REC_FLAGS, "%d", trans->flags);
    rec_add(sb, REC_MESSAGE, SPAN_EMPTY);
    for (const struct smtpd_text *text = trans->prepend; text; text = text->next)
        rec_add_line(sb, span_str(text->text), (size_t)s->cfg->line_length_limit);
    smtpd_received(s, sb);
}

static void end_message(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = smtpd_sink_records(trans->msg);

    rec_add(sb, REC_EXTRACTED, SPAN_EMPTY);
    if (trans->filter)
        rec_add_str(sb, REC_FILTER_OR_CONT, trans->filter);
    if (trans->redirect)
        rec_add_str(sb, REC_REDIRECT, trans->redirect);
    for (const struct smtpd_text *text = trans->bcc; text; text = text->next)
        rec_add_str(sb, REC_RCPT, text->text);
    rec_add(sb, REC_END, SPAN_EMPTY);
}

static void reply_queued(struct smtpd_session *s, bool counted)
{
    const struct smtpd_transaction *trans = &s->trans;

    s->errors = s->junk = 0;
    if (counted)
        smtpd_replyf(s, "250 2.0.0 Ok: %lld bytes queued as %s",
                     (long long)smtpd_chunks_size(trans->chunks), trans->queue_id);
    else
        smtpd_replyf(s, "250 2.0.0 Ok: queued as %s", trans->queue_id);
}

static void reply_result(struct smtpd_session *s, const struct cleanup_result *result,
                         bool counted)
{
    const struct cleanup_status_detail *detail;

    if (result->status == CLEANUP_STAT_OK) {
        reply_queued(s, counted);
        return;
    }
    detail = cleanup_status_detail(result->status);
    smtpd_errorf(s, "%d %s %s", detail->smtp_code,
                 result->dsn[0] ? result->dsn : detail->dsn,
                 result->reason[0] ? result->reason : detail->text);
}

void smtpd_transaction_finish(struct smtpd_session *s, bool counted)
{
    struct smtpd_transaction *trans = &s->trans;
    struct cleanup_result result;
    const char *refusal;

    if (trans->bare_lf && smtpd_bare_lf_mode(s) == SMTPD_BARE_LF_REJECT) {
        smtpd_bare_lf_refused(s, SMTPD_END_OF_MESSAGE);
        return;
    }
    if (trans->write_failed) {
        smtpd_error(s, "451 4.3.0 Error: queue file write error");
        return;
    }
    refusal = smtpd_policy_eod(s);
    if (refusal) {
        smtpd_error(s, refusal);
        return;
    }
    end_message(s);
    result = smtpd_sink_commit(trans->msg, s->scratch);
    trans->msg = NULL;
    reply_result(s, &result, counted);
}
