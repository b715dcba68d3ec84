#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/arena.h"

static void memory_is_zeroed_aligned_and_apart(void **state UNUSED)
{
    struct arena *arena = arena_new();
    unsigned char *last = NULL;

    for (int round = 0; round < 2; round++) {
        for (size_t size = 0; size < 3000; size += 7) {
            unsigned char *ptr = arena_alloc(arena, size);

            assert_non_null(ptr);
            assert_int_equal((uintptr_t)ptr % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(ptr[i], 0);
            memset(ptr, 0xAA, size);
            if (last && size > 7)
                assert_int_equal(last[size - 8], 0xAA);
            last = ptr;
        }
        arena_reset(arena);
        last = NULL;
    }
    arena_free(arena);
}

static void reset_keeps_one_small_block(void **state UNUSED)
{
    struct arena *arena = arena_new();
    size_t small;

    assert_int_equal(arena_bytes(arena), 0);
    arena_alloc(arena, 1);
    small = arena_bytes(arena);
    assert_true(small > 0 && small <= 4096);
    for (int i = 0; i < 1000; i++)
        arena_alloc(arena, 500);
    arena_alloc(arena, 1000000);
    assert_true(arena_bytes(arena) >= 1500000);
    arena_reset(arena);
    assert_int_equal(arena_bytes(arena), small);
    arena_alloc(arena, 500);
    assert_int_equal(arena_bytes(arena), small);
    arena_free(arena);
}

static void big_allocations_do_not_waste_the_block(void **state UNUSED)
{
    struct arena *arena = arena_new();
    char *before = arena_alloc(arena, 16), *after;

    memset(arena_alloc(arena, 100000), 1, 100000);
    after = arena_alloc(arena, 16);
    assert_true(after > before && after - before <= 64);
    arena_free(arena);
    arena_free(NULL);
}

static void copies_are_independent_strings(void **state UNUSED)
{
    struct arena *arena = arena_new();
    char source[] = "Mixed Case";
    struct span copy = arena_span(arena, span_str(source));
    struct span lower = arena_span_lower(arena, span_str(source));
    char *str = arena_str(arena, source);
    char *part = arena_span_str(arena, span_of(source, 5));

    memset(source, 'x', sizeof source - 1);
    assert_true(span_eq_str(copy, "Mixed Case"));
    assert_int_equal(copy.ptr[copy.len], 0);
    assert_true(span_eq_str(lower, "mixed case"));
    assert_string_equal(str, "Mixed Case");
    assert_string_equal(part, "Mixed");
    assert_string_equal(arena_span_str(arena, SPAN_EMPTY), "");
    assert_string_equal(arena_printf(arena, "%d/%s", 5, "y"), "5/y");
    assert_int_equal(strlen(arena_printf(arena, "%*d", 5000, 5)), 5000);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(reset_keeps_one_small_block),
        cmocka_unit_test(big_allocations_do_not_waste_the_block),
        cmocka_unit_test(copies_are_independent_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
