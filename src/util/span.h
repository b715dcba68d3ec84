/* A borrowed piece of text: pointer and length, not NUL-terminated, owned by
 * somebody else. Parsing borrows spans; what must outlive its source is copied
 * into an arena (arena_span). An empty span may have a NULL ptr. Case-insensitive
 * functions fold ASCII only. */
#ifndef UTIL_SPAN_H
#define UTIL_SPAN_H

#include "util/base.h"

struct span {
    const char *ptr;
    size_t len;
};

#define SPAN_LIT(str) ((struct span){(str), sizeof(str) - 1})
#define SPAN_EMPTY    ((struct span){NULL, 0})
/* For printf("%.*s", SPAN_ARG(s)). */
#define SPAN_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

struct span span_str(const char *str); /* NULL gives the empty span */
struct span span_of(const char *ptr, size_t len);

bool span_eq(struct span a, struct span b);
bool span_ieq(struct span a, struct span b);
bool span_eq_str(struct span a, const char *str);
bool span_ieq_str(struct span a, const char *str);
int span_cmp(struct span a, struct span b); /* bytewise, like strcmp */
bool span_starts(struct span s, struct span prefix);
bool span_istarts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_iends(struct span s, struct span suffix);

/* Offset of the first/last c, or -1. */
ssize_t span_chr(struct span s, char c);
ssize_t span_rchr(struct span s, char c);

struct span span_skip(struct span s, size_t count);  /* without the first count */
struct span span_first(struct span s, size_t count); /* at most the first count */
struct span span_trim(struct span s);                /* white space off both ends */
struct span span_ltrim(struct span s);
struct span span_rtrim(struct span s);

/* Cut *rest at the first c: returns what stands before it and moves *rest
 * behind it. Without c: returns all, *rest becomes empty with ptr NULL. */
struct span span_cut(struct span *rest, char c);

/* Next token separated by any characters of seps; false when none is left.
 * Leading separators are skipped, so there are no empty tokens. */
bool span_token(struct span *rest, const char *seps, struct span *token_out);

/* Like span_token, but "{ ... }" with balanced braces is one token (braces
 * included) whatever it holds. An unbalanced "{" takes the rest. */
bool span_token_braces(struct span *rest, const char *seps, struct span *token_out);

/* Decimal numbers with bounds checks; false if not entirely digits (a leading
 * '-' is allowed for i64) or out of range. */
bool span_u64(struct span s, uint64_t *value_out);
bool span_i64(struct span s, int64_t *value_out);
bool span_u32(struct span s, uint32_t *value_out);

bool span_all_digits(struct span s);   /* false for empty */
bool span_is_printable(struct span s); /* ASCII 32..126 only */
bool span_is_ascii(struct span s);     /* no byte above 127 */
bool span_is_utf8(struct span s);      /* well-formed UTF-8 (RFC 3629), no NUL */
/* Length of the well-formed UTF-8 character at the start; 0: none, or NUL. */
size_t span_utf8_char(struct span s);
uint64_t span_hash(struct span s);  /* seeded once a process */
uint64_t span_ihash(struct span s); /* the same for any case */

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline char ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}
static inline bool ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static inline bool ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool ascii_alnum(char c)
{
    return ascii_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

#endif
