#include "global/macro.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static bool lookup(void *ctx, struct span name, const char **value_out, struct err *err)
{
    (void)ctx;
    *value_out = NULL;
    if (span_eq_str(name, "one"))
        *value_out = "1";
    else if (span_eq_str(name, "text"))
        *value_out = "some $text";
    else if (span_eq_str(name, "empty"))
        *value_out = "";
    else if (span_eq_str(name, "broken"))
        return err_set(err, "the look-up failed");
    return true;
}

static const struct macro_source source = {.lookup = lookup};

static void results(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"$one$text", "1some $text"},
        {"$one-x $(one) ${ one }", "1-x 1 1"},
        {"$nosuch.${nosuch}", "."},
        {"$$one $$$$", "$one $$"},
        {"${one?yes}${empty?yes}${nosuch?yes}", "yes"},
        {"${one:no}${empty:no}${nosuch:no}", "nono"},
        {"${one?{a}:{b}}${empty?{a}:{b}}", "ab"},
        {"${one?{a} : {b} }c", "ac"},
        {"${one?yes:no}", "yes:no"},
        {"${one? lead}", " lead"},
        {"${one?{ x $one y }}", " x 1 y "},
        {"${one?{a ${empty:{b $one}}}}", "a b 1"},
        {"${one?a{b}c}", "a{b}c"},
        {"${one?a}b}", "ab}"},
        {"$(one?a(b)c)", "a(b)c"},
        {"${one?{yes}:no}", "yes"},
        {"${{$one} == {1} ? {eq} : {ne}}", "eq"},
        {"${{$one} != {1} ? {eq} : {ne}}", "ne"},
        {"${{3} < {10} ? {num} : {text}}", "num"},
        {"${{3x} < {10} ? {num} : {text}}", "text"},
        {"${{03} == {3}}", "true"},
        {"${{99999999999999999999999} > {5}}", "true"},
        {"${{a} == {b}}", ""},
        {"${{ a } == {a} ? {x} : {y}}", "y"},
        {"${{a}==$one{a}?{x}}", NULL},
        {"${{3.11} <level {3.6} ? {lt} : {ge}}", "ge"},
        {"${{3.11} >level {3.6} ? {gt} : {le}}", "gt"},
        {"${{3} ==level {3.0.0} ? {eq} : {ne}}", "eq"},
        {"${{2} <=level {10} ? {le} : {gt}}", "le"},
        {"${domain_to_ascii{$one.example}}", "1.example"},
        {"inline:{{${domain_to_ascii{a}}=b}}", "inline:{{a=b}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf out = STRBUF_INIT;
        struct err err = {.text = ""};
        bool ok = macro_expand(&out, span_str(cases[i][0]), &source, &err);

        if (ok != (cases[i][1] != NULL))
            fail_msg("%s: %s", cases[i][0], err.text);
        if (ok && strcmp(out.ptr, cases[i][1]) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", cases[i][0], out.ptr, cases[i][1]);
        strbuf_free(&out);
    }
}

static void errors(void **state)
{
    static const char *const cases[][2] = {
        {"$", "empty macro name"},
        {"a$ b", "empty macro name"},
        {"${}", "empty macro name"},
        {"${one", "truncated macro reference: \"${one\""},
        {"$(one}", "truncated macro reference"},
        {"${one?{x}", "truncated macro reference"},
        {"${one=1}", "attribute name syntax error at: \"...one>>>=1\""},
        {"${a b}", "attribute name syntax error"},
        {"${one?{a}b}", "\":\" expected at: \"...one?{a}>>>b\""},
        {"${one?{a}:{b}c}", "unexpected input"},
        {"${one:{a}:{b}}", "unexpected input"},
        {"${{a} foo {b}}", "expected at: \"...{a} >>>foo {b}\""},
        {"${{a} = {b}}", "expected"},
        {"${{a} ==lev {b}}", "bad operator suffix"},
        {"${{a} == b}", "\"{expression}\" expected"},
        {"${{a}=={a} b}", "\"?\" expected"},
        {"${{3.x} <level {3}}", "malformed compatibility level syntax: \"3.x\""},
        {"${{3.} <level {3}}", "malformed compatibility level syntax"},
        {"${{} <level {3}}", "malformed compatibility level syntax"},
        {"${{1.2.3.4} <level {3}}", "malformed compatibility level syntax"},
        {"x $broken", "the look-up failed"},
        {"${one?{$broken}}", "the look-up failed"},
        {"${nosuchfunction{a}}", "attribute name syntax error"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf out = STRBUF_INIT;
        struct err err = {.text = ""};

        if (macro_expand(&out, span_str(cases[i][0]), &source, &err))
            fail_msg("%s: accepted as \"%s\"", cases[i][0], out.ptr);
        if (!strstr(err.text, cases[i][1]))
            fail_msg("%s: \"%s\", not \"%s\"", cases[i][0], err.text, cases[i][1]);
        strbuf_free(&out);
    }
}

static void nesting_is_bounded(void **state)
{
    struct strbuf text = STRBUF_INIT, out = STRBUF_INIT;
    struct err err;

    (void)state;
    for (int i = 0; i < 10000; i++)
        strbuf_add_str(&text, "${one?{");
    for (int i = 0; i < 10000; i++)
        strbuf_add_str(&text, "}}");
    assert_false(macro_expand(&out, strbuf_span(&text), &source, &err));
    assert_non_null(strstr(err.text, "unreasonable macro call nesting"));
    strbuf_free(&text);
    strbuf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results),
        cmocka_unit_test(errors),
        cmocka_unit_test(nesting_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
