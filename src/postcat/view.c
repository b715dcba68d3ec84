/* One queue file as text. Which parts are shown depends on where in the file a record
 * stands, not on its type: a record in the wrong place is what one looks for. */
#include "postcat/postcat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "global/header.h"
#include "util/msg.h"

#define REVERSE_JUMPS_MAX 10001 /* then the pointers go round in circles */
#define LENGTH_BYTES_MAX  5

enum part { PART_ENVELOPE, PART_HEADERS, PART_BODY, PART_EXTRACTED };

struct view {
    const struct options *opt;
    const char *path;
    struct rec_reader reader;
    enum part part;
    bool line_continues; /* the last content record was a piece of a line */
    bool line_open;      /* ... and was shown: the cursor is behind it */
    bool broken;
    int reverse_jumps;
};

static bool is_shown(const struct view *v)
{
    switch (v->part) {
    case PART_HEADERS:
        return v->opt->headers;
    case PART_BODY:
        return v->opt->body;
    default:
        return v->opt->envelope;
    }
}

static void put_prefix(const struct view *v, int type)
{
    if (v->opt->file_prefix && (!v->line_open || v->opt->offsets))
        printf("%s: ", v->path);
    if (v->opt->offsets)
        printf("%9lld ", (long long)v->reader.offset);
    if (v->opt->decimal_type)
        printf("%3d ", type);
}

static void put_marker(const struct view *v, int type, const char *name)
{
    if (!v->opt->envelope)
        return;
    put_prefix(v, type);
    printf("*** %s %s ***\n", name, v->path);
}

static void put_bytes(struct span data)
{
    fwrite(data.ptr, 1, data.len, stdout);
}

/* Text ends at a NUL, as for every program that takes such a record for a string. */
static void put_text(const struct view *v, int type, const char *label,
                     struct span data)
{
    const char *nul = memchr(data.ptr, '\0', data.len);

    put_prefix(v, type);
    printf("%s: ", label);
    put_bytes(nul ? span_of(data.ptr, (size_t)(nul - data.ptr)) : data);
    putchar('\n');
}

static void put_time(const struct view *v, int type, const char *label,
                     struct span data)
{
    struct span seconds = data;
    char text[64] = "";
    int64_t value = 0;
    struct tm tm;
    time_t when;

    data = span_trim(data);
    seconds = span_cut(&data, ' ');
    span_i64(seconds, &value);
    when = (time_t)value;
    if (localtime_r(&when, &tm))
        strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &tm);
    put_text(v, type, label, span_str(text));
}

static void put_attribute(const struct view *v, struct span data)
{
    struct span value = data, name = span_cut(&value, '=');

    if (!value.ptr)
        msg_warn("%s: malformed attribute: missing '=' after attribute name: %.*s",
                 v->path, SPAN_ARG(span_first(data, 100)));
    else if (name.len == 0)
        msg_warn("%s: malformed attribute: missing attribute name: %.*s", v->path,
                 SPAN_ARG(span_first(data, 100)));
    else if (span_eq_str(name, "create_time"))
        put_time(v, REC_ATTR, "create_time", value);
    else
        put_text(v, REC_ATTR, "named_attribute", data);
}

static void check_size(struct span data)
{
    struct span rest = data, field;
    int64_t value, size = -1, offset = 0;

    if (span_token(&rest, " ", &field) && span_i64(field, &value))
        size = value;
    if (span_token(&rest, " ", &field) && span_i64(field, &value))
        offset = value;
    if (size < 0 || offset <= 0)
        msg_warn("invalid size record: %.*s", SPAN_ARG(span_first(data, 100)));
}

/* -- content -- */

