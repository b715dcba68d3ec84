#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "global/header.h"

static void every_entry_is_found_by_name_and_id(void **state)
{
    (void)state;
    for (int id = HEADER_APPARENTLY_TO; id <= HEADER_TO; id++) {
        const struct header_info *info = header_by_id((enum header_id)id);
        assert_int_equal(info->id, id);
        assert_ptr_equal(header_lookup(span_str(info->name)), info);
    }
    assert_null(header_by_id(HEADER_OTHER));
}

static void names_ignore_case_and_match_whole(void **state)
{
    (void)state;
    assert_int_equal(header_lookup(SPAN_LIT("rESENT-tO"))->id, HEADER_RESENT_TO);
    assert_true(header_lookup(SPAN_LIT("to"))->flags & HEADER_EXTRACT);
    assert_false(header_lookup(SPAN_LIT("reply-to"))->flags & HEADER_EXTRACT);
    assert_null(header_lookup(SPAN_LIT("t")));
    assert_null(header_lookup(SPAN_LIT("too")));
    assert_null(header_lookup(SPAN_EMPTY));
}

static void lines_split_at_the_colon(void **state)
{
    struct span name, value;

    (void)state;
    assert_true(header_parse_line(SPAN_LIT("Subject: a: b"), &name, &value));
    assert_true(span_eq_str(name, "Subject") && span_eq_str(value, " a: b"));
    assert_true(header_parse_line(SPAN_LIT("To \t:x"), &name, &value));
    assert_true(span_eq_str(name, "To") && span_eq_str(value, "x"));
    assert_true(header_parse_line(SPAN_LIT("X:"), &name, &value));
    assert_int_equal(value.len, 0);
}

static void other_lines_are_no_headers(void **state)
{
    static const char *const bad[] = {"",        ":",  ": x",          " To: x",
                                      "To x: y", "To", "T\xc3\xb6: x", "To \n: x",
                                      "\x01: x"};
    struct span name, value;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(header_parse_line(span_str(bad[i]), &name, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_found_by_name_and_id),
        cmocka_unit_test(names_ignore_case_and_match_whole),
        cmocka_unit_test(lines_split_at_the_colon),
        cmocka_unit_test(other_lines_are_no_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
