#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "table/source.h"
#include "util/msg.h"

static void check(enum source_style style, const char *text, const char *expect)
{
    struct strbuf found = STRBUF_INIT;
    struct source_entries entries;
    struct span key, value;

    source_entries_init(&entries, "test", span_str(text), style, true);
    while (source_entries_next(&entries, &key, &value))
        strbuf_addf(&found, "%d[%.*s][%.*s]", entries.src.line, SPAN_ARG(key),
                    SPAN_ARG(value));
    source_entries_free(&entries);
    assert_string_equal(found.ptr, expect);
    strbuf_free(&found);
}

/* As the peer stores them. */
static void map_lines(void **state UNUSED)
{
    check(SOURCE_MAP, "# c\n\na b\n# c\n  c\n\n d\ne f", "3[a][b  c d]8[e][f]");
    check(SOURCE_MAP, "\"a b\"@c d e \r\na\\\"b x\n\"open x\nalone\n",
          "1[\"a b\"@c][d e]2[a\\\"b][x]");
    check(SOURCE_MAP, " indented x\na b\n\xFF x\n", "2[a][b]");
}

static void alias_lines(void **state UNUSED)
{
    check(SOURCE_ALIAS, "a: b,c\n\"a b\" : c  d\na\\b: \"open\n",
          "1[a][b, c]2[a b][c d]3[ab][\"open\"]");
    check(SOURCE_ALIAS, "x:  \"|cmd a, b\",/file, :include:/list <u @ d> | cmd\n",
          "1[x][\"|cmd a, b\", /file, :include:/list <u@d>|cmd]");
    check(SOURCE_ALIAS, "a(c)b: (x)y\nz: a\\ b \\,\n",
          "1[a (c) b][(x) y]2[z][\"a b\" \",\"]");
    check(SOURCE_ALIAS, "a@b: c\n\"a@b\": c\na%b: c\na,b: c\n: x\na:\n a\n",
          "2[a@b][c]6[a][a]");
    check(SOURCE_ALIAS, "a:\n\nno colon\n", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_lines),
        cmocka_unit_test(alias_lines),
    };
    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
