/* The notification itself: multipart/report with a text for people, a report for
 * programs (RFC 3464), and the message or its headers (RFC 3462). */
#include "bounce/bounce.h"

#include <stdio.h>

#include "global/addr.h"
#include "global/post_mail.h"
#include "global/rec.h"
#include "util/escape.h"
#include "util/msg.h"
#include "util/timefmt.h"

#define FOLD_COLUMN 79

struct report {
    struct bounce_message *msg;
    struct post_mail *pm;
    enum bounce_kind kind;
    const char *boundary;
    bool eight_bit;
    bool copy; /* of what the sender gets too */
};

static const char *external(struct arena *arena, const char *address)
{
    struct strbuf sb = STRBUF_INIT, clean = STRBUF_INIT;
    const char *text;

    addr_quote(&sb, span_str(address));
    escape_printable(&clean, strbuf_span(&sb), '?', true);
    text = arena_span_str(arena, strbuf_span(&clean));
    strbuf_free(&sb);
    strbuf_free(&clean);
    return text;
}

static void put_text_lines(struct post_mail *pm, const char *text)
{
    struct span rest = span_str(text);

    while (rest.len > 0)
        post_mail_line(pm, span_cut(&rest, '\n'));
}

/* Break at white space before the column; later lines are indented. */
static void put_folded(struct post_mail *pm, struct span text, const char *indent)
{
    const char *prefix = "";

    while (text.len > 0) {
        size_t room = FOLD_COLUMN - strlen(prefix), cut = text.len;

        if (cut > room) {
            ssize_t space = span_rchr(span_first(text, room + 1), ' ');

            cut = space > 0 ? (size_t)space : room;
        }
        post_mail_linef(pm, "%s%.*s", prefix, (int)cut, text.ptr);
        text = span_ltrim(span_skip(text, cut));
        prefix = indent;
    }
}

/* A long report field: folded as a header, by a line break before white space. */
static void put_field(struct post_mail *pm, struct arena *arena, const char *name,
                      const char *value)
{
    put_folded(pm, span_str(arena_printf(arena, "%s: %s", name, value)), "    ");
}

static void put_header(struct report *r, const char *recipient, bool to_postmaster)
{
    struct bounce_service *bs = r->msg->bs;
    const struct bounce_template *t = &bs->templates[r->kind];
    const char *subject =
        to_postmaster && t->postmaster_subject ? t->postmaster_subject : t->subject;

    post_mail_linef(r->pm, "From: %s", t->from);
    post_mail_linef(r->pm, "Subject: %s", subject);
    post_mail_linef(r->pm, "To: %s", external(r->msg->arena, recipient));
    post_mail_linef(r->pm, "Auto-Submitted: auto-%s",
                    to_postmaster ? "generated" : "replied");
    post_mail_linef(r->pm, "MIME-Version: 1.0");
    post_mail_linef(r->pm, "Content-Type: multipart/report; report-type=%s;",
                    "delivery-status");
    post_mail_linef(r->pm, "\tboundary=\"%s\"", r->boundary);
    post_mail_linef(r->pm, "Content-Transfer-Encoding: %s",
                    r->eight_bit ? "8bit" : "7bit");
    post_mail_line(r->pm, SPAN_EMPTY);
    post_mail_linef(r->pm, "This is a MIME-encapsulated message.");
    post_mail_line(r->pm, SPAN_EMPTY);
}

static void begin_part(struct report *r, const char *description, const char *type)
{
    post_mail_linef(r->pm, "--%s", r->boundary);
    post_mail_linef(r->pm, "Content-Description: %s", description);
    post_mail_linef(r->pm, "Content-Type: %s", type);
}

static void put_encoding(struct report *r)
{
    post_mail_linef(r->pm, "Content-Transfer-Encoding: %s",
                    r->eight_bit ? "8bit" : "7bit");
    post_mail_line(r->pm, SPAN_EMPTY);
}

/* Which recipients a notification speaks of (RFC 3461, 4.1). */
static bool is_wanted(enum bounce_kind kind, const struct bounce_entry *e)
{
    int notify = e->rcpt.notify;

    switch (kind) {
    case KIND_FAILURE:
        return notify == 0 || (notify & NOTIFY_FAILURE);
    case KIND_DELAY:
        return notify == 0 || (notify & NOTIFY_DELAY);
    default:
        return true;
    }
}