/* A line that comes in pieces is judged by its first piece. */
static bool begins_body(struct span line)
{
    struct span name, value;

    if (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
        return false;
    return !header_parse_line(line, &name, &value);
}

static void put_content(struct view *v, int type, struct span data)
{
    bool piece = type == REC_FILTER_OR_CONT;

    if (v->part == PART_HEADERS && !v->line_continues && begins_body(data))
        v->part = PART_BODY;
    v->line_continues = piece;
    if (!is_shown(v))
        return;
    if (msg_verbose) {
        put_prefix(v, type);
        printf("%s: ", piece ? "unterminated_text" : rec_type_name(type));
        put_bytes(data);
        putchar('\n');
        return;
    }
    put_prefix(v, type);
    put_bytes(data);
    v->line_open = piece && !v->opt->offsets;
    if (!v->line_open)
        putchar('\n');
}

/* -- records -- */

static void enter(struct view *v, int type, enum part part, const char *name,
                  bool in_order)
{
    static const char *const what[] = {[PART_HEADERS] = "message content marker",
                                       [PART_EXTRACTED] = "extracted segment marker"};

    if (!in_order)
        msg_warn("%s: out-of-order %s", v->path, what[part]);
    v->part = part;
    v->line_continues = false;
    put_marker(v, type, name);
}

static void close_line(struct view *v)
{
    if (v->line_open)
        putchar('\n');
    v->line_open = false;
}

static void put_record(const struct view *v, int type, struct span data)
{
    switch (type) {
    case REC_POINTER:
    case REC_PADDING:
        if (msg_verbose)
            put_text(v, type, rec_type_name(type), data);
        break;
    case REC_TIME:
    case REC_WARN_TIME:
        put_time(v, type, rec_type_name(type), data);
        break;
    case REC_ATTR:
        put_attribute(v, data);
        break;
    case REC_SIZE:
        put_text(v, type, rec_type_name(type), data);
        check_size(data);
        break;
    default:
        put_text(v, type, rec_type_name(type), data);
    }
}

static bool in_content(const struct view *v)
{
    return v->part == PART_HEADERS || v->part == PART_BODY;
}

/* False: the end, where one reads in logical order. */
static bool show_record(struct view *v, int type, struct span data)
{
    if (type == REC_LINE || (type == REC_FILTER_OR_CONT && in_content(v))) {
        put_content(v, type, data);
        return true;
    }
    if (is_shown(v) || v->line_open)
        close_line(v);
    switch (type) {
    case REC_MESSAGE:
        enter(v, type, PART_HEADERS, "MESSAGE CONTENTS", v->part == PART_ENVELOPE);
        return true;
    case REC_EXTRACTED:
        enter(v, type, PART_EXTRACTED, "HEADER EXTRACTED", in_content(v));
        return true;
    case REC_END:
        if (in_content(v))
            msg_warn("%s: out-of-order message end marker", v->path);
        put_marker(v, type, "MESSAGE FILE END");
        return v->opt->raw;
    }
    if (is_shown(v))
        put_record(v, type, data);
    return true;
}

/* -- the file -- */

static bool follow(struct view *v, struct span data)
{
    int64_t target;

    if (v->opt->raw)
        return true;
    data = span_trim(data);
    if (!span_i64(data, &target) || target < 0) {
        msg_warn("%s: malformed pointer record value: %.*s", v->path,
                 SPAN_ARG(span_first(data, 100)));
        return false;
    }
    if (target == 0)
        return true;
    if (target <= v->reader.offset && ++v->reverse_jumps > REVERSE_JUMPS_MAX) {
        msg_warn("%s: too many reverse jump records", v->path);
        return false;
    }
    rec_reader_seek(&v->reader, target);
    return true;
}

/* What is wrong with the record that the reader could not take. */
static void diagnose(const struct view *v)
{
    unsigned char head[1 + LENGTH_BYTES_MAX];
    ssize_t got = pread(v->reader.fd, head, sizeof head, (off_t)v->reader.offset);
    uint64_t len = 0;

    if (v->reader.io_errno != 0 || got <= 0) {
        msg_warn("%s: read at offset %lld: %s", v->path, (long long)v->reader.offset,
                 strerror(v->reader.io_errno ? v->reader.io_errno : errno));
        return;
    }
    for (ssize_t i = 1; i < got; i++) {
        len |= (uint64_t)(head[i] & 0x7f) << (7 * (i - 1));
        if (head[i] & 0x80)
            continue;
        if (len > INT32_MAX)
            msg_warn("%s: illegal length %d, record type %d", v->path, (int)len, *head);
        else if (len > REC_LEN_MAX &&
                 v->reader.offset + (int64_t)len < v->reader.file_size)
            msg_warn("%s: record of %lld bytes, record type %d", v->path,
                     (long long)len, *head);
        else
            msg_warn("%s: unexpected EOF in data, record type %d length %lld", v->path,
                     *head, (long long)len);
        return;
    }
    if (got < (ssize_t)sizeof head)
        msg_warn("%s: unexpected EOF reading length, record type %d", v->path, *head);
    else
        msg_warn("%s: illegal length, record type %d", v->path, *head);
}

/* What is to come is not wanted. */
static bool is_done(const struct view *v)
{
    if (v->opt->envelope)
        return false;
    return v->part == PART_EXTRACTED || (v->part == PART_BODY && !v->opt->body);
}

static void show_records(struct view *v)
{
    struct span data;
    int type;

    while ((type = rec_read(&v->reader, &data)) >= 0) {
        if (!show_record(v, type, data) || is_done(v))
            break;
        if (type == REC_POINTER && !follow(v, data)) {
            v->broken = true;
            break;
        }
        if (v->reader.next > v->reader.file_size)
            break; /* a pointer beyond the end */
    }
    if (type == REC_BROKEN) {
        diagnose(v);
        v->broken = true;
    }
    close_line(v);
}

/* Only what may stand in an envelope begins a queue file. */
static bool is_queue_file(const struct view *v)
{
    char first;

    return pread(v->reader.fd, &first, 1, 0) != 1 ||
           strchr("MCTcFILSDRO/WVA>K<ion", first);
}

bool view_file(const struct options *opt, const char *path, int fd)
{
    struct view v = {.opt = opt, .path = path};

    rec_reader_init(&v.reader, fd);
    v.reader.follow_pointers = false;
    if (opt->start > 0) {
        rec_reader_seek(&v.reader, opt->start);
    } else if (is_queue_file(&v)) {
        if (opt->envelope)
            printf("%s%s*** ENVELOPE RECORDS %s ***\n", opt->file_prefix ? path : "",
                   opt->file_prefix ? ": " : "", path);
    } else {
        msg_warn("%s: input is not a valid queue file", path);
        rec_reader_free(&v.reader);
        return true;
    }
    if (v.reader.next <= v.reader.file_size)
        show_records(&v);
    rec_reader_free(&v.reader);
    return !v.broken;
}
