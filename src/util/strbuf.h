/* A growing byte buffer on the heap. Invariant: ptr is never NULL after init
 * and ptr[len] is NUL, so ptr is usable as a C string when it holds no NUL. */
#ifndef UTIL_STRBUF_H
#define UTIL_STRBUF_H

#include <stdarg.h>

#include "util/span.h"

struct strbuf {
    char *ptr;
    size_t len;
    size_t cap;
};

#define STRBUF_INIT                                                                    \
    {                                                                                  \
        strbuf_empty, 0, 0                                                             \
    }
extern char strbuf_empty[1];

void strbuf_init(struct strbuf *sb);
void strbuf_free(struct strbuf *sb);  /* usable again afterwards, as after init */
void strbuf_reset(struct strbuf *sb); /* len = 0, memory kept */
void strbuf_reserve(struct strbuf *sb, size_t extra); /* room for extra more bytes */
void strbuf_truncate(struct strbuf *sb, size_t len);  /* len <= sb->len */
void strbuf_consume(struct strbuf *sb, size_t count); /* drop the first count bytes */

void strbuf_add(struct strbuf *sb, const void *data, size_t len);
void strbuf_add_str(struct strbuf *sb, const char *str);
void strbuf_add_span(struct strbuf *sb, struct span s);
void strbuf_add_char(struct strbuf *sb, char c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap);

struct span strbuf_span(const struct strbuf *sb); /* borrowed until the next change */
char *strbuf_detach(struct strbuf *sb); /* caller frees; sb is as after init */

#endif
