#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "postdrop/drop_sender.h"

static bool matches(const char *list, const char *sender)
{
    return drop_sender_matches(list, "<>", "+-", span_str(sender));
}

static void test_addresses(void **state)
{
    (void)state;
    assert_true(matches("a@x, b@x", "b@x"));
    assert_true(matches("A@X", "a@x"));
    assert_false(matches("a@x", "aa@x"));
    assert_false(matches("a@x", "a@sub.x"));
    assert_false(matches("a@x", "a"));
    assert_true(matches("a", "a"));
    assert_false(matches("", "a"));
}

static void test_domains(void **state)
{
    (void)state;
    assert_true(matches("@x", "any@X"));
    assert_false(matches("@x", "any@sub.x"));
    assert_false(matches("@x", "any"));
    assert_false(matches("@", "any"));
}

static void test_extensions(void **state)
{
    (void)state;
    assert_true(matches("a@x", "a+list@x"));
    assert_true(matches("a@x", "a-list@x"));
    assert_true(matches("a", "a+list"));
    assert_false(matches("a@x", "a+list@y"));
    assert_false(matches("a@x", "b+a@x"));
}

static void test_null_sender(void **state)
{
    (void)state;
    assert_true(matches("a@x <>", ""));
    assert_false(matches("a@x", ""));
    assert_true(matches("*", ""));
    assert_true(matches("*", "anybody@anywhere"));
    assert_false(matches("<>", "a@x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_null_sender),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
