#include "global/mailbox_copy.h"

#include <time.h>

#include "global/addr.h"

#define PIECE (64 * 1024)

static void add_from_line(struct strbuf *sb, const struct mailbox_message *message)
{
    char date[64];
    struct tm tm;

    strbuf_add_str(sb, "From ");
    if (*message->sender)
        addr_quote(sb, span_str(message->sender));
    else
        strbuf_add_str(sb, "MAILER-DAEMON");
    localtime_r(&message->when, &tm);
    strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm);
    strbuf_addf(sb, "  %s\n", date);
}

/* An address may hold anything but must not begin another header. */
static void add_header(struct strbuf *sb, const char *name, const char *address,
                       const char *before, const char *after)
{
    size_t start;

    if (!address)
        return;
    strbuf_addf(sb, "%s: %s", name, before);
    start = sb->len;
    addr_quote(sb, span_str(address));
    for (size_t i = start; i < sb->len; i++)
        if (sb->ptr[i] == '\n' || sb->ptr[i] == '\r')
            sb->ptr[i] = ' ';
    strbuf_addf(sb, "%s\n", after);
}

void mailbox_copy_init(struct mailbox_copy *copy, const struct mailbox_message *message,
                       unsigned flags)
{
    *copy = (struct mailbox_copy){.flags = flags};
    strbuf_init(&copy->buf);
    rec_reader_init(&copy->reader, message->fd);
    rec_reader_seek(&copy->reader, message->data_offset);
    if (flags & MAILBOX_FROM_LINE)
        add_from_line(&copy->buf, message);
    add_header(&copy->buf, "Return-Path", message->sender, "<", ">");
    add_header(&copy->buf, "X-Original-To", message->original_to, "", "");
    add_header(&copy->buf, "Delivered-To", message->delivered_to, "", "");
}

void mailbox_copy_free(struct mailbox_copy *copy)
{
    rec_reader_free(&copy->reader);
    strbuf_free(&copy->buf);
}

static void end_copy(struct mailbox_copy *copy, bool failed)
{
    copy->done = true;
    copy->failed = failed;
    if (copy->in_line)
        strbuf_add_char(&copy->buf, '\n');
    if (copy->flags & MAILBOX_BLANK_END)
        strbuf_add_char(&copy->buf, '\n');
}

static void add_text(struct mailbox_copy *copy, int type, struct span data)
{
    if (!copy->in_line && (copy->flags & MAILBOX_QUOTE_FROM) &&
        span_starts(data, SPAN_LIT("From ")))
        strbuf_add_char(&copy->buf, '>');
    strbuf_add_span(&copy->buf, data);
    copy->in_line = type != REC_LINE;
    if (!copy->in_line)
        strbuf_add_char(&copy->buf, '\n');
}

struct span mailbox_copy_next(struct mailbox_copy *copy)
{
    struct span data;

    if (copy->started)
        strbuf_reset(&copy->buf);
    copy->started = true;
    if (copy->done)
        return SPAN_EMPTY;
    while (copy->buf.len < PIECE && !copy->done) {
        int type = rec_read(&copy->reader, &data);

        if (type == REC_LINE || type == REC_FILTER_OR_CONT)
            add_text(copy, type, data);
        else if (type == REC_EXTRACTED)
            end_copy(copy, false);
        else if (type != REC_PADDING && type != REC_POINTER)
            end_copy(copy, true);
    }
    return copy->failed ? SPAN_EMPTY : strbuf_span(&copy->buf);
}
