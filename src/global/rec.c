#include "global/rec.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define WINDOW_MIN 8192
#define HEADER_MAX 6 /* type and up to five length bytes */

/* -- appending -- */

static void add_header(struct strbuf *sb, int type, size_t len)
{
    char head[HEADER_MAX];
    size_t n = 0;

    if (len > REC_LEN_MAX)
        panic("rec_add: record of %zu bytes", len);
    head[n++] = (char)type;
    do {
        head[n] = (char)(len & 0x7f);
        len >>= 7;
        if (len)
            head[n] |= (char)0x80;
        n++;
    } while (len);
    strbuf_add(sb, head, n);
}

void rec_add(struct strbuf *sb, int type, struct span data)
{
    strbuf_reserve(sb, data.len + HEADER_MAX);
    add_header(sb, type, data.len);
    if (data.len)
        strbuf_add(sb, data.ptr, data.len);
}

void rec_add_str(struct strbuf *sb, int type, const char *data)
{
    rec_add(sb, type, span_str(data));
}

void rec_addf(struct strbuf *sb, int type, const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    rec_add(sb, type, strbuf_span(&text));
    strbuf_free(&text);
}

void rec_add_attr(struct strbuf *sb, const char *name, struct span value)
{
    size_t name_len = strlen(name);

    add_header(sb, REC_ATTR, name_len + 1 + value.len);
    strbuf_add(sb, name, name_len);
    strbuf_add_char(sb, '=');
    strbuf_add_span(sb, value);
}

void rec_add_line(struct strbuf *sb, struct span line, size_t line_limit)
{
    while (line.len > line_limit) {
        rec_add(sb, REC_FILTER_OR_CONT, span_first(line, line_limit));
        line = span_skip(line, line_limit);
    }
    rec_add(sb, REC_LINE, line);
}

/* -- taking apart -- */

/* Length of type and length bytes; 0: more input needed, -1: bad length. */
static int parse_header(struct span input, size_t *len_out)
{
    size_t len = 0;

    for (size_t n = 1; n < HEADER_MAX; n++) {
        if (n >= input.len)
            return 0;
        len |= (size_t)((unsigned char)input.ptr[n] & 0x7f) << (7 * (n - 1));
        if (!((unsigned char)input.ptr[n] & 0x80)) {
            *len_out = len;
            return len > REC_LEN_MAX ? -1 : (int)n + 1;
        }
    }
    return -1;
}

int rec_next(struct span *input, struct span *data_out)
{
    size_t len;
    int type, head;

    if (input->len == 0)
        return REC_EOF;
    head = parse_header(*input, &len);
    if (head <= 0 || len > input->len - (size_t)head)
        return REC_BROKEN;
    type = (unsigned char)input->ptr[0];
    *data_out = span_of(input->ptr + head, len);
    *input = span_skip(*input, (size_t)head + len);
    return type;
}

/* -- reading files -- */

void rec_reader_init(struct rec_reader *r, int fd)
{
    *r = (struct rec_reader){.fd = fd, .follow_pointers = true};
    r->file_size = lseek(fd, 0, SEEK_END);
    if (r->file_size < 0)
        r->file_size = 0;
}

void rec_reader_free(struct rec_reader *r)
{
    free(r->buf);
    r->buf = NULL;
    r->buf_len = r->buf_cap = 0;
}

void rec_reader_seek(struct rec_reader *r, int64_t offset)
{
    r->next = offset;
    r->jumped = false;
    r->travelled = 0;
}

/* Make want bytes at r->next available in the window, or as many as there are. */
static struct span window(struct rec_reader *r, size_t want)
{
    int64_t skip = r->next - r->buf_offset;
    ssize_t got;

