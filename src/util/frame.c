#include "util/frame.h"

#define ATTR_NAME_MAX 255

static void put_u32(char *p, uint32_t value)
{
    p[0] = (char)(value & 0xff);
    p[1] = (char)(value >> 8 & 0xff);
    p[2] = (char)(value >> 16 & 0xff);
    p[3] = (char)(value >> 24 & 0xff);
}

static uint32_t get_u32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 |
           (uint32_t)u[3] << 24;
}

/* Room for len bytes at the end of sb, to be filled by the caller. */
static char *append_raw(struct strbuf *sb, size_t len)
{
    char *p;

    strbuf_reserve(sb, len);
    p = sb->ptr + sb->len;
    sb->len += len;
    sb->ptr[sb->len] = '\0';
    return p;
}

size_t frame_begin(struct strbuf *sb, uint32_t id)
{
    size_t mark = sb->len;
    char *p = append_raw(sb, FRAME_HEADER_LEN);

    put_u32(p, 0);
    put_u32(p + 4, id);
    return mark;
}

void frame_end(struct strbuf *sb, size_t mark)
{
    size_t len = sb->len - mark - 4;

    if (len > FRAME_MAX)
        panic("frame_end: frame of %zu bytes", len);
    put_u32(sb->ptr + mark, (uint32_t)len);
}

/* Name and value length; returns where the value goes. */
static char *append_attr(struct strbuf *sb, const char *name, size_t value_len)
{
    size_t name_len = strlen(name);
    char *p;

    if (name_len == 0 || name_len > ATTR_NAME_MAX)
        panic("frame: attribute name of %zu bytes", name_len);
    if (value_len > FRAME_MAX)
        panic("frame: attribute %s of %zu bytes", name, value_len);
    p = append_raw(sb, 1 + name_len + 4 + value_len);
    *p++ = (char)name_len;
    memcpy(p, name, name_len);
    p += name_len;
    put_u32(p, (uint32_t)value_len);
    return p + 4;
}

void frame_span(struct strbuf *sb, const char *name, struct span value)
{
    char *p = append_attr(sb, name, value.len);

    if (value.len)
        memcpy(p, value.ptr, value.len);
}

void frame_str(struct strbuf *sb, const char *name, const char *value)
{
    frame_span(sb, name, span_str(value));
}

void frame_num(struct strbuf *sb, const char *name, int64_t value)
{
    char digits[24];
    char *p = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--p = '-';
    frame_span(sb, name, span_of(p, (size_t)(digits + sizeof digits - p)));
}

size_t frame_group_begin(struct strbuf *sb, const char *name)
{
    append_attr(sb, name, 0);
    return sb->len;
}

void frame_group_end(struct strbuf *sb, size_t mark)
{
    size_t len = sb->len - mark;

    if (len > FRAME_MAX)
        panic("frame_group_end: group of %zu bytes", len);
    put_u32(sb->ptr + mark - 4, (uint32_t)len);
}

/* The attribute at the start of body; false when it does not fit in there. */
static bool cut_attr(struct span *body, struct frame_attr *attr)
{
    size_t name_len, value_len;

    if (body->len < 1)
        return false;
    name_len = (unsigned char)body->ptr[0];
    if (name_len == 0 || body->len < 1 + name_len + 4)
        return false;
    value_len = get_u32(body->ptr + 1 + name_len);
    if (value_len > body->len - (1 + name_len + 4))
        return false;
    attr->name = span_of(body->ptr + 1, name_len);
    attr->value = span_of(body->ptr + 1 + name_len + 4, value_len);
    *body = span_of(attr->value.ptr + value_len,
                    body->len - (1 + name_len + 4) - value_len);
    return true;
}

bool frame_next(struct span *body, struct frame_attr *attr_out)
{
    return cut_attr(body, attr_out);
}

bool frame_group_check(struct span value)
{
    struct frame_attr attr;

    while (value.len > 0) {
        if (!cut_attr(&value, &attr))
            return false;
    }
    return true;
}

enum frame_parse frame_parse(struct span buf, struct frame *frame_out, size_t *used_out)
{
    uint32_t len;

    if (buf.len < 4)
        return FRAME_PARTIAL;
    len = get_u32(buf.ptr);
    if (len < 4 || len > FRAME_MAX)
        return FRAME_BROKEN;
    if (buf.len - 4 < len)
        return FRAME_PARTIAL;
    frame_out->id = get_u32(buf.ptr + 4);
    frame_out->body = span_of(buf.ptr + FRAME_HEADER_LEN, len - 4);
    if (!frame_group_check(frame_out->body))
        return FRAME_BROKEN;
    *used_out = 4 + (size_t)len;
    return FRAME_COMPLETE;
}

static bool get_named(struct span body, const char *name, size_t name_len,
                      struct span *value_out)
{
    struct frame_attr attr;

    while (cut_attr(&body, &attr)) {
        if (attr.name.len == name_len && memcmp(attr.name.ptr, name, name_len) == 0) {
            *value_out = attr.value;
            return true;
        }
    }
    return false;
}

bool frame_get(struct span body, const char *name, struct span *value_out)
{
    return get_named(body, name, strlen(name), value_out);
}

struct frame_reader frame_reader(struct span body)
{
    return (struct frame_reader){.body = body, .missing = NULL};
}

static void note_missing(struct frame_reader *r, const char *name)
{
    if (!r->missing)
        r->missing = name;
}

struct span frame_want_span(struct frame_reader *r, const char *name)
{
    struct span value = SPAN_EMPTY;

    if (!frame_get(r->body, name, &value))
        note_missing(r, name);
    return value;
}

int64_t frame_want_num(struct frame_reader *r, const char *name)
{
    struct span value;
    int64_t num;

    if (frame_get(r->body, name, &value) && span_i64(value, &num))
        return num;
    note_missing(r, name);
    return 0;
}

struct span frame_opt_span(struct frame_reader *r, const char *name)
{
    struct span value = SPAN_EMPTY;

    frame_get(r->body, name, &value);
    return value;
}

int64_t frame_opt_num(struct frame_reader *r, const char *name, int64_t otherwise)
{
    struct span value;
    int64_t num;

    if (!frame_get(r->body, name, &value))
        return otherwise;
    if (span_i64(value, &num))
        return num;
    note_missing(r, name);
    return otherwise;
}