static void put_text_part(struct report *r)
{
    struct bounce_message *msg = r->msg;
    const char *charset = msg->bs->templates[r->kind].charset;

    if (r->eight_bit && strcasecmp(charset, "us-ascii") == 0)
        charset = "utf-8";
    begin_part(r, "Notification",
               arena_printf(msg->arena, "text/plain; charset=%s", charset));
    put_encoding(r);
    put_text_lines(r->pm, bounce_template_body(msg->bs, r->kind, msg->arena));
    post_mail_line(r->pm, SPAN_EMPTY);
    for (size_t i = 0; i < msg->count; i++) {
        const struct bounce_entry *e = &msg->entries[i];
        const char *via = "";

        if (!is_wanted(r->kind, e))
            continue;
        if (strcasecmp(e->rcpt.orig, e->rcpt.address) != 0)
            via = arena_printf(msg->arena, " (expanded from <%s>)",
                               external(msg->arena, e->rcpt.orig));
        put_folded(r->pm,
                   span_str(arena_printf(msg->arena, "<%s>%s: %s",
                                         external(msg->arena, e->rcpt.address), via,
                                         e->dsn.reason)),
                   "    ");
        post_mail_line(r->pm, SPAN_EMPTY);
    }
}

static void put_date(struct report *r, const char *name, time_t when)
{
    struct strbuf sb = STRBUF_INIT;

    time_rfc5322(&sb, when);
    post_mail_linef(r->pm, "%s: %s", name, sb.ptr);
    strbuf_free(&sb);
}

/* "rfc822;address": what the sender gave, made printable. */
static const char *original_recipient(struct arena *arena, const struct recipient *rcpt)
{
    struct strbuf sb = STRBUF_INIT;
    const char *text;

    if (*rcpt->dsn_orcpt)
        escape_printable(&sb, span_str(rcpt->dsn_orcpt), '?', true);
    else
        strbuf_addf(&sb, "rfc822;%s", external(arena, rcpt->orig));
    text = arena_span_str(arena, strbuf_span(&sb));
    strbuf_free(&sb);
    return text;
}

static void put_recipient_report(struct report *r, const struct bounce_entry *e)
{
    struct arena *arena = r->msg->arena;
    const struct config *cfg = r->msg->bs->cfg;

    post_mail_line(r->pm, SPAN_EMPTY);
    post_mail_linef(r->pm, "Final-Recipient: rfc822; %s",
                    external(arena, e->rcpt.address));
    post_mail_linef(r->pm, "Original-Recipient: %s",
                    original_recipient(arena, &e->rcpt));
    post_mail_linef(r->pm, "Action: %s",
                    r->kind == KIND_FAILURE ? "failed"
                    : r->kind == KIND_DELAY ? "delayed"
                                            : e->dsn.action);
    post_mail_linef(r->pm, "Status: %s", e->dsn.status);
    if (*e->dsn.mta_type && *e->dsn.mta_name)
        post_mail_linef(r->pm, "Remote-MTA: %s; %s", e->dsn.mta_type, e->dsn.mta_name);
    if (*e->dsn.diag_type && *e->dsn.diag_text)
        put_field(r->pm, arena, "Diagnostic-Code",
                  arena_printf(arena, "%s; %s", e->dsn.diag_type, e->dsn.diag_text));
    else
        put_field(r->pm, arena, "Diagnostic-Code",
                  arena_printf(arena, "X-%s; %s", cfg->mail_name, e->dsn.reason));
    if (r->kind == KIND_DELAY)
        put_date(r, "Will-Retry-Until",
                 r->msg->env.arrival.tv_sec + (time_t)cfg->maximal_queue_lifetime);
}

static const char *sender_text(struct bounce_message *msg)
{
    const char *sender = msg->env.sender;

    if (!*sender)
        sender = arena_printf(msg->arena, "MAILER-DAEMON@%s", msg->bs->cfg->myorigin);
    return external(msg->arena, sender);
}

