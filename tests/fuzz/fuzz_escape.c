/* Encodings: what was encoded decodes to the same; whatever comes, output is what
 * the header promises. */
#include <stdlib.h>

#include "util/escape.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void round_trips(struct span s, struct strbuf *encoded, struct strbuf *decoded)
{
    strbuf_reset(encoded);
    strbuf_reset(decoded);
    base64_encode(encoded, s);
    check(base64_decode(decoded, strbuf_span(encoded)));
    check(span_eq(strbuf_span(decoded), s));

    strbuf_reset(encoded);
    strbuf_reset(decoded);
    xtext_encode(encoded, s);
    check(span_is_printable(strbuf_span(encoded)));
    check(xtext_decode(decoded, strbuf_span(encoded)));
    check(span_eq(strbuf_span(decoded), s));
}

static void hostile_input(struct span s, struct strbuf *out)
{
    strbuf_reset(out);
    if (base64_decode(out, s))
        check(out->len <= s.len / 4 * 3);
    strbuf_reset(out);
    if (xtext_decode(out, s))
        check(out->len <= s.len);
    strbuf_reset(out);
    escape_printable(out, s, '?', true);
    check(span_is_utf8(strbuf_span(out)));
    strbuf_reset(out);
    escape_printable(out, s, '?', false);
    check(out->len == s.len && span_is_printable(strbuf_span(out)));
    strbuf_reset(out);
    escape_c(out, s);
    check(span_is_printable(strbuf_span(out)));
    strbuf_reset(out);
    json_string(out, s);
    check(span_is_utf8(strbuf_span(out)) && out->len >= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
    struct span s = span_of((const char *)data, size);

    round_trips(s, &a, &b);
    hostile_input(s, &a);
    strbuf_free(&a);
    strbuf_free(&b);
    return 0;
}
