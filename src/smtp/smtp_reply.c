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
    struct dsn dsn = {.action = "", .reason = reason, .diag_type = "",
                      .diag_text = "", .mta_type = "", .mta_name = ""};

    strcpy(dsn.status, status);
    return dsn;
}

void smtp_set_trouble(struct smtp_delivery *d, const char *status, const char *reason)
{
    d->trouble.dsn = empty_dsn(status, reason);
    d->have_trouble = true;
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

static bool bad_reply(struct smtp_delivery *d, struct smtp_session *s,
                      struct span line)
{
    struct strbuf sb = STRBUF_INIT;

    escape_printable(&sb, span_first(line, 200), '?', true);
    smtp_set_trouble(d, "4.5.0",
                     arena_printf(d->arena, "Protocol error: host %s said: %s",
                                  s->namaddr, sb.ptr));
    strbuf_free(&sb);
    s->dead = true;
    return false;
}

static void split_status(struct smtp_reply *reply)
{
    char fallback[] = "5.0.0";
    struct span text = span_str(reply->text);

    fallback[0] = (char)('0' + reply->code / 100);
    if (!strchr("245", fallback[0]))
        fallback[0] = '2';
    dsn_split(text.len > 4 ? span_skip(text, 4) : SPAN_EMPTY, fallback, fallback[0],
              reply->status);
}

bool smtp_read_reply(struct smtp_delivery *d, struct smtp_session *s, int64_t timeout_s,
                     const char *doing, struct smtp_reply *reply_out)
{
    struct strbuf text = STRBUF_INIT;
    struct span line;
    enum stream_status st;
    unsigned lines = 0;

    stream_set_timeout(s->stream, timeout_s * 1000);
    for (;;) {
        st = stream_read_line(s->stream, REPLY_LINE_MAX, &line, NULL);
        if (st != STREAM_OK && st != STREAM_TOO_LONG) {
            strbuf_free(&text);
            return smtp_lost(d, s, st, doing);
        }
        if (line.len < 3 || !span_all_digits(span_first(line, 3)) ||
            line.ptr[0] < '2' || line.ptr[0] > '5' || ++lines > REPLY_LINES) {
            strbuf_free(&text);
            return bad_reply(d, s, line);
        }
        if (text.len < REPLY_KEEP) {
            if (text.len > 0)
                strbuf_add_char(&text, ' ');
            escape_printable(&text, line, ' ', true);
        }
        if (line.len < 4 || line.ptr[3] != '-')
            break;
    }
    reply_out->code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 +
                      (line.ptr[2] - '0');
    reply_out->text = arena_span_str(d->arena, strbuf_span(&text));
    strbuf_free(&text);
    split_status(reply_out);
    if (reply_out->code == 421)
        s->dead = true;
    return true;
}

void smtp_said(struct smtp_delivery *d, struct smtp_session *s,
               const struct smtp_reply *reply, const char *command, struct dsn *dsn_out)
{
    *dsn_out = empty_dsn(reply->status,
                         arena_printf(d->arena, "host %s said: %s (in reply to %s)",
                                      s->namaddr, reply->text, command));
    dsn_out->diag_type = "smtp";
    dsn_out->diag_text = reply->text;
    dsn_out->mta_type = "dns";
    dsn_out->mta_name = arena_str(d->arena, s->host);
}