static void put_status_part(struct report *r)
{
    struct bounce_message *msg = r->msg;
    const struct config *cfg = msg->bs->cfg;
    struct strbuf envid = STRBUF_INIT;

    begin_part(r, "Delivery report", "message/delivery-status");
    post_mail_line(r->pm, SPAN_EMPTY);
    post_mail_linef(r->pm, "Reporting-MTA: dns; %s", cfg->myhostname);
    if (*msg->env.envelope_id) {
        escape_printable(&envid, span_str(msg->env.envelope_id), '?', true);
        post_mail_linef(r->pm, "Original-Envelope-Id: %s", envid.ptr);
    }
    post_mail_linef(r->pm, "X-%s-Queue-ID: %s", cfg->mail_name, msg->queue_id);
    post_mail_linef(r->pm, "X-%s-Sender: rfc822; %s", cfg->mail_name, sender_text(msg));
    put_date(r, "Arrival-Date", msg->env.arrival.tv_sec);
    for (size_t i = 0; i < msg->count; i++)
        if (is_wanted(r->kind, &msg->entries[i]))
            put_recipient_report(r, &msg->entries[i]);
    post_mail_line(r->pm, SPAN_EMPTY);
    strbuf_free(&envid);
}

static bool headers_only(const struct report *r)
{
    const struct config *cfg = r->msg->bs->cfg;

    if (r->kind != KIND_FAILURE || r->msg->env.ret == RET_HDRS || r->copy)
        return true;
    return cfg->bounce_size_limit > 0 && r->msg->env.data_size > cfg->bounce_size_limit;
}

/* Content lines of the message; the first empty line ends the headers. */
static void put_original_lines(struct report *r, bool only_headers)
{
    struct rec_reader reader;
    struct span data;
    bool at_start = true;
    int type;

    rec_reader_init(&reader, r->msg->fd);
    rec_reader_seek(&reader, r->msg->env.data_offset);
    while ((type = rec_read(&reader, &data)) > 0 && type != REC_EXTRACTED &&
           type != REC_END) {
        if (type != REC_LINE && type != REC_FILTER_OR_CONT)
            continue;
        if (only_headers && at_start && data.len == 0)
            break;
        at_start = type == REC_LINE;
        post_mail_line(r->pm, data);
    }
    rec_reader_free(&reader);
}

static void put_original_part(struct report *r)
{
    bool only_headers = headers_only(r);
    const char *name = r->kind == KIND_SUCCESS || r->kind == KIND_VERIFY
                           ? "Message Headers"
                       : only_headers ? "Undelivered Message Headers"
                                      : "Undelivered Message";

    begin_part(r, name, only_headers ? "text/rfc822-headers" : "message/rfc822");
    put_encoding(r);
    post_mail_linef(r->pm, "Return-Path: <%s>", sender_text(r->msg));
    put_original_lines(r, only_headers);
    post_mail_line(r->pm, SPAN_EMPTY);
}

static struct post_mail *open_mail(struct bounce_message *msg, const char *sender,
                                   const char *recipient, bool eight_bit)
{
    struct post_mail_envelope env = {
        .sender = sender,
        .recipient = recipient,
        .encoding = eight_bit ? "8bit" : "7bit",
        .sendopts = msg->env.sendopts & SENDOPT_SMTPUTF8,
        .cleanup_flags = CLEANUP_INTERNAL,
    };
    const char *why;
    struct post_mail *pm = post_mail_open(msg->bs->cleanup, msg->bs->cfg, &env, &why);

    if (!pm)
        msg_warn("%s: cannot write a notification: %s", msg->queue_id, why);
    return pm;
}

bool bounce_send(struct bounce_message *msg, enum bounce_kind kind, const char *sender,
                 const char *recipient, bool to_postmaster, char id_out[QUEUE_ID_MAX])
{
    struct report r = {.msg = msg, .kind = kind};
    struct cleanup_result result;

    r.eight_bit = strcmp(msg->env.encoding, "7bit") != 0;
    r.copy = to_postmaster && *msg->env.sender;
    r.pm = open_mail(msg, sender, recipient, r.eight_bit);
    if (!r.pm)
        return false;
    r.boundary = arena_printf(msg->arena, "%s.%lld/%s", msg->queue_id,
                              (long long)time_now(), msg->bs->cfg->myhostname);
    put_header(&r, recipient, to_postmaster);
    put_text_part(&r);
    put_status_part(&r);
    if (msg->fd >= 0)
        put_original_part(&r);
    post_mail_linef(r.pm, "--%s--", r.boundary);
    snprintf(id_out, QUEUE_ID_MAX, "%s", post_mail_id(r.pm));
    result = post_mail_commit(r.pm, msg->arena);
    if (result.status != 0)
        msg_warn("%s: notification was not accepted: status %d %s", msg->queue_id,
                 result.status, result.reason);
    return result.status == 0;
}
