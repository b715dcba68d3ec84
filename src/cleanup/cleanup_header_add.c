#include "cleanup/cleanup_header.h"

#include <time.h>

#include "global/addr.h"
#include "global/event.h"
#include "util/escape.h"
#include "util/timefmt.h"

static bool is_completed(const struct cleanup_msg *msg)
{
    return msg->cs->cfg->always_add_missing_headers || header_may_rewrite(msg);
}

static void write_text(struct cleanup_msg *msg, struct strbuf *text)
{
    header_write(msg, strbuf_span(text));
    strbuf_free(text);
}

static void add_message_id(struct cleanup_msg *msg, const char *prefix)
{
    time_t when = msg->out->time.tv_sec;
    struct strbuf text = STRBUF_INIT;
    const char *id;
    struct tm tm;

    gmtime_r(&when, &tm);
    id = arena_printf(msg->arena, "<%04d%02d%02d%02d%02d%02d.%s@%s>", tm.tm_year + 1900,
                      tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                      msg->out->id, msg->cs->cfg->myhostname);
    strbuf_addf(&text, "%sMessage-Id: %s", prefix, id);
    write_text(msg, &text);
    event_message_id(msg->out->id, prefix[0] ? "resent-message-id" : "message-id",
                     span_str(id));
    if (!prefix[0])
        msg->message_id = id;
}

static void add_date(struct cleanup_msg *msg, const char *prefix)
{
    struct strbuf text = STRBUF_INIT;

    strbuf_addf(&text, "%sDate: ", prefix);
    time_rfc5322(&text, msg->env.arrival.tv_sec);
    write_text(msg, &text);
}

/* RFC 5322 atoms and blanks need no quotes. */
static bool is_plain_phrase(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_alnum(name.ptr[i]) && !strchr("!#$%&'*+-/=?^_`{|}~ ", name.ptr[i]))
            return false;
    return true;
}

/* RFC 2047. */
static void add_encoded_phrase(struct strbuf *sb, const char *charset, struct span name)
{
    strbuf_addf(sb, "=?%s?B?", charset);
    base64_encode(sb, name);
    strbuf_add_str(sb, "?=");
}

static void add_quoted_phrase(struct strbuf *sb, struct span name)
{
    strbuf_add_char(sb, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"' || name.ptr[i] == '\\')
            strbuf_add_char(sb, '\\');
        strbuf_add_char(sb, name.ptr[i]);
    }
    strbuf_add_char(sb, '"');
}

static void add_phrase(struct cleanup_msg *msg, struct strbuf *sb, struct span name)
{
    if (!span_is_ascii(name))
        add_encoded_phrase(sb, msg->cs->cfg->full_name_encoding_charset, name);
    else if (is_plain_phrase(name))
        strbuf_add_span(sb, name);
    else
        add_quoted_phrase(sb, name);
}

/* A comment in old style: parentheses must balance, so they are escaped. */
static void add_comment(struct strbuf *sb, struct span name)
{
    strbuf_add_str(sb, " (");
    for (size_t i = 0; i < name.len; i++) {
        if (strchr("()\\", name.ptr[i]))
            strbuf_add_char(sb, '\\');
        strbuf_add_char(sb, name.ptr[i]);
    }
    strbuf_add_char(sb, ')');
}

static void add_from(struct cleanup_msg *msg, const char *prefix)
{
    struct strbuf text = STRBUF_INIT, address = STRBUF_INIT;
    struct strbuf printable = STRBUF_INIT;
    struct span name;

    escape_printable(&printable, span_trim(span_str(msg->env.full_name)), ' ', true);
    name = strbuf_span(&printable);
    addr_quote(&address, msg->env.sender[0] ? span_str(msg->env.sender)
                                            : SPAN_LIT("MAILER-DAEMON"));
    strbuf_addf(&text, "%sFrom: ", prefix);
    if (name.len == 0 || !msg->env.sender[0]) {
        strbuf_add_span(&text, strbuf_span(&address));
    } else if (strcmp(msg->cs->cfg->header_from_format, "obsolete") == 0) {
        strbuf_add_span(&text, strbuf_span(&address));
        add_comment(&text, name);
    } else {
        add_phrase(msg, &text, name);
        strbuf_addf(&text, " <%s>", address.ptr);
    }
    write_text(msg, &text);
    strbuf_free(&address);
    strbuf_free(&printable);
}

/* Bcc does not count: it will be gone. */
static bool has_recipient_header(const struct cleanup_msg *msg)
{
    return header_was_seen(msg, HEADER_TO) || header_was_seen(msg, HEADER_CC) ||
           header_was_seen(msg, HEADER_RESENT_TO) ||
           header_was_seen(msg, HEADER_RESENT_CC);
}

/* A resent message gets a block of headers of its own (RFC 5322 section 3.6.6). */
void header_add_missing(struct cleanup_msg *msg)
{
    const char *prefix = msg->resent ? "Resent-" : "";
    bool complete = is_completed(msg), resent = msg->resent;

    if (complete &&
        !header_was_seen(msg, resent ? HEADER_RESENT_MESSAGE_ID : HEADER_MESSAGE_ID))
        add_message_id(msg, prefix);
    if (!msg->message_id && !header_was_seen(msg, HEADER_MESSAGE_ID))
        event_message_id(msg->out->id, "message-id", SPAN_LIT("<>"));
    if (!complete)
        return;
    if (!header_was_seen(msg, resent ? HEADER_RESENT_DATE : HEADER_DATE))
        add_date(msg, prefix);
    if (!header_was_seen(msg, resent ? HEADER_RESENT_FROM : HEADER_FROM))
        add_from(msg, prefix);
    if (!has_recipient_header(msg) && msg->cs->cfg->undisclosed_recipients_header[0])
        header_write(msg, span_str(msg->cs->cfg->undisclosed_recipients_header));
}
