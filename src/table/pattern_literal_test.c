#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "table/pattern_literal.h"
#include "util/strbuf.h"

/* Lists as "a|b c": one of a and b, and c; in the order they were found. */
static const char *shown(struct arena *arena, const struct word_lists *lists)
{
    const char *text = "";

    for (; lists; lists = lists->next) {
        const char *list = "";
        for (size_t i = 0; i < lists->list->count; i++)
            list = arena_printf(arena, "%s%s%.*s", list, i ? "|" : "",
                                SPAN_ARG(lists->list->word[i]));
        text = arena_printf(arena, "%s%s%s", list, *text ? " " : "", text);
    }
    return text;
}

static const struct row {
    const char *pattern, *words;
} both[] = {
    {"abc", "abc"},
    {"ABc", "abc"},
    {"^abc$", "abc"},
    {"ab.cd", "ab cd"},
    {"ab\\.cd", "ab.cd"},
    {"ab.*cd+e", "ab cd e"},
    {"abx*cd", "ab cd"},
    {"colou?r", "colour|color"},
    {"(foo|bar)baz", "foobaz|barbaz"},
    {"(foo|b.r)baz", "foo|r baz"},
    {"(foo|.)baz", "baz"},
    {"(foo)?baz", "foobaz|baz"},
    {"(foo)*baz", "baz"},
    {"(foo)+baz", "foo baz"},
    {"a{3}b", "aaab"},
    {"a{2,}b", "aa b"},
    {"a{0,2}b", "b"},
    {"a{0}b", "b"},
    {"v[i1]agra", "viagra|v1agra"},
    {"v[iI]agra", "viagra"},
    {"v[^i]agra", "v agra"},
    {"v[a-z]agra", "v agra"},
    {"v[[:alpha:]]agra", "v agra"},
    {"v[]a]agra", "v]agra|vaagra"},
    {"x\\wy", "x y"},
    {"x\\by", "xy"},
    {"", ""},
    {".*", ""},
    {"a|", ""},
    {"[a", ""},
    {"(a", ""},
    {"a)", ""},
    {"*a", ""},
    {"abc\\", ""},
    {"(ab)\\1", ""},
    {"a{x", ""},
    {"a{2,1}", ""},
    {"[[:x]", ""},
    {"[[.a.]]bc", ""},
};

static const struct row posix[] = {
    {"[a\\]b]c", "ab]c|\\b]c"}, {"a+?bc", "bc"},   {"a**bc", "bc"},
    {"\\<foo\\>", "foo"},       {"foo\\d", ""},    {"(?:foo)", ""},
    {"a{2}{3}b", "a b"},        {"a?{2}bc", "bc"}, {"foo\\'", "foo"},
};

static const struct row pcre[] = {
    {"[a\\]b]c", "ac|]c|bc"},  {"a+?bc", "a bc"},
    {"(?:foo)bar", "foobar"},  {"(?i)foo", "foo"},
    {"(?i:f)oo", "foo"},       {"(?>foo)bar", "foobar"},
    {"foo(?=bar)x", "foox"},   {"foo(?!bar)x", "foox"},
    {"(?<=bar)x", "x"},        {"(?<!ba|r)xyz", "xyz"},
    {"foo\\d+bar", "foo bar"}, {"a\\tb", "a\tb"},
    {"\\Aab\\z", "ab"},        {"foo\\Kbar", "foobar"},
    {"a++b", "a b"},           {"a**b", ""},
    {"(?x)a b", ""},           {"(?#x)ab", ""},
    {"(*UTF)abc", ""},         {"ab(*ACCEPT)c", ""},
    {"(?R)abc", ""},           {"(?1)abc", ""},
    {"(?(1)abc)", ""},         {"(?|abc)", ""},
    {"(?<n>abc)", ""},         {"\\Qabc\\E", ""},
    {"\\x41bc", ""},           {"[\\x41]bc", ""},
    {"[\\Qa]\\E]bc", ""},      {"[[:<:]]abc", ""},
    {"\\N{U+41}bc", ""},
};

static void check_rows(enum pattern_syntax syntax, const struct row *rows, size_t count)
{
    struct arena *arena = arena_new();

    for (size_t i = 0; i < count; i++) {
        const char *words =
            shown(arena, pattern_literals(arena, syntax, rows[i].pattern));
        if (strcmp(words, rows[i].words) != 0)
            fail_msg("%s of %s: \"%s\" instead of \"%s\"",
                     syntax == PATTERN_POSIX ? "regexp" : "pcre", rows[i].pattern,
                     words, rows[i].words);
    }
    arena_free(arena);
}

static void words_of_patterns(void **state)
{
    (void)state;
    check_rows(PATTERN_POSIX, both, ARRAY_LEN(both));
    check_rows(PATTERN_PCRE, both, ARRAY_LEN(both));
    check_rows(PATTERN_POSIX, posix, ARRAY_LEN(posix));
    check_rows(PATTERN_PCRE, pcre, ARRAY_LEN(pcre));
}

/* Nothing grows out of hand. */
static void hostile_patterns(void **state)
{
    struct arena *arena = arena_new();
    struct strbuf text = STRBUF_INIT;

    (void)state;
    for (int i = 0; i < 5000; i++)
        strbuf_add_char(&text, '(');
    assert_null(pattern_literals(arena, PATTERN_PCRE, text.ptr));
    strbuf_reset(&text);
    for (int i = 0; i < 40; i++)
        strbuf_add_char(&text, '(');
    strbuf_add_str(&text, "ab.");
    for (int i = 0; i < 40; i++)
        strbuf_add_str(&text, "){6}");
    assert_non_null(pattern_literals(arena, PATTERN_PCRE, text.ptr));
    strbuf_reset(&text);
    for (int i = 0; i < 2000; i++)
        strbuf_addf(&text, "(a%d|b%d|c.)?", i, i);
    pattern_literals(arena, PATTERN_PCRE, text.ptr);
    assert_true(arena_bytes(arena) < 16 * 1024 * 1024);
    strbuf_free(&text);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_patterns),
        cmocka_unit_test(hostile_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