    if (r->next < 0 || r->next > r->file_size)
        return SPAN_EMPTY;
    if (skip >= 0 && (size_t)skip < r->buf_len && r->buf_len - (size_t)skip >= want)
        return span_of(r->buf + skip, r->buf_len - (size_t)skip);
    if (r->buf_cap < want || !r->buf) {
        r->buf_cap = want < WINDOW_MIN ? WINDOW_MIN : want;
        r->buf = xrealloc(r->buf, r->buf_cap);
    }
    r->buf_offset = r->next;
    r->buf_len = 0;
    while (r->buf_len < want) {
        got = pread(r->fd, r->buf + r->buf_len, r->buf_cap - r->buf_len,
                    r->buf_offset + (int64_t)r->buf_len);
        if (got < 0)
            r->io_errno = errno;
        if (got <= 0)
            break;
        r->buf_len += (size_t)got;
    }
    return span_of(r->buf, r->buf_len);
}

static int read_one(struct rec_reader *r, struct span *data_out)
{
    struct span have = window(r, HEADER_MAX);
    size_t len;
    int type, head;

    r->offset = r->next;
    if (have.len == 0)
        return r->next == r->file_size ? REC_EOF : REC_BROKEN;
    head = parse_header(have, &len);
    if (head <= 0)
        return REC_BROKEN;
    if (have.len < (size_t)head + len)
        have = window(r, (size_t)head + len);
    if (have.len < (size_t)head + len)
        return REC_BROKEN;
    type = (unsigned char)have.ptr[0];
    *data_out = span_of(have.ptr + head, len);
    r->next += head + (int64_t)len;
    return type;
}

static bool follow(struct rec_reader *r, struct span data)
{
    int64_t target;

    if (!span_i64(span_trim(data), &target) || target < 0 || target > r->file_size)
        return false;
    if (target == 0)
        return true;
    r->jumped = true;
    r->next = target;
    return true;
}

/* No record is meant to be read twice: after a jump, reading more bytes than the
 * file has means going round in circles. */
static bool is_lost(struct rec_reader *r)
{
    if (r->jumped)
        r->travelled += r->next - r->offset;
    return r->travelled > r->file_size;
}

int rec_read(struct rec_reader *r, struct span *data_out)
{
    int type;

    while ((type = read_one(r, data_out)) == REC_POINTER && r->follow_pointers)
        if (is_lost(r) || !follow(r, *data_out))
            return REC_BROKEN;
    return is_lost(r) ? REC_BROKEN : type;
}

static const struct {
    int type;
    const char *name;
} rec_names[] = {
    {REC_EOF, "end-of-file"},
    {REC_SIZE, "message_size"},
    {REC_TIME, "message_arrival_time"},
    {REC_CTIME, "queue_file_create_time"},
    {REC_FULL_NAME, "sender_fullname"},
    {REC_INSPECT, "content_inspector"},
    {REC_FILTER_OR_CONT, "content_filter"},
    {REC_SENDER, "sender"},
    {REC_DONE, "done_recipient"},
    {REC_RCPT, "recipient"},
    {REC_ORIG_RCPT, "original_recipient"},
    {REC_CANCELLED, "canceled_recipient"},
    {REC_WARN_TIME, "warning_message_time"},
    {REC_ATTR, "named_attribute"},
    {REC_KILLED, "killed_record"},
    {REC_REDIRECT, "redirect_to"},
    {REC_FLAGS, "flags"},
    {REC_MESSAGE, "message_content"},
    {REC_LINE, "regular_text"},
    {REC_PADDING, "padding"},
    {REC_EXTRACTED, "extracted_info"},
    {REC_RETURN_RECEIPT, "return_receipt"},
    {REC_ERRORS_TO, "errors_to"},
    {REC_PRIORITY, "priority"},
    {REC_POINTER, "pointer_record"},
    {REC_VERP, "verp_delimiters"},
    {REC_DSN_RET, "dsn_return_flags"},
    {REC_DSN_ENVID, "dsn_envelope_id"},
    {REC_DSN_ORCPT, "dsn_original_recipient"},
    {REC_DSN_NOTIFY, "dsn_notify_flags"},
    {REC_END, "message_file_end"},
};

const char *rec_type_name(int type)
{
    for (size_t i = 0; i < ARRAY_LEN(rec_names); i++)
        if (rec_names[i].type == type)
            return rec_names[i].name;
    return "unknown_record_type";
}
