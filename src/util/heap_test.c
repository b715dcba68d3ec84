#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "util/heap.h"

static void test_empty(void **state)
{
    struct heap heap;
    struct heap_node node = {0};

    (void)state;
    heap_init(&heap);
    assert_null(heap_min(&heap));
    assert_false(heap_linked(&node));
    heap_remove(&heap, &node); /* no-op */
    heap_free(&heap);
}

static void test_pops_in_order(void **state)
{
    enum { N = 1000 };
    struct heap_node *nodes = calloc(N, sizeof *nodes);
    struct heap heap;
    int64_t last = INT64_MIN;

    (void)state;
    heap_init(&heap);
    for (int i = 0; i < N; i++)
        heap_insert(&heap, &nodes[i], (i * 7919) % 331 - 100);
    for (int i = 0; i < N; i++) {
        struct heap_node *node = heap_min(&heap);

        assert_true(node->key >= last);
        last = node->key;
        heap_remove(&heap, node);
        assert_false(heap_linked(node));
    }
    assert_null(heap_min(&heap));
    heap_free(&heap);
    free(nodes);
}

static int64_t least_linked(const struct heap_node *nodes, int count)
{
    int64_t least = INT64_MAX;

    for (int i = 0; i < count; i++) {
        if (heap_linked(&nodes[i]) && nodes[i].key < least)
            least = nodes[i].key;
    }
    return least;
}

static void test_random_removal_keeps_the_minimum(void **state)
{
    enum { N = 64 };
    struct heap_node nodes[N] = {0};
    struct heap heap;

    (void)state;
    srand(1);
    heap_init(&heap);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[rand() % N];

        if (heap_linked(node))
            heap_remove(&heap, node);
        else
            heap_insert(&heap, node, rand() % 50);
        if (heap.count == 0)
            assert_null(heap_min(&heap));
        else
            assert_int_equal(heap_min(&heap)->key, least_linked(nodes, N));
    }
    heap_free(&heap);
    for (int i = 0; i < N; i++)
        assert_false(heap_linked(&nodes[i]));
}

static void test_extreme_keys(void **state)
{
    struct heap_node low = {0}, mid = {0}, high = {0};
    struct heap heap;

    (void)state;
    heap_init(&heap);
    heap_insert(&heap, &high, INT64_MAX);
    heap_insert(&heap, &mid, 0);
    heap_insert(&heap, &low, INT64_MIN);
    assert_ptr_equal(heap_min(&heap), &low);
    heap_remove(&heap, &low);
    assert_ptr_equal(heap_min(&heap), &mid);
    heap_remove(&heap, &mid);
    assert_ptr_equal(heap_min(&heap), &high);
    heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_pops_in_order),
        cmocka_unit_test(test_random_removal_keeps_the_minimum),
        cmocka_unit_test(test_extreme_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
