#include "cleanup/cleanup_header.h"

#include "global/event.h"
#include "util/msg.h"

static bool is_dropped(const struct cleanup_service *cs, struct span name)
{
    for (size_t i = 0; i < cs->drop_header_count; i++)
        if (span_ieq(cs->drop_headers[i], name))
            return true;
    return false;
}

void header_write(struct cleanup_msg *msg, struct span text)
{
    size_t limit = (size_t)msg->cs->cfg->line_length_limit;

    if (msg->status)
        return;
    do {
        rec_add_line(&msg->out->buf, span_cut(&text, '\n'), limit);
    } while (text.ptr);
}

bool header_may_rewrite(const struct cleanup_msg *msg)
{
    return strcmp(msg->env.rewrite_context, "local") == 0 ||
           msg->cs->cfg->remote_header_rewrite_domain[0];
}

static void note_received(struct cleanup_msg *msg)
{
    if (++msg->hop_count < msg->cs->cfg->hopcount_limit ||
        msg->status & CLEANUP_STAT_HOPS)
        return;
    msg_warn("%s: message rejected: hopcount exceeded", msg->out->id);
    cleanup_fail(msg, CLEANUP_STAT_HOPS, "", "");
}

static void note_encoding(struct cleanup_msg *msg, struct span value)
{
    if (msg->cs->cfg->detect_8bit_encoding_header &&
        (span_ieq_str(value, "8bit") || span_ieq_str(value, "binary")))
        msg->encoding = "8bit";
}

static void note_header(struct cleanup_msg *msg, const struct header_info *info,
                        struct span value)
{
    msg->headers_seen |= (uint64_t)1 << info->id;
    if (info->flags & HEADER_RESENT)
        msg->resent = true;
    switch (info->id) {
    case HEADER_RECEIVED:
        note_received(msg);
        break;
    case HEADER_MESSAGE_ID:
        if (!msg->message_id)
            msg->message_id = arena_span_str(msg->arena, value);
        event_message_id(msg->out->id, "message-id", value);
        break;
    case HEADER_RESENT_MESSAGE_ID:
        event_message_id(msg->out->id, "resent-message-id", value);
        break;
    case HEADER_CONTENT_TRANSFER_ENCODING:
        note_encoding(msg, value);
        break;
    default:
        break;
    }
}

static void write_header(struct cleanup_msg *msg, struct span name, struct span value)
{
    struct strbuf text = STRBUF_INIT;

    strbuf_add_span(&text, name);
    strbuf_add_str(&text, ": ");
    strbuf_add_span(&text, value);
    header_write(msg, strbuf_span(&text));
    strbuf_free(&text);
}

static void process_header(struct cleanup_msg *msg)
{
    struct span text = strbuf_span(&msg->header), name, value;
    struct strbuf rewritten = STRBUF_INIT;
    const struct header_info *info;

    if (!header_parse_line(text, &name, &value))
        return; /* cut off by a header_size_limit that is shorter than the name */
    info = header_lookup(name);
    if (info)
        note_header(msg, info, span_trim(value));
    if (is_dropped(msg->cs, name))
        return;
    if (info && (info->flags & HEADER_ADDRESS) && header_may_rewrite(msg) &&
        cleanup_header_addresses(msg, span_ltrim(value), info->flags & HEADER_SENDER,
                                 &rewritten))
        write_header(msg, name, strbuf_span(&rewritten));
    else if (text.ptr[name.len] == ':')
        header_write(msg, text);
    else
        write_header(msg, name, span_ltrim(value));
    strbuf_free(&rewritten);
}

static void flush_header(struct cleanup_msg *msg)
{
    if (msg->header.len == 0)
        return;
    process_header(msg);
    strbuf_reset(&msg->header);
    msg->header_partial = msg->header_cut = false;
}

void cleanup_header_end(struct cleanup_msg *msg, bool add_empty_line)
{
    flush_header(msg);
    header_add_missing(msg);
    if (add_empty_line)
        header_write(msg, SPAN_EMPTY);
    msg->stage = CLEANUP_BODY;
}

/* Collect. Of a header that exceeds the limit the beginning stays: whole lines, or
 * part of the first one. */
static void append(struct cleanup_msg *msg, int type, struct span data, bool new_line)
{
    size_t room = (size_t)msg->cs->cfg->header_size_limit - msg->header.len;

    msg->header_partial = type == REC_FILTER_OR_CONT;
    if (msg->header_cut)
        return;
    if (data.len + new_line > room) {
        msg_warn("%s: header length limit exceeded, rest is dropped", msg->out->id);
        msg->header_cut = true;
        if (new_line)
            return;
        data = span_first(data, room);
    }
    if (new_line)
        strbuf_add_char(&msg->header, '\n');
    strbuf_add_span(&msg->header, data);
}

/* The record is no header: the body starts with it. */
static void body_starts(struct cleanup_msg *msg, int type, struct span data)
{
    struct strbuf record = STRBUF_INIT;
    struct span input;

    cleanup_header_end(msg, true);
    rec_add(&record, type, data);
    input = strbuf_span(&record);
    cleanup_body_records(msg, &input);
    strbuf_free(&record);
}

static void content_record(struct cleanup_msg *msg, int type, struct span data)
{
    struct span name, value;

    if (msg->header_partial) {
        append(msg, type, data, false);
        return;
    }
    if (msg->header.len && data.len && (data.ptr[0] == ' ' || data.ptr[0] == '\t')) {
        append(msg, type, data, true);
        return;
    }
    flush_header(msg);
    if (data.len == 0 && type == REC_LINE)
        cleanup_header_end(msg, true);
    else if (header_parse_line(data, &name, &value))
        append(msg, type, data, false);
    else
        body_starts(msg, type, data);
}

void cleanup_header_record(struct cleanup_msg *msg, int type, struct span data)
{
    switch (type) {
    case REC_LINE:
    case REC_FILTER_OR_CONT:
        content_record(msg, type, cleanup_content_bytes(msg, data));
        break;
    case REC_PADDING:
        break;
    case REC_EXTRACTED:
        cleanup_header_end(msg, false);
        cleanup_trailer_begin(msg);
        break;
    default:
        msg_warn("%s: unexpected record in the content", msg->out->id);
        cleanup_fail(msg, CLEANUP_STAT_BAD, "4.3.0", "");
        break;
    }
}
