#include "smtp/smtp.h"

#include "global/rec.h"
#include "util/msg.h"

/* Output while content is sent: few writes, little memory per session. */
#define CONTENT_BUFFER (64 * 1024)

static enum stream_status send_line(struct smtp_session *s, struct span line,
                                    bool at_start, bool ends)
{
    if (at_start && line.len > 0 && line.ptr[0] == '.')
        stream_write(s->stream, ".", 1);
    stream_write_span(s->stream, line);
    return ends ? stream_write(s->stream, "\r\n", 2) : stream_write_status(s->stream);
}

/* A line beyond the limit is broken with CR LF SPACE (RFC 5322, 2.1.1: 998). */
static enum stream_status send_record(struct smtp_delivery *d, struct smtp_session *s,
                                      struct span data, int type, size_t *column,
                                      bool *broken_out)
{
    size_t limit = (size_t)d->agent->p.line_length_limit;
    enum stream_status st = STREAM_OK;

    if (limit > 0 && *column + data.len > limit && !*broken_out) {
        *broken_out = true;
        msg_info("%s: breaking line > %zu bytes with <CR><LF>SPACE", d->req->queue_id,
                 limit);
    }
    while (limit > 0 && *column + data.len > limit && st == STREAM_OK) {
        size_t room = limit - *column;

        send_line(s, span_first(data, room), *column == 0, true);
        st = stream_write(s->stream, " ", 1);
        data = span_skip(data, room);
        *column = 1;
    }
    if (st == STREAM_OK)
        st = send_line(s, data, *column == 0, type == REC_LINE);
    *column = type == REC_LINE ? 0 : *column + data.len;
    return st;
}

enum stream_status smtp_send_content(struct smtp_delivery *d, struct smtp_session *s,
                                     bool *read_error_out)
{
    struct rec_reader reader;
    struct span data;
    enum stream_status st = STREAM_OK;
    size_t column = 0;
    bool broken = false;
    int type;

    *read_error_out = false;
    stream_set_bufsize(s->stream, CONTENT_BUFFER);
    stream_set_timeout(s->stream, d->agent->p.data_xfer_timeout * 1000);
    rec_reader_init(&reader, d->req->fd);
    rec_reader_seek(&reader, d->req->env.data_offset);
    while (st == STREAM_OK) {
        type = rec_read(&reader, &data);
        if (type == REC_LINE || type == REC_FILTER_OR_CONT) {
            st = send_record(d, s, data, type, &column, &broken);
        } else if (type == REC_EXTRACTED) {
            break;
        } else if (type != REC_PADDING && type != REC_POINTER) {
            *read_error_out = true;
            break;
        }
    }
    rec_reader_free(&reader);
    if (st == STREAM_OK && !*read_error_out && column > 0)
        st = stream_write(s->stream, "\r\n", 2);
    return st;
}
