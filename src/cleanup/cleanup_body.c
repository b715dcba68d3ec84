#include "cleanup/cleanup.h"

#include "util/msg.h"

static bool has_stray_line_end(const struct cleanup_msg *msg, struct span data)
{
    return msg->cs->cfg->cleanup_replace_stray_cr_lf && data.len > 0 &&
           (memchr(data.ptr, '\r', data.len) || memchr(data.ptr, '\n', data.len));
}

static void replace_stray(struct strbuf *sb)
{
    for (size_t i = 0; i < sb->len; i++)
        if (sb->ptr[i] == '\r' || sb->ptr[i] == '\n')
            sb->ptr[i] = ' ';
}

static void filter_bytes(struct cleanup_msg *msg, struct strbuf *sb)
{
    size_t len = 0;

    for (size_t i = 0; i < sb->len; i++) {
        unsigned char c = (unsigned char)sb->ptr[i];

        if (msg->cs->reject_chars[c])
            cleanup_fail(msg, CLEANUP_STAT_CONTENT, "5.7.1", "disallowed character");
        if (!msg->cs->strip_chars[c])
            sb->ptr[len++] = sb->ptr[i];
    }
    strbuf_truncate(sb, len);
}

struct span cleanup_content_bytes(struct cleanup_msg *msg, struct span data)
{
    bool stray = has_stray_line_end(msg, data);

    if (!stray && !msg->cs->filter_bytes)
        return data;
    strbuf_reset(&msg->scratch);
    strbuf_add_span(&msg->scratch, data);
    if (msg->cs->filter_bytes)
        filter_bytes(msg, &msg->scratch);
    if (stray)
        replace_stray(&msg->scratch);
    return strbuf_span(&msg->scratch);
}

/* Take content records off *rest up to one that is changed or no content; what
 * stays as it was is copied in one piece. Returns the type of the stopper. */
static int copy_run(struct cleanup_msg *msg, struct span *rest, struct span *data_out,
                    struct span *changed_out)
{
    struct span run = *rest, next = *rest;
    int type;

    do {
        *rest = next;
        type = rec_next(&next, data_out);
        if (type != REC_LINE && type != REC_FILTER_OR_CONT && type != REC_PADDING)
            break;
        *changed_out = cleanup_content_bytes(msg, *data_out);
    } while (changed_out->ptr == data_out->ptr);
    run.len -= rest->len;
    if (!msg->status)
        strbuf_add_span(&msg->out->buf, run);
    *rest = next;
    return type;
}

void cleanup_body_records(struct cleanup_msg *msg, struct span *input)
{
    struct span data, changed;

    while (msg->stage == CLEANUP_BODY) {
        int type = copy_run(msg, input, &data, &changed);

        switch (type) {
        case REC_LINE:
        case REC_FILTER_OR_CONT:
        case REC_PADDING:
            if (!msg->status)
                rec_add(&msg->out->buf, type, changed);
            break;
        case REC_EXTRACTED:
            cleanup_trailer_begin(msg);
            break;
        case REC_EOF:
            return;
        default:
            msg_warn("%s: unexpected record in the content", msg->out->id);
            cleanup_fail(msg, CLEANUP_STAT_BAD, "4.3.0", "");
            input->len = 0;
            return;
        }
    }
}
