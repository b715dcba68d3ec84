#include "cleanup/cleanup_header.h"

#include "global/event.h"
#include "util/msg.h"

static void on_received(struct cleanup_msg *msg, const struct header_kind *kind,
                        struct span value)
{
    (void)kind;
    (void)value;
    if (++msg->hop_count > msg->cs->cfg->hopcount_limit)
        cleanup_fail(msg, CLEANUP_STAT_HOPS, "", "");
}

static void on_message_id(struct cleanup_msg *msg, const struct header_kind *kind,
                          struct span value)
{
    if (!(kind->seen & SEEN_MESSAGE_ID)) {
        event_message_id(msg->out->id, "resent-message-id", value);
        return;
    }
    if (!msg->message_id)
        msg->message_id = arena_span_str(msg->arena, value);
    event_message_id(msg->out->id, "message-id", value);
}

static void on_encoding(struct cleanup_msg *msg, const struct header_kind *kind,
                        struct span value)
{
    (void)kind;
    if (!msg->cs->cfg->detect_8bit_encoding_header)
        return;
    if (span_ieq_str(value, "8bit") || span_ieq_str(value, "binary"))
        msg->encoding = "8bit";
}

/* RFC 5322 and what is in use beside it. */
static const struct header_kind kinds[] = {
    {SPAN_LIT("Apparently-To"), HEADER_RCPT, 0, NULL},
    {SPAN_LIT("Bcc"), HEADER_RCPT, SEEN_RCPT, NULL},
    {SPAN_LIT("Cc"), HEADER_RCPT, SEEN_RCPT, NULL},
    {SPAN_LIT("Content-Transfer-Encoding"), 0, 0, on_encoding},
    {SPAN_LIT("Date"), 0, SEEN_DATE, NULL},
    {SPAN_LIT("Disposition-Notification-To"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("Errors-To"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("From"), HEADER_SENDER, SEEN_FROM, NULL},
    {SPAN_LIT("Mail-Followup-To"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("Message-Id"), 0, SEEN_MESSAGE_ID, on_message_id},
    {SPAN_LIT("Received"), 0, 0, on_received},
    {SPAN_LIT("Reply-To"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("Resent-Bcc"), HEADER_RCPT, SEEN_RESENT_RCPT, NULL},
    {SPAN_LIT("Resent-Cc"), HEADER_RCPT, SEEN_RESENT_RCPT, NULL},
    {SPAN_LIT("Resent-Date"), 0, SEEN_RESENT_DATE, NULL},
    {SPAN_LIT("Resent-From"), HEADER_SENDER, SEEN_RESENT_FROM, NULL},
    {SPAN_LIT("Resent-Message-Id"), 0, SEEN_RESENT_MESSAGE_ID, on_message_id},
    {SPAN_LIT("Resent-Reply-To"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("Resent-Sender"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("Resent-To"), HEADER_RCPT, SEEN_RESENT_RCPT, NULL},
    {SPAN_LIT("Return-Receipt-To"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("Sender"), HEADER_SENDER, 0, NULL},
    {SPAN_LIT("To"), HEADER_RCPT, SEEN_RCPT, NULL},
};

const struct header_kind *header_kind_find(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].name.len == name.len && span_ieq(kinds[i].name, name))
            return &kinds[i];
    return NULL;
}
