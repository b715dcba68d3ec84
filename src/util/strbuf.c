#include "util/strbuf.h"

#include <stdio.h>
#include <stdlib.h>

#define CAP_MIN 64

/* Shared by all empty buffers; cap 0 says that ptr is not ours to write to. */
char strbuf_empty[1];

void strbuf_init(struct strbuf *sb)
{
    *sb = (struct strbuf)STRBUF_INIT;
}

void strbuf_free(struct strbuf *sb)
{
    if (sb->cap)
        free(sb->ptr);
    strbuf_init(sb);
}

void strbuf_reset(struct strbuf *sb)
{
    strbuf_truncate(sb, 0);
}

/* cap counts the NUL as well. */
void strbuf_reserve(struct strbuf *sb, size_t extra)
{
    size_t need, cap;

    if (extra > SIZE_MAX / 4 || sb->len > SIZE_MAX / 4)
        panic("strbuf_reserve: %zu + %zu bytes", sb->len, extra);
    need = sb->len + extra + 1;
    if (need <= sb->cap)
        return;
    cap = sb->cap ? sb->cap * 2 : CAP_MIN;
    if (cap < need)
        cap = need;
    sb->ptr = xrealloc(sb->cap ? sb->ptr : NULL, cap);
    sb->ptr[sb->len] = '\0';
    sb->cap = cap;
}

void strbuf_truncate(struct strbuf *sb, size_t len)
{
    if (len > sb->len)
        panic("strbuf_truncate: %zu bytes of %zu", len, sb->len);
    sb->len = len;
    if (sb->cap)
        sb->ptr[len] = '\0';
}

void strbuf_consume(struct strbuf *sb, size_t count)
{
    if (count > sb->len)
        panic("strbuf_consume: %zu bytes of %zu", count, sb->len);
    if (count == 0)
        return;
    memmove(sb->ptr, sb->ptr + count, sb->len - count);
    strbuf_truncate(sb, sb->len - count);
}

void strbuf_add(struct strbuf *sb, const void *data, size_t len)
{
    if (len == 0)
        return;
    strbuf_reserve(sb, len);
    memcpy(sb->ptr + sb->len, data, len);
    sb->len += len;
    sb->ptr[sb->len] = '\0';
}

void strbuf_add_str(struct strbuf *sb, const char *str)
{
    strbuf_add(sb, str, strlen(str));
}

void strbuf_add_span(struct strbuf *sb, struct span s)
{
    strbuf_add(sb, s.ptr, s.len);
}

void strbuf_add_char(struct strbuf *sb, char c)
{
    if (sb->len + 1 >= sb->cap)
        strbuf_reserve(sb, 1);
    sb->ptr[sb->len++] = c;
    sb->ptr[sb->len] = '\0';
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(sb, fmt, ap);
    va_end(ap);
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
    va_list again;
    size_t room;
    int len;

    strbuf_reserve(sb, CAP_MIN);
    room = sb->cap - sb->len;
    va_copy(again, ap);
    len = vsnprintf(sb->ptr + sb->len, room, fmt, ap);
    if (len >= 0 && (size_t)len >= room) {
        strbuf_reserve(sb, (size_t)len);
        len = vsnprintf(sb->ptr + sb->len, (size_t)len + 1, fmt, again);
    }
    va_end(again);
    if (len < 0)
        panic("strbuf_vaddf: bad format \"%s\"", fmt);
    sb->len += (size_t)len;
}

struct span strbuf_span(const struct strbuf *sb)
{
    return (struct span){sb->ptr, sb->len};
}

char *strbuf_detach(struct strbuf *sb)
{
    char *ptr = sb->cap ? sb->ptr : xcalloc(1, 1);

    strbuf_init(sb);
    return ptr;
}
