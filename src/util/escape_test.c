#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/escape.h"

#define S(lit) SPAN_LIT(lit)

static void printable(struct span in, bool utf8, const char *want)
{
    struct strbuf sb = STRBUF_INIT;

    escape_printable(&sb, in, '?', utf8);
    assert_string_equal(sb.ptr, want);
    strbuf_free(&sb);
}

static void control_characters_are_replaced(void **state UNUSED)
{
    printable(S("a\r\nb\0c\x7F~ "), false, "a??b?c?~ ");
    printable(S("caf\xC3\xA9"), false, "caf??");
    printable(S("caf\xC3\xA9 \xC3 \xFF\x01"), true, "caf\xC3\xA9 ? ??");
    printable(SPAN_EMPTY, true, "");
}

static void c_escapes_are_unambiguous(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;

    escape_c(&sb, S("A\001\a\b\f\v\177\t\\\"'\303\251 ?z\0009\r\n"));
    assert_string_equal(sb.ptr,
                        "A\\001\\a\\b\\f\\v\\177\\t\\\\\"'\\303\\251 ?z\\0009\\r\\n");
    strbuf_free(&sb);
}

static void xtext_there_and_back(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT, back = STRBUF_INIT;

    xtext_encode(&sb, S("a+b=c d\xFF~!"));
    assert_string_equal(sb.ptr, "a+2Bb+3Dc+20d+FF~!");
    assert_true(xtext_decode(&back, strbuf_span(&sb)));
    assert_string_equal(back.ptr, "a+b=c d\xFF~!");
    strbuf_reset(&back);
    assert_true(xtext_decode(&back, S("a=b+2b")));
    assert_string_equal(back.ptr, "a=b+");
    assert_false(xtext_decode(&back, S("a+2")));
    assert_false(xtext_decode(&back, S("a+")));
    assert_false(xtext_decode(&back, S("a+G0")));
    assert_false(xtext_decode(&back, S("a+0G")));
    strbuf_free(&sb);
    strbuf_free(&back);
}

/* The test vectors of RFC 4648 section 10. */
static void base64_there_and_back(void **state UNUSED)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xFB\xFF\xFE", "+//+"},
    };
    struct strbuf sb = STRBUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        strbuf_reset(&sb);
        base64_encode(&sb, span_str(rows[i][0]));
        assert_string_equal(sb.ptr, rows[i][1]);
        strbuf_reset(&sb);
        assert_true(base64_decode(&sb, span_str(rows[i][1])));
        assert_string_equal(sb.ptr, rows[i][0]);
    }
    strbuf_free(&sb);
}

static void malformed_base64_is_refused(void **state UNUSED)
{
    static const char *const bad[] = {
        "=",        "Zg",   "Zg=",  "Zm9",   "====", "A===",
        "Zg==Zg==", "Z=g=", "Zm9 ", "Zm9\n", "Zm9-",
    };
    struct strbuf sb = STRBUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(base64_decode(&sb, span_str(bad[i])));
    strbuf_free(&sb);
}

static void hex_is_lower_case(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;

    hex_encode(&sb, S("\x00\xAB\x7F"));
    assert_string_equal(sb.ptr, "00ab7f");
    strbuf_free(&sb);
}

static void json_strings_are_valid_json(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;

    json_string(&sb, S("q\"b\\n\nc\x01z\0\x7F \xE2\x82\xAC \xFF\xC3"));
    assert_string_equal(sb.ptr, "\"q\\\"b\\\\n\\nc\\u0001z\\u0000\\u007f \xE2\x82\xAC "
                                "\xEF\xBF\xBD\xEF\xBF\xBD\"");
    strbuf_free(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(c_escapes_are_unambiguous),
        cmocka_unit_test(xtext_there_and_back),
        cmocka_unit_test(base64_there_and_back),
        cmocka_unit_test(malformed_base64_is_refused),
        cmocka_unit_test(hex_is_lower_case),
        cmocka_unit_test(json_strings_are_valid_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
