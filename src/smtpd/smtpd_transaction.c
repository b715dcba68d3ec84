#include <stdio.h>

#include "global/rec.h"
#include "smtpd/smtpd.h"
#include "util/msg.h"

void smtpd_transaction_reset(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;

    if (trans->msg)
        cleanup_abort(trans->msg);
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

/* What cleanup must know before the first recipient. */
static void write_envelope(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = cleanup_records(trans->msg);

    rec_addf(sb, REC_TIME, "%lld %ld", (long long)trans->arrival.tv_sec,
             (long)trans->arrival.tv_usec);
    attr(sb, "log_ident", trans->queue_id);
    attr(sb, "rewrite_context", s->client.rewrite_local ? "local" : "remote");
    if (s->cfg->content_filter[0])
        rec_add_str(sb, REC_FILTER_OR_CONT, s->cfg->content_filter);
    if (trans->envid[0])
        rec_add_str(sb, REC_DSN_ENVID, trans->envid);
    if (trans->dsn_ret)
        rec_addf(sb, REC_DSN_RET, "%d", trans->dsn_ret);
    rec_add_str(sb, REC_SENDER, trans->sender);
    if (trans->encoding[0])
        attr(sb, "encoding", trans->encoding);
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
    trans->msg = cleanup_open(s->ss->cleanup, flags, &why);
    if (!trans->msg) {
        msg_warn("cannot open a message at service %s: %s",
                 s->cfg->cleanup_service_name, why);
        smtpd_error(s, "451 4.3.0 Error: queue file write error");
        return false;
    }
    trans->open_flags = trans->flags;
    trans->queue_id = arena_str(trans->arena, cleanup_message_id(trans->msg));
    event_transaction(trans->queue_id, &who);
    write_envelope(s);
    return true;
}

void smtpd_transaction_rcpt(struct smtpd_session *s, const char *address, int notify,
                            const char *orcpt)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = cleanup_records(trans->msg);

    if (trans->rcpt_count++ == 0)
        trans->first_rcpt = arena_str(trans->arena, address);
    if (notify)
        rec_addf(sb, REC_DSN_NOTIFY, "%d", notify);
    if (orcpt[0])
        rec_add_str(sb, REC_DSN_ORCPT, orcpt);
    rec_add_str(sb, REC_RCPT, address);
    if (cleanup_send(trans->msg, false) != IPC_OK)
        trans->write_failed = true;
}

void smtpd_transaction_content(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = cleanup_records(trans->msg);

    /* Decisions that came after cleanup had opened the message. */
    if (trans->flags != trans->open_flags)
        rec_addf(sb, REC_FLAGS, "%d", trans->flags);
    rec_add(sb, REC_MESSAGE, SPAN_EMPTY);
    for (const struct smtpd_text *text = trans->prepend; text; text = text->next)
        rec_add_line(sb, span_str(text->text), (size_t)s->cfg->line_length_limit);
    smtpd_received(s, sb);
}

void smtpd_transaction_end(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = cleanup_records(trans->msg);

    rec_add(sb, REC_EXTRACTED, SPAN_EMPTY);
    if (trans->filter)
        rec_add_str(sb, REC_FILTER_OR_CONT, trans->filter);
    if (trans->redirect)
        rec_add_str(sb, REC_REDIRECT, trans->redirect);
    for (const struct smtpd_text *text = trans->bcc; text; text = text->next)
        rec_add_str(sb, REC_RCPT, text->text);
    rec_add(sb, REC_END, SPAN_EMPTY);
}
