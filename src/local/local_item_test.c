#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "local/local_item.h"
#include "util/strbuf.h"

/* The texts of all items that are not empty, with "~" between them. */
static void check(const char *list, const char *expected)
{
    struct arena *arena = arena_new();
    struct span rest = span_str(list), item;
    struct strbuf got = STRBUF_INIT;
    int rounds = 0;

    while (local_item_next(&rest, &item)) {
        assert_true(++rounds < 100);
        if (item.len == 0)
            continue;
        if (got.len > 0)
            strbuf_add_char(&got, '~');
        strbuf_add_str(&got, local_item_text(item, arena));
    }
    assert_string_equal(got.ptr, expected);
    strbuf_free(&got);
    arena_free(arena);
}

static void test_separators(void **state)
{
    (void)state;
    check("", "");
    check(" \n,, ,\n", "");
    check("alice", "alice");
    check("alice, bob,carol\ndave ,\n erin", "alice~bob~carol~dave~erin");
    check("# all, of us\nalice\n  # more\nbob", "alice~bob");
}

static void test_quoting(void **state)
{
    (void)state;
    check("\"|cmd a, b\", bob", "|cmd a, b~bob");
    check("|\"cmd a, b\",bob", "|cmd a, b~bob");
    check("|cmd a b, bob", "|cmd a b~bob");
    check("\"/a file\"", "/a file");
    check("\":include:/a/b\"", ":include:/a/b");
    check("\"|say \\\"hi\\\\\\\"\"", "|say \"hi\\\"");
    check("\"odd name\"@example.com", "\"odd name\"@example.com");
    check("\"A, B\" <ab@c.d>, (x, y) e", "\"A, B\" <ab@c.d>~(x, y) e");
    check("(nested (a, b), c) d", "(nested (a, b), c) d");
}

static void test_broken(void **state)
{
    (void)state;
    check("\"never closed, x\nbob", "\"never closed, x~bob");
    check("(open\nbob", "(open~bob");
    check("<a,b\nbob", "<a,b~bob");
    check("\"", "\"");
    check("\"\\", "\"\\");
    check("|", "|");
    check("|\"", "|\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_separators),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
