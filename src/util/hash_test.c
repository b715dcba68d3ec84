#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "util/hash.h"

struct entry {
    struct hash_node node;
    char key[16];
    int seen;
};

static void entries_are_found_after_growth_and_removal(void **state UNUSED)
{
    enum { COUNT = 1000 };
    struct entry *entries = xcalloc(COUNT, sizeof(*entries));
    struct hash table;

    hash_init(&table, false);
    assert_null(hash_find(&table, SPAN_LIT("key0")));
    for (int i = 0; i < COUNT; i++) {
        snprintf(entries[i].key, sizeof entries[i].key, "key%d", i);
        hash_insert(&table, &entries[i].node, span_str(entries[i].key));
    }
    assert_int_equal(table.count, COUNT);
    for (int i = 0; i < COUNT; i += 2)
        hash_remove(&table, &entries[i].node);
    assert_int_equal(table.count, COUNT / 2);
    for (int i = 0; i < COUNT; i++) {
        struct hash_node *node = hash_find(&table, span_str(entries[i].key));

        assert_ptr_equal(node, i % 2 ? &entries[i].node : NULL);
    }
    hash_free(&table);
    assert_null(hash_find(&table, SPAN_LIT("key1")));
    free(entries);
}

static void iteration_sees_each_once_and_allows_removal(void **state UNUSED)
{
    struct entry entries[100] = {0};
    struct hash table;
    size_t seen = 0;

    hash_init(&table, false);
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        snprintf(entries[i].key, sizeof entries[i].key, "%zu", i);
        hash_insert(&table, &entries[i].node, span_str(entries[i].key));
    }
    for (struct hash_node *node = hash_next(&table, NULL), *next; node; node = next) {
        struct entry *entry = hash_entry(node, struct entry, node);

        next = hash_next(&table, node);
        assert_int_equal(entry->seen++, 0);
        seen++;
        if (seen % 3 == 0)
            hash_remove(&table, node);
    }
    assert_int_equal(seen, ARRAY_LEN(entries));
    assert_int_equal(table.count, ARRAY_LEN(entries) - ARRAY_LEN(entries) / 3);
    hash_free(&table);
}

static void case_is_ignored_on_request(void **state UNUSED)
{
    struct entry entry = {0};
    struct hash table;

    hash_init(&table, true);
    hash_insert(&table, &entry.node, SPAN_LIT("Example.COM"));
    assert_ptr_equal(hash_find(&table, SPAN_LIT("eXAMPLE.com")), &entry.node);
    hash_free(&table);
    assert_true(table.ignore_case);

    hash_init(&table, false);
    hash_insert(&table, &entry.node, SPAN_LIT("Example.COM"));
    assert_null(hash_find(&table, SPAN_LIT("example.com")));
    hash_free(&table);
}

static void the_empty_key_is_a_key(void **state UNUSED)
{
    struct entry entry = {0};
    struct hash table;

    hash_init(&table, false);
    hash_insert(&table, &entry.node, SPAN_EMPTY);
    assert_ptr_equal(hash_find(&table, SPAN_LIT("")), &entry.node);
    hash_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_after_growth_and_removal),
        cmocka_unit_test(iteration_sees_each_once_and_allows_removal),
        cmocka_unit_test(case_is_ignored_on_request),
        cmocka_unit_test(the_empty_key_is_a_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
