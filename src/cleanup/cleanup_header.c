#include "cleanup/cleanup_header.h"

#include "util/msg.h"

/* Length of the name at the start of a header line; 0: this is no header. White
 * space in front of the colon is tolerated, as old software writes it. */
static size_t name_length(struct span line, size_t *value_start_out)
{
    size_t len = 0, colon;

    while (len < line.len && line.ptr[len] > ' ' && line.ptr[len] < 127 &&
           line.ptr[len] != ':')
        len++;
    colon = len;
    while (colon < line.len && (line.ptr[colon] == ' ' || line.ptr[colon] == '\t'))
        colon++;
    if (len == 0 || colon == line.len || line.ptr[colon] != ':')
        return 0;
    *value_start_out = colon + 1;
    return len;
}

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

/* Headers of remote clients are theirs: they are rewritten only when a domain
 * is set aside to make their addresses complete. */
static bool may_rewrite(const struct cleanup_msg *msg)
{
    return strcmp(msg->env.rewrite_context, "local") == 0 ||
           msg->cs->cfg->remote_header_rewrite_domain[0];
}

static void note_kind(struct cleanup_msg *msg, const struct header_kind *kind,
                      struct span value)
{
    msg->headers_seen |= kind->seen;
    if (span_istarts(kind->name, SPAN_LIT("resent-")))
        msg->resent = true;
    if (kind->special)
        kind->special(msg, kind, span_trim(value));
}

static void write_rewritten(struct cleanup_msg *msg, struct span name, struct span value)
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
    const struct header_kind *kind;
    size_t value_start = 0;

    name = span_first(text, name_length(text, &value_start));
    value = span_skip(text, value_start);
    kind = header_kind_find(name);
    if (kind)
        note_kind(msg, kind, value);
    if (is_dropped(msg->cs, name))
        return;
    if (kind && kind->use && may_rewrite(msg) &&
        cleanup_header_addresses(msg, value, kind->use & HEADER_SENDER, &rewritten)) {
        write_rewritten(msg, name, strbuf_span(&rewritten));
    } else if (value_start == name.len + 1) {
        header_write(msg, text);
    } else {
        write_rewritten(msg, name, span_ltrim(value));
    }
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

/* Collect: what goes beyond the limit of one header is cut off. */
static void append(struct cleanup_msg *msg, int type, struct span data, bool new_line)
{
    size_t limit = (size_t)msg->cs->cfg->header_size_limit;

    msg->header_partial = type == REC_FILTER_OR_CONT;
    if (msg->header_cut)
        return;
    if (msg->header.len + data.len + new_line > limit) {
        msg_warn("%s: header length limit exceeded, rest is dropped", msg->out->id);
        msg->header_cut = true;
        data = span_first(data, limit - msg->header.len - (limit > msg->header.len));
    }
    if (new_line && msg->header.len < limit)
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
    size_t value_start;

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
    else if (name_length(data, &value_start))
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
        cleanup_header_end(msg, true);
        cleanup_trailer_begin(msg);
        break;
    default:
        msg_warn("%s: unexpected record in the content", msg->out->id);
        cleanup_fail(msg, CLEANUP_STAT_BAD, "4.3.0", "");
        break;
    }
}
