#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "master/master_plan.h"

static void expect_plan(int64_t maxproc, int64_t session_limit, int64_t process_limit,
                        size_t cores, size_t processes)
{
    struct master_plan plan = plan_make(maxproc, session_limit, process_limit, cores);
    size_t sum = 0, least = SIZE_MAX, most = 0;

    assert_int_equal(plan.processes, processes);
    assert_int_equal(plan_is_unlimited(&plan), maxproc == 0);
    for (size_t slot = 0; slot < plan.processes; slot++) {
        size_t quota = plan_quota(&plan, slot);

        sum += quota;
        least = quota < least ? quota : least;
        most = quota > most ? quota : most;
        assert_true(quota >= 1);
        assert_true(quota <= (size_t)session_limit);
    }
    assert_true(most - least <= 1);
    if (maxproc > 0)
        assert_int_equal(sum, maxproc);
}

static void one_process_a_core_until_they_are_full(void **state UNUSED)
{
    expect_plan(100, 10000, 0, 2, 2);
    expect_plan(100, 10000, 0, 1, 1);
    expect_plan(100, 10000, 0, 64, 64);
    expect_plan(7, 10000, 0, 4, 4);
    expect_plan(100, 40, 0, 2, 3);
    expect_plan(100000, 10000, 0, 2, 10);
}

static void maxproc_one_is_one_process(void **state UNUSED)
{
    expect_plan(1, 10000, 0, 16, 1);
    expect_plan(1, 1, 0, 16, 1);
    expect_plan(1, 10000, 8, 16, 1);
}

static void never_more_processes_than_sessions(void **state UNUSED)
{
    expect_plan(3, 10000, 0, 16, 3);
    expect_plan(3, 10000, 9, 2, 3);
}

static void a_session_limit_of_one_is_one_process_a_session(void **state UNUSED)
{
    expect_plan(100, 1, 0, 2, 100);
    expect_plan(5, 1, 2, 2, 5);
}

static void the_process_limit_replaces_the_cores(void **state UNUSED)
{
    expect_plan(100, 10000, 5, 2, 5);
    expect_plan(100, 10, 5, 2, 10);
}

static void without_a_limit_each_process_takes_the_session_limit(void **state UNUSED)
{
    struct master_plan plan = plan_make(0, 500, 0, 2);

    assert_true(plan_is_unlimited(&plan));
    assert_int_equal(plan.processes, 2);
    assert_int_equal(plan_quota(&plan, 0), 500);
    assert_int_equal(plan_quota(&plan, 77), 500);
}

static void nonsense_is_made_sane(void **state UNUSED)
{
    struct master_plan plan = plan_make(-5, -1, -1, 0);

    assert_int_equal(plan.processes, 1);
    assert_int_equal(plan_quota(&plan, 0), 1);
}

static void wakeups_keep_their_rhythm(void **state UNUSED)
{
    assert_int_equal(plan_next_wakeup(1000, 60000, 1005), 61000);
    assert_int_equal(plan_next_wakeup(61000, 60000, 61900), 121000);
}

static void missed_wakeups_do_not_come_in_a_burst(void **state UNUSED)
{
    assert_int_equal(plan_next_wakeup(1000, 5000, 100000), 105000);
    assert_int_equal(plan_next_wakeup(1000, 5000, 6000), 11000);
}

static void services_that_cannot_start_are_throttled(void **state UNUSED)
{
    assert_true(plan_throttles(false, 1));
    assert_false(plan_throttles(true, 1));
    assert_false(plan_throttles(true, 5));
    assert_true(plan_throttles(true, 6));
}

static void descriptors_grow_with_sessions(void **state UNUSED)
{
    assert_true(plan_descriptors(0) >= 256);
    assert_true(plan_descriptors(10000) >= 10000 * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_a_core_until_they_are_full),
        cmocka_unit_test(maxproc_one_is_one_process),
        cmocka_unit_test(never_more_processes_than_sessions),
        cmocka_unit_test(a_session_limit_of_one_is_one_process_a_session),
        cmocka_unit_test(the_process_limit_replaces_the_cores),
        cmocka_unit_test(without_a_limit_each_process_takes_the_session_limit),
        cmocka_unit_test(nonsense_is_made_sane),
        cmocka_unit_test(wakeups_keep_their_rhythm),
        cmocka_unit_test(missed_wakeups_do_not_come_in_a_burst),
        cmocka_unit_test(services_that_cannot_start_are_throttled),
        cmocka_unit_test(descriptors_grow_with_sessions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
