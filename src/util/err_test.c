#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/err.h"

static void set_formats_and_is_false(void **state UNUSED)
{
    struct err err;

    assert_false(err_set(&err, "line %d: %s", 3, "bad"));
    assert_string_equal(err.text, "line 3: bad");
}

static void prefixes_stack_in_front(void **state UNUSED)
{
    struct err err;

    err_set(&err, "bad value");
    assert_false(err_prefix(&err, "line %d", 7));
    assert_false(err_prefix(&err, "%s", "/etc/main.cf"));
    assert_string_equal(err.text, "/etc/main.cf: line 7: bad value");
}

static void long_texts_are_cut(void **state UNUSED)
{
    struct err err;

    err_set(&err, "%*s", 3000, "x");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_prefix(&err, "%*s", 3000, "p");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_set(&err, "%*s", 1000, "x");
    err_prefix(&err, "prefix");
    assert_int_equal(strlen(err.text), 1008);
    err_prefix(&err, "%*s", 100, "p");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(err.text[99], 'p');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_formats_and_is_false),
        cmocka_unit_test(prefixes_stack_in_front),
        cmocka_unit_test(long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
