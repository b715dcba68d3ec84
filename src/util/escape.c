#include "util/escape.h"

void escape_printable(struct strbuf *sb, struct span s, char replacement, bool utf8)
{
    while (s.len > 0) {
        size_t len = utf8 ? span_utf8_char(s) : 1;

        if (len > 1 || (s.ptr[0] >= 32 && s.ptr[0] < 127))
            strbuf_add(sb, s.ptr, len);
        else
            strbuf_add_char(sb, replacement);
        s = span_skip(s, len ? len : 1);
    }
}

void escape_c(struct strbuf *sb, struct span s)
{
    static const char special[] = "\a\b\f\n\r\t\v\\", letter[] = "abfnrtv\\";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        const char *hit = c ? strchr(special, c) : NULL;

        if (hit)
            strbuf_add(sb, (const char[]){'\\', letter[hit - special]}, 2);
        else if (c >= 32 && c < 127)
            strbuf_add_char(sb, (char)c);
        else
            strbuf_addf(sb, "\\%03o", c);
    }
}

static const char hex_upper[] = "0123456789ABCDEF", hex_lower[] = "0123456789abcdef";

static int hex_value(char c)
{
    if (ascii_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void xtext_encode(struct strbuf *sb, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c > 32 && c < 127 && c != '+' && c != '=')
            strbuf_add_char(sb, (char)c);
        else
            strbuf_add(sb, (const char[]){'+', hex_upper[c >> 4], hex_upper[c & 15]},
                       3);
    }
}

bool xtext_decode(struct strbuf *sb, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        int high, low;

        if (s.ptr[i] != '+') {
            strbuf_add_char(sb, s.ptr[i]);
            continue;
        }
        if (s.len - i < 3)
            return false;
        high = hex_value(s.ptr[i + 1]);
        low = hex_value(s.ptr[i + 2]);
        if (high < 0 || low < 0)
            return false;
        strbuf_add_char(sb, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct strbuf *sb, struct span s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;

    for (; s.len > 0; s.len -= s.len < 3 ? s.len : 3, p += 3) {
        unsigned bits = (unsigned)p[0] << 16;
        char out[4];

        if (s.len > 1)
            bits |= (unsigned)p[1] << 8;
        if (s.len > 2)
            bits |= p[2];
        out[0] = base64_digits[bits >> 18];
        out[1] = base64_digits[bits >> 12 & 63];
        out[2] = s.len > 1 ? base64_digits[bits >> 6 & 63] : '=';
        out[3] = s.len > 2 ? base64_digits[bits & 63] : '=';
        strbuf_add(sb, out, 4);
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct strbuf *sb, struct span s)
{
    size_t padding = span_ends(s, SPAN_LIT("==")) ? 2 : span_ends(s, SPAN_LIT("="));
    uint32_t bits = 0;

    if (s.len % 4 != 0)
        return false;
    for (size_t i = 0; i < s.len - padding; i++) {
        int value = base64_value(s.ptr[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        /* Each digit but the first of four completes a byte. */
        if (i % 4 != 0)
            strbuf_add_char(sb, (char)(bits >> (6 - i % 4 * 2)));
    }
    return true;
}

void hex_encode(struct strbuf *sb, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        strbuf_add(sb, (const char[]){hex_lower[c >> 4], hex_lower[c & 15]}, 2);
    }
}

static void json_ascii(struct strbuf *sb, char c)
{
    if (c == '"' || c == '\\')
        strbuf_add(sb, (const char[]){'\\', c}, 2);
    else if (c == '\n')
        strbuf_add(sb, "\\n", 2);
    else if (c < 32 || c == 127)
        strbuf_addf(sb, "\\u%04x", (unsigned)c);
    else
        strbuf_add_char(sb, c);
}

void json_string(struct strbuf *sb, struct span s)
{
    strbuf_add_char(sb, '"');
    while (s.len > 0) {
        size_t len = span_utf8_char(s);

        if (len > 1)
            strbuf_add(sb, s.ptr, len);
        else if (len == 1 || s.ptr[0] == '\0')
            json_ascii(sb, s.ptr[0]);
        else
            strbuf_add_str(sb, "\xEF\xBF\xBD"); /* U+FFFD */
        s = span_skip(s, len ? len : 1);
    }
    strbuf_add_char(sb, '"');
}
