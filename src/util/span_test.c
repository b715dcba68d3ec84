#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/span.h"

#define S(lit) SPAN_LIT(lit)

static void comparisons_respect_length_and_case(void **state UNUSED)
{
    assert_true(span_eq(SPAN_EMPTY, S("")));
    assert_true(span_eq(S("a\0b"), S("a\0b")));
    assert_false(span_eq(S("a\0b"), S("a\0c")));
    assert_false(span_eq(S("ab"), S("abc")));
    assert_true(span_ieq(S("MaIl"), S("mAiL")));
    assert_false(span_ieq(S("[x"), S("{x")));
    assert_false(span_ieq(S("\xC4"), S("\xE4"))); /* ASCII only */
    assert_true(span_eq_str(S("x"), "x"));
    assert_true(span_ieq_str(S("X"), "x"));
    assert_true(span_cmp(S("a"), S("ab")) < 0);
    assert_true(span_cmp(S("b"), S("ab")) > 0);
    assert_true(span_cmp(S("\xFF"), S("a")) > 0);
    assert_int_equal(span_cmp(SPAN_EMPTY, S("")), 0);
}

static void prefixes_and_suffixes(void **state UNUSED)
{
    assert_true(span_starts(S("abc"), S("ab")));
    assert_true(span_starts(S("abc"), SPAN_EMPTY));
    assert_false(span_starts(S("a"), S("ab")));
    assert_true(span_istarts(S("ABc"), S("ab")));
    assert_true(span_ends(S("abc"), S("bc")));
    assert_false(span_ends(S("c"), S("bc")));
    assert_true(span_iends(S("x.COM"), S(".com")));
    assert_false(span_iends(S("x.COM"), S(".org")));
}

static void searching_finds_first_and_last(void **state UNUSED)
{
    assert_int_equal(span_chr(S("a.b.c"), '.'), 1);
    assert_int_equal(span_rchr(S("a.b.c"), '.'), 3);
    assert_int_equal(span_chr(S("abc"), 'x'), -1);
    assert_int_equal(span_rchr(SPAN_EMPTY, 'x'), -1);
}

static void cutting_stays_inside(void **state UNUSED)
{
    assert_true(span_eq(span_skip(S("abc"), 1), S("bc")));
    assert_int_equal(span_skip(S("abc"), 9).len, 0);
    assert_int_equal(span_skip(SPAN_EMPTY, 9).len, 0);
    assert_int_equal(span_first(S("abc"), 9).len, 3);
    assert_true(span_eq(span_trim(S(" \t a b \r\n")), S("a b")));
    assert_true(span_eq(span_ltrim(S("  a ")), S("a ")));
    assert_true(span_eq(span_rtrim(S("  a ")), S("  a")));
    assert_int_equal(span_trim(S(" \n ")).len, 0);
}

static void cut_tells_a_last_empty_part_from_none(void **state UNUSED)
{
    struct span rest = S("a::");

    assert_true(span_eq(span_cut(&rest, ':'), S("a")));
    assert_true(span_eq(span_cut(&rest, ':'), S("")));
    assert_non_null(rest.ptr);
    assert_int_equal(span_cut(&rest, ':').len, 0);
    assert_null(rest.ptr);
}

static void tokens_are_never_empty(void **state UNUSED)
{
    struct span rest = S(", a,b ,, c "), token;

    assert_true(span_token(&rest, ", ", &token));
    assert_true(span_eq(token, S("a")));
    assert_true(span_token(&rest, ", ", &token));
    assert_true(span_eq(token, S("b")));
    assert_true(span_token(&rest, ", ", &token));
    assert_true(span_eq(token, S("c")));
    assert_false(span_token(&rest, ", ", &token));
    rest = S("a\0b");
    assert_true(span_token(&rest, ",", &token));
    assert_int_equal(token.len, 3);
}

static void braces_make_one_token(void **state UNUSED)
{
    struct span rest = S("a, { b, {c} , d }e {f g"), token;

    assert_true(span_token_braces(&rest, ", ", &token));
    assert_true(span_eq(token, S("a")));
    assert_true(span_token_braces(&rest, ", ", &token));
    assert_true(span_eq(token, S("{ b, {c} , d }")));
    assert_true(span_token_braces(&rest, ", ", &token));
    assert_true(span_eq(token, S("e")));
    assert_true(span_token_braces(&rest, ", ", &token));
    assert_true(span_eq(token, S("{f g")));
    assert_false(span_token_braces(&rest, ", ", &token));
}

