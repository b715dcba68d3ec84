#include "global/param.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "param_gen.h"

#define FACTS "tests/data/param-defaults.tsv"

/* name, tab, default as an operator sees it: the interface, apart from what depends
 * on the host and the installation. */
static void every_known_parameter_has_its_default(void **state)
{
    char line[16384];
    size_t count = 0;
    FILE *facts = fopen(FACTS, "r");

    (void)state;
    if (!facts)
        fail_msg("no %s here: run me from the top of the source tree", FACTS);
    while (fgets(line, sizeof line, facts)) {
        struct span value = span_str(line);
        struct span name = span_cut(&value, '\t');
        const struct param_row *row = param_find(name);

        value = span_first(value, value.len - 1);
        if (!row)
            fail_msg("%.*s is not in the table", SPAN_ARG(name));
        if (!span_eq_str(value, row->text))
            fail_msg("%s: \"%s\", not \"%.*s\"", row->name, row->text, SPAN_ARG(value));
        count++;
    }
    fclose(facts);
    assert_true(count > 990);
}

static void rows_are_sorted_and_found(void **state)
{
    (void)state;
    assert_int_equal(param_count, PARAM_COUNT);
    for (size_t i = 0; i < param_count + param_legacy_count; i++) {
        const struct param_row *row = &param_table[i];

        assert_ptr_equal(param_find(span_str(row->name)), row);
        if (i && i != param_count)
            assert_true(strcmp(param_table[i - 1].name, row->name) < 0);
        assert_int_equal(!!(row->flags & PARAM_LEGACY), i >= param_count);
        if (row->successor)
            assert_non_null(param_find(span_str(row->successor)));
    }
    assert_null(param_find(SPAN_LIT("smtpd_timeouts")));
    assert_null(param_find(SPAN_LIT("")));
}

static void constants_are_worked_out(void **state)
{
    const struct param_row *row =
        param_find(SPAN_LIT("smtpd_tls_session_cache_timeout"));

    (void)state;
    assert_int_equal(row->kind, PARAM_TIME);
    assert_int_equal(row->number, 3600);
    assert_int_equal(row->max, 8640000);
    row = param_find(SPAN_LIT("address_verify_positive_expire_time"));
    assert_int_equal(row->number, 31 * 86400);
    assert_int_equal(row->unit, 'd');
    assert_int_equal(row->min, 1);
    assert_true(param_find(SPAN_LIT("smtpd_timeout"))->flags & PARAM_DYNAMIC);
    assert_true(param_find(SPAN_LIT("process_id"))->flags & PARAM_READONLY);
    assert_true(param_find(SPAN_LIT("myhostname"))->flags & PARAM_COMPUTED);
    assert_true(param_find(SPAN_LIT("virtual_maps"))->flags & PARAM_LEGACY);
}

static void patterns_need_a_prefix(void **state)
{
    (void)state;
    assert_string_equal(param_find_pattern(SPAN_LIT("x_delivery_slot_cost"))->name,
                        "_delivery_slot_cost");
    assert_string_equal(
        param_find_pattern(SPAN_LIT("x_destination_recipient_limit"))->name,
        "_destination_recipient_limit");
    assert_string_equal(param_find_pattern(SPAN_LIT("x_recipient_limit"))->name,
                        "_recipient_limit");
    assert_string_equal(param_find_pattern(SPAN_LIT("x_extra_recipient_limit"))->name,
                        "_extra_recipient_limit");
    assert_null(param_find_pattern(SPAN_LIT("_recipient_limit")));
    assert_null(param_find_pattern(SPAN_LIT("x_recipient_limits")));
}

static void typing_errors_are_recognised(void **state)
{
    (void)state;
    assert_string_equal(param_suggest(SPAN_LIT("smtpd_tiemout")), "smtpd_timeout");
    assert_string_equal(param_suggest(SPAN_LIT("myhostnme")), "myhostname");
    assert_string_equal(param_suggest(SPAN_LIT("relay_hosts")), "relayhost");
    assert_null(param_suggest(SPAN_LIT("x")));
    assert_null(param_suggest(SPAN_LIT("nobody_knows_what_this_is_for")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_parameter_has_its_default),
        cmocka_unit_test(rows_are_sorted_and_found),
        cmocka_unit_test(constants_are_worked_out),
        cmocka_unit_test(patterns_need_a_prefix),
        cmocka_unit_test(typing_errors_are_recognised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
