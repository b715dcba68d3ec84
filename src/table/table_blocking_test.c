#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "table/table_type.h"

/* A kind whose calls block and say where they ran. */
struct slow {
    struct table table;
    pthread_t main;
    int inside, most;      /* calls of next at a time */
    _Atomic int elsewhere; /* calls that left the loop's thread alone */
    char seen[64];         /* last key and value */
};

static void blocked(struct slow *slow)
{
    usleep(50 * 1000);
    slow->elsewhere += !pthread_equal(slow->main, pthread_self()) && !table_in_fiber();
}

static enum table_status slow_update(struct table *table, struct span key,
                                     struct span value, UNUSED struct err *err)
{
    struct slow *slow = (struct slow *)table;

    blocked(slow);
    snprintf(slow->seen, sizeof(slow->seen), "%.*s=%.*s", SPAN_ARG(key),
             SPAN_ARG(value));
    return TABLE_FOUND;
}

static enum table_status slow_remove(struct table *table, struct span key,
                                     struct err *err)
{
    blocked((struct slow *)table);
    err_set(err, "cannot remove %.*s", SPAN_ARG(key));
    return TABLE_RETRY;
}

static enum table_status slow_next(struct table *table, bool first, struct strbuf *key,
                                   struct strbuf *value, UNUSED struct err *err)
{
    struct slow *slow = (struct slow *)table;

    if (++slow->inside > slow->most)
        slow->most = slow->inside;
    blocked(slow);
    slow->inside--;
    strbuf_add_str(key, "k");
    strbuf_add_str(value, "v");
    return first ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static const struct table_type slow_type = {
    .name = "slow",
    .size = sizeof(struct slow),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .thread_safe = true,
    .update = slow_update,
    .remove = slow_remove,
    .next = slow_next,
};

static void slow_init(struct slow *slow)
{
    *slow = (struct slow){.main = pthread_self()};
    slow->table = (struct table){.type = &slow_type,
                                 .full_name = "slow:x",
                                 .mode = TABLE_WRITE,
                                 .flags = slow_type.flags,
                                 .thread_safe = true};
    strbuf_init(&slow->table.key);
    strbuf_init(&slow->table.seq_key);
    strbuf_init(&slow->table.seq_value);
    fiber_queue_init(&slow->table.waiters);
}

static void slow_free(struct slow *slow)
{
    strbuf_free(&slow->table.key);
    strbuf_free(&slow->table.seq_key);
    strbuf_free(&slow->table.seq_value);
}

static void count_ticks(void *arg)
{
    int *ticks = arg;

    while (fiber_sleep(2) == WAIT_READY)
        ++*ticks;
}

static int change_body(void *arg)
{
    struct slow *slow = arg;
    struct span key, value;
    struct err err;
    int ticks = 0;
    struct fiber *other = fiber_spawn("ticks", count_ticks, &ticks);

    assert_int_equal(
        table_update(&slow->table, SPAN_LIT("KEY"), SPAN_LIT("Value"), &err),
        TABLE_FOUND);
    assert_string_equal(slow->seen, "key=Value");
    assert_int_equal(table_delete(&slow->table, SPAN_LIT("KEY"), &err), TABLE_RETRY);
    assert_string_equal(err.text, "cannot remove key");
    assert_int_equal(table_next(&slow->table, true, &key, &value, &err), TABLE_FOUND);
    assert_true(span_eq_str(key, "k") && span_eq_str(value, "v"));
    assert_int_equal(slow->elsewhere, 3);
    assert_true(ticks >= 15); /* of about 75 */
    fiber_cancel(other);
    while (fiber_count() > 1)
        fiber_sleep(1);
    return 0;
}

static void test_changes_hold_up_nobody(UNUSED void **state)
{
    struct slow slow;

    slow_init(&slow);
    assert_int_equal(fiber_main(change_body, &slow), 0);
    slow_free(&slow);
}

static void walk(void *arg)
{
    struct slow *slow = arg;
    struct span key, value;
    struct err err;

    table_next(&slow->table, true, &key, &value, &err);
}

static int walk_body(void *arg)
{
    struct slow *slow = arg;
    struct err err;

    for (int i = 0; i < 4; i++)
        fiber_spawn("walk", walk, slow);
    fiber_sleep(10);
    /* Of a kind that is safe on several threads, only walks take turns: neither waits
     * for them, nor ends the turn of one. */
    table_update(&slow->table, SPAN_LIT("a"), SPAN_LIT("b"), &err);
    while (fiber_count() > 1)
        fiber_sleep(1);
    assert_int_equal(slow->most, 1);
    assert_int_equal(slow->elsewhere, 5);
    return 0;
}

static void test_walks_take_turns(UNUSED void **state)
{
    struct slow slow;

    slow_init(&slow);
    assert_int_equal(fiber_main(walk_body, &slow), 0);
    slow_free(&slow);
}

static void test_commands_need_no_worker(UNUSED void **state)
{
    struct slow slow;
    struct err err;

    slow_init(&slow);
    assert_int_equal(table_update(&slow.table, SPAN_LIT("a"), SPAN_LIT("b"), &err),
                     TABLE_FOUND);
    assert_int_equal(slow.elsewhere, 0);
    slow_free(&slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_need_no_worker),
        cmocka_unit_test(test_changes_hold_up_nobody),
        cmocka_unit_test(test_walks_take_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
