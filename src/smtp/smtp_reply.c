#include "smtp/smtp.h"

#include "util/escape.h"
#include "util/msg.h"

/* What is kept of a reply, and the longest line that is read. RFC 5321, 4.5.3.1.5
 * allows 512; servers exceed it. */
#define REPLY_KEEP     8192
#define REPLY_LINE_MAX 2048
#define REPLY_LINES    512

static struct dsn empty_dsn(const char *status, const char *reason)
{
    struct dsn dsn = {.action = "",
                      .reason = reason,
                      .diag_type = "",
                      .diag_text = "",
                      .mta_type = "",
                      .mta_name = ""};

    strcpy(dsn.status, status);
    return dsn;
}

void smtp_set_trouble(struct smtp_delivery *d, const char *status, const char *reason)
{
    d->trouble = empty_dsn(status, reason);
}

bool smtp_lost(struct smtp_delivery *d, struct smtp_session *s, enum stream_status st,
               const char *doing)
{
    const char *reason;

    if (st == STREAM_TIMEOUT)
        reason = arena_printf(d->arena, "conversation with %s timed out while %s",
                              s->namaddr, doing);
    else
        reason = arena_printf(d->arena, "lost connection with %s while %s", s->namaddr,
                              doing);
    smtp_set_trouble(d, "4.4.2", reason);
    s->dead = true;
    return false;
}

/* The enhanced status stands on the last line, which is the one with the final code. */
static void split_status(struct smtp_reply *reply, struct span last_line)
{
    char fallback[] = "5.0.0";

    fallback[0] = (char)('0' + reply->code / 100);
    if (fallback[0] == '3')
        fallback[0] = '2';
    dsn_split(last_line.len > 4 ? span_skip(last_line, 4) : SPAN_EMPTY, fallback,
              fallback[0], reply->status);
}

/* A line of any length; what exceeds REPLY_LINE_MAX is dropped. */
static enum stream_status read_line(struct smtp_session *s, struct strbuf *line)
{
    struct span part;
    enum stream_status st = stream_read_line(s->stream, REPLY_LINE_MAX, &part, NULL);
    unsigned rounds = 0;

    strbuf_reset(line);
    if (st == STREAM_OK || st == STREAM_TOO_LONG)
        strbuf_add_span(line, part);
    while (st == STREAM_TOO_LONG && ++rounds < REPLY_LINES)
        st = stream_read_line(s->stream, REPLY_LINE_MAX, &part, NULL);
    return st;
}

static bool has_code(struct span line)
{
    return line.len >= 3 && span_all_digits(span_first(line, 3)) &&
           line.ptr[0] >= '2' && line.ptr[0] <= '5' &&
           (line.len == 3 || line.ptr[3] == ' ' || line.ptr[3] == '-');
}

/* Some servers say things between replies, which are passed over. If they stand in the
 * place of a reply, pipelined commands and replies are out of step. */
static void warn_of_noise(struct smtp_delivery *d, struct smtp_session *s,
                          struct span line)
{
    struct strbuf sb = STRBUF_INIT;

    if (!(s->features & FEATURE_PIPELINING))
        return;
    escape_printable(&sb, span_first(line, 100), '?', true);
    msg_warn("%s: non-%s response from %s: %s", d->req->queue_id,
             d->agent->p.lmtp ? "LMTP" : "ESMTP", s->relay, sb.ptr);
    strbuf_free(&sb);
    if (s->warned_sync)
        return;
    s->warned_sync = true;
    msg_warn("to prevent loss of mail, turn off command pipelining for %s with the %s "
             "parameter",
             s->addr,
             d->agent->p.lmtp ? "lmtp_discard_lhlo_keyword_address_maps"
                              : "smtp_discard_ehlo_keyword_address_maps");
}

static void keep_line(struct strbuf *text, struct span line)
{
    if (text->len >= REPLY_KEEP)
        return;
    if (text->len > 0)
        strbuf_add_char(text, ' ');
    escape_printable(text, line, ' ', true);
}

static bool too_many_lines(struct smtp_delivery *d, struct smtp_session *s)
{
    smtp_set_trouble(
        d, "4.5.0",
        arena_printf(d->arena, "host %s sent an endless reply", s->namaddr));
    s->dead = true;
    return false;
}

static bool read_lines(struct smtp_delivery *d, struct smtp_session *s,
                       const char *doing, struct strbuf *text, struct strbuf *line)
{
    for (unsigned lines = 0; lines < REPLY_LINES; lines++) {
        enum stream_status st = read_line(s, line);
        struct span last = strbuf_span(line);

        if (st != STREAM_OK)
            return smtp_lost(d, s, st, doing);
        keep_line(text, last);
        if (!has_code(last))
            warn_of_noise(d, s, last);
        else if (last.len == 3 || last.ptr[3] == ' ')
            return true;
    }
    return too_many_lines(d, s);
}

bool smtp_read_reply(struct smtp_delivery *d, struct smtp_session *s, int64_t timeout_s,
                     const char *doing, struct smtp_reply *reply_out)
{
    struct strbuf text = STRBUF_INIT, line = STRBUF_INIT;
    bool ok;

    stream_set_timeout(s->stream, timeout_s * 1000);
    ok = read_lines(d, s, doing, &text, &line);
    if (ok) {
        reply_out->code =
            (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0');
        reply_out->text = arena_span_str(d->arena, strbuf_span(&text));
        split_status(reply_out, strbuf_span(&line));
        s->ending |= reply_out->code == 421;
    }
    strbuf_free(&text);
    strbuf_free(&line);
    return ok;
}

void smtp_said(struct smtp_delivery *d, struct smtp_session *s,
               const struct smtp_reply *reply, const char *command, struct dsn *dsn_out)
{
    /* Agreement where it means nothing, such as 354 in reply to MAIL. */
    const char *status = reply->code / 100 < 4 ? "5.5.0" : reply->status;

    *dsn_out =
        empty_dsn(status, arena_printf(d->arena, "host %s said: %s (in reply to %s)",
                                       s->namaddr, reply->text, command));
    dsn_out->diag_type = "smtp";
    dsn_out->diag_text = reply->text;
    dsn_out->mta_type = "dns";
    dsn_out->mta_name = arena_str(d->arena, s->host);
}