static void numbers_are_bounded(void **state UNUSED)
{
    uint64_t u = 1;
    int64_t i = 1;
    uint32_t w = 1;

    assert_true(span_u64(S("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(span_u64(S("18446744073709551616"), &u));
    assert_false(span_u64(S("99999999999999999999"), &u));
    assert_false(span_u64(S(""), &u));
    assert_false(span_u64(S("-1"), &u));
    assert_false(span_u64(S("+1"), &u));
    assert_false(span_u64(S("1 "), &u));
    assert_true(u == UINT64_MAX);
    assert_true(span_i64(S("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(span_i64(S("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_false(span_i64(S("9223372036854775808"), &i));
    assert_false(span_i64(S("-9223372036854775809"), &i));
    assert_false(span_i64(S("-"), &i));
    assert_false(span_i64(S("--1"), &i));
    assert_true(span_u32(S("4294967295"), &w));
    assert_true(w == UINT32_MAX);
    assert_false(span_u32(S("4294967296"), &w));
}

static void character_classes(void **state UNUSED)
{
    assert_true(span_all_digits(S("0123456789")));
    assert_false(span_all_digits(S("")));
    assert_false(span_all_digits(S("1a")));
    assert_true(span_is_printable(S(" ~")));
    assert_false(span_is_printable(S("\x7F")));
    assert_false(span_is_printable(S("\x1F")));
    assert_false(span_is_printable(S("\xE9")));
    assert_true(span_is_ascii(S("\0\x7F")));
    assert_false(span_is_ascii(S("\x80")));
}

static void utf8_is_strict(void **state UNUSED)
{
    static const char *const good[] = {
        "",
        "plain",
        "caf\xC3\xA9",
        "\xE2\x82\xAC",
        "\xED\x9F\xBF",
        "\xEE\x80\x80",
        "\xF0\x90\x80\x80",
        "\xF4\x8F\xBF\xBF",
        "\xEF\xBF\xBF",
        "\xC2\x80",
    };
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xC3",             /* cut short */
        "\xE2\x82",         /* cut short */
        "\xF0\x90\x80",     /* cut short */
        "\xC0\x80",         /* overlong NUL */
        "\xC1\xBF",         /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xED\xA0\x80",     /* surrogate */
        "\xF4\x90\x80\x80", /* above U+10FFFF */
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xC3\x41",
        "\xE2\x82\x41",
        "\xF0\x90\x80\x41",
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(span_is_utf8(span_str(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(span_is_utf8(span_str(bad[i])));
    assert_false(span_is_utf8(S("a\0b")));
    assert_int_equal(span_utf8_char(S("\xE2\x82\xACx")), 3);
}

static void hashes_fold_ascii_case_only(void **state UNUSED)
{
    char lower[41] = "", upper[41] = "";

    for (size_t len = 0; len < sizeof lower; len++) {
        for (size_t i = 0; i < len; i++) {
            lower[i] = (char)('a' + i % 26);
            upper[i] = (char)('A' + i % 26);
        }
        assert_true(span_ihash(span_of(lower, len)) == span_ihash(span_of(upper, len)));
        assert_true(span_ihash(span_of(lower, len)) == span_hash(span_of(lower, len)));
        if (len > 0)
            assert_true(span_hash(span_of(lower, len)) !=
                        span_hash(span_of(upper, len)));
    }
    /* The neighbours of the letters, and the same with the top bit set. */
    assert_true(span_ihash(S("@@@@@@@@")) != span_ihash(S("````````")));
    assert_true(span_ihash(S("[[[[[[[[")) != span_ihash(S("{{{{{{{{")));
    assert_true(span_ihash(S("\xC1\xC1\xC1\xC1\xC1\xC1\xC1\xC1")) !=
                span_ihash(S("\xE1\xE1\xE1\xE1\xE1\xE1\xE1\xE1")));
    assert_true(span_hash(S("")) != span_hash(S("\0")));
}

static void folding_eight_bytes_equals_folding_one(void **state UNUSED)
{
    for (int c = 0; c < 256; c++) {
        char raw[8], folded[8];

        memset(raw, c, sizeof raw);
        memset(folded, ascii_lower((char)c), sizeof folded);
        assert_true(span_ihash(span_of(raw, 8)) == span_hash(span_of(folded, 8)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons_respect_length_and_case),
        cmocka_unit_test(prefixes_and_suffixes),
        cmocka_unit_test(searching_finds_first_and_last),
        cmocka_unit_test(cutting_stays_inside),
        cmocka_unit_test(cut_tells_a_last_empty_part_from_none),
        cmocka_unit_test(tokens_are_never_empty),
        cmocka_unit_test(braces_make_one_token),
        cmocka_unit_test(numbers_are_bounded),
        cmocka_unit_test(character_classes),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(hashes_fold_ascii_case_only),
        cmocka_unit_test(folding_eight_bytes_equals_folding_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
