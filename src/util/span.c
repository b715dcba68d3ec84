#include "util/span.h"

struct span span_str(const char *str)
{
    return (struct span){str, str ? strlen(str) : 0};
}

struct span span_of(const char *ptr, size_t len)
{
    return (struct span){ptr, len};
}

static bool bytes_ieq(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool span_ieq(struct span a, struct span b)
{
    return a.len == b.len && bytes_ieq(a.ptr, b.ptr, a.len);
}

bool span_eq_str(struct span a, const char *str)
{
    return span_eq(a, span_str(str));
}

bool span_ieq_str(struct span a, const char *str)
{
    return span_ieq(a, span_str(str));
}

int span_cmp(struct span a, struct span b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;

    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq(span_first(s, prefix.len), prefix);
}

bool span_istarts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_ieq(span_first(s, prefix.len), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_eq(span_skip(s, s.len - suffix.len), suffix);
}

bool span_iends(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_ieq(span_skip(s, s.len - suffix.len), suffix);
}

ssize_t span_chr(struct span s, char c)
{
    const char *hit = s.len ? memchr(s.ptr, c, s.len) : NULL;

    return hit ? hit - s.ptr : -1;
}

ssize_t span_rchr(struct span s, char c)
{
    const char *hit = s.len ? memrchr(s.ptr, c, s.len) : NULL;

    return hit ? hit - s.ptr : -1;
}

struct span span_skip(struct span s, size_t count)
{
    if (count > s.len)
        count = s.len;
    /* NULL + 0 is undefined in C17, and empty spans may be NULL. */
    return count ? (struct span){s.ptr + count, s.len - count} : s;
}

struct span span_first(struct span s, size_t count)
{
    return (struct span){s.ptr, count < s.len ? count : s.len};
}

struct span span_ltrim(struct span s)
{
    size_t skip = 0;

    while (skip < s.len && ascii_space(s.ptr[skip]))
        skip++;
    return span_skip(s, skip);
}

struct span span_rtrim(struct span s)
{
    while (s.len > 0 && ascii_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct span span_trim(struct span s)
{
    return span_ltrim(span_rtrim(s));
}

struct span span_cut(struct span *rest, char c)
{
    struct span head = *rest;
    ssize_t at = span_chr(head, c);

    if (at < 0) {
        *rest = SPAN_EMPTY;
        return head;
    }
    *rest = span_skip(head, (size_t)at + 1);
    return span_first(head, (size_t)at);
}

static bool is_sep(char c, const char *seps)
{
    return c != '\0' && strchr(seps, c) != NULL;
}

static struct span skip_seps(struct span s, const char *seps)
{
    size_t skip = 0;

    while (skip < s.len && is_sep(s.ptr[skip], seps))
        skip++;
    return span_skip(s, skip);
}

static void take_token(struct span *rest, struct span s, size_t len,
                       struct span *token_out)
{
    *token_out = span_first(s, len);
    *rest = span_skip(s, len);
}

bool span_token(struct span *rest, const char *seps, struct span *token_out)
{
    struct span s = skip_seps(*rest, seps);
    size_t len = 0;

    while (len < s.len && !is_sep(s.ptr[len], seps))
        len++;
    take_token(rest, s, len, token_out);
    return len > 0;
}

static size_t braces_len(struct span s)
{
    size_t depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '{')
            depth++;
        else if (s.ptr[i] == '}' && --depth == 0)
            return i + 1;
    }
    return s.len;
}

bool span_token_braces(struct span *rest, const char *seps, struct span *token_out)
{
    struct span s = skip_seps(*rest, seps);

    if (s.len == 0 || s.ptr[0] != '{')
        return span_token(rest, seps, token_out);
    take_token(rest, s, braces_len(s), token_out);
    return true;
}

bool span_u64(struct span s, uint64_t *value_out)
{
    uint64_t value = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_digit(s.ptr[i]))
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value))
            return false;
    }
    *value_out = value;
    return true;
}

bool span_i64(struct span s, int64_t *value_out)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t magnitude;

    if (!span_u64(span_skip(s, negative), &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *value_out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool span_u32(struct span s, uint32_t *value_out)
{
    uint64_t value;

    if (!span_u64(s, &value) || value > UINT32_MAX)
        return false;
    *value_out = (uint32_t)value;
    return true;
}

bool span_all_digits(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_digit(s.ptr[i]))
            return false;
    return s.len > 0;
}

bool span_is_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 32 || s.ptr[i] > 126)
            return false;
    return true;
}

bool span_is_ascii(struct span s)
{
    size_t i = 0;

    for (uint64_t word; i + sizeof(word) <= s.len; i += sizeof(word)) {
        memcpy(&word, s.ptr + i, sizeof(word));
        if (word & UINT64_C(0x8080808080808080))
            return false;
    }
    for (; i < s.len; i++)
        if ((unsigned char)s.ptr[i] > 127)
            return false;
    return true;
}

/* Rows of the UTF8-char rule of RFC 3629 section 4: the range of the second byte
 * depends on the first, which is what excludes surrogates, overlong forms and
 * everything above U+10FFFF. */
static const struct utf8_row {
    unsigned char first_lo, first_hi, second_lo, second_hi, len;
} utf8_rows[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
    {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
    {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

size_t span_utf8_char(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    const struct utf8_row *row = utf8_rows;

    if (s.len == 0)
        return 0;
    if (p[0] < 0x80)
        return p[0] != 0;
    while (row < utf8_rows + ARRAY_LEN(utf8_rows) && p[0] > row->first_hi)
        row++;
    if (row == utf8_rows + ARRAY_LEN(utf8_rows) || p[0] < row->first_lo ||
        s.len < row->len || p[1] < row->second_lo || p[1] > row->second_hi)
        return 0;
    for (size_t i = 2; i < row->len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return row->len;
}

bool span_is_utf8(struct span s)
{
    while (s.len > 0) {
        size_t len = span_utf8_char(s);

        if (len == 0)
            return false;
        s = span_skip(s, len);
    }
    return true;
}
