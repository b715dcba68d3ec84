#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "table/cidr_index.h"

static uint64_t state = 42;

static uint64_t random_bits(void)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return state >> 11 ^ state << 22;
}

static struct cidr_key masked(struct cidr_key key, unsigned len)
{
    if (len <= 64)
        return (struct cidr_key){len == 0 ? 0 : key.hi & UINT64_MAX << (64 - len), 0};
    return (struct cidr_key){key.hi, key.lo & UINT64_MAX << (128 - len)};
}

/* Addresses that are likely to be near one another: few bits are random. */
static struct cidr_key random_key(bool v4)
{
    struct cidr_key key = {random_bits() & UINT64_C(0x8100000381000000), 0};

    if (!v4) {
        key.hi |= random_bits() & 0x83;
        key.lo = random_bits() & UINT64_C(0xC100000000000083);
    }
    return key;
}

static uint32_t find_one_by_one(const struct cidr_net *nets, size_t count,
                                struct cidr_key key)
{
    uint32_t best = CIDR_INDEX_NONE;

    for (size_t i = 0; i < count; i++) {
        struct cidr_key start = masked(key, nets[i].prefix_len);
        if (start.hi == nets[i].start.hi && start.lo == nets[i].start.lo &&
            nets[i].number < best)
            best = nets[i].number;
    }
    return best;
}

static void compare(struct cidr_net *nets, size_t count, bool v4)
{
    struct cidr_net *copy = xcalloc(count + 1, sizeof(*copy));

    memcpy(copy, nets, count * sizeof(*copy));
    struct cidr_index *index = cidr_index_new(copy, count);
    free(copy);
    for (int i = 0; i < 300; i++) {
        struct cidr_key key = random_key(v4);
        uint32_t expected = find_one_by_one(nets, count, key);
        if (cidr_index_find(index, key) != expected)
            fail_msg("%zu networks, key %llx:%llx: %u instead of %u", count,
                     (unsigned long long)key.hi, (unsigned long long)key.lo,
                     (unsigned)cidr_index_find(index, key), (unsigned)expected);
    }
    cidr_index_free(index);
}

static void answers_as_one_by_one(void **unused)
{
    (void)unused;
    for (int round = 0; round < 400; round++) {
        struct cidr_net nets[60];
        bool v4 = round % 2;
        size_t count = random_bits() % (ARRAY_LEN(nets) + 1);
        for (size_t i = 0; i < count; i++) {
            unsigned len = (unsigned)(random_bits() % (v4 ? 33 : round % 4 ? 129 : 65));
            nets[i] = (struct cidr_net){masked(random_key(v4), len),
                                        (uint32_t)(random_bits() % 1000), (uint8_t)len};
        }
        compare(nets, count, v4);
    }
}

static void many_networks(void **unused)
{
    static struct cidr_net nets[6000];

    (void)unused;
    for (int round = 0; round < 4; round++) {
        bool v4 = round % 2;
        for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
            unsigned len = 8 + (unsigned)(random_bits() % (v4 ? 25 : 121));
            nets[i] = (struct cidr_net){masked(random_key(v4), len), (uint32_t)i,
                                        (uint8_t)len};
        }
        compare(nets, ARRAY_LEN(nets), v4);
    }
}

static void the_ends_of_the_address_space(void **unused)
{
    const struct cidr_key zero = {0, 0}, last = {UINT64_MAX, UINT64_MAX};
    struct cidr_net nets[] = {
        {zero, 5, 0},
        {zero, 3, 128},
        {last, 4, 128},
    };

    (void)unused;
    assert_null(cidr_index_new(NULL, 0));
    assert_int_equal(cidr_index_find(NULL, zero), CIDR_INDEX_NONE);
    struct cidr_index *index = cidr_index_new(nets, 3);
    assert_int_equal(cidr_index_find(index, zero), 3);
    assert_int_equal(cidr_index_find(index, last), 4);
    assert_int_equal(cidr_index_find(index, (struct cidr_key){0, 1}), 5);
    assert_int_equal(cidr_index_find(index, (struct cidr_key){UINT64_MAX, 0}), 5);
    cidr_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_one_by_one),
        cmocka_unit_test(many_networks),
        cmocka_unit_test(the_ends_of_the_address_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
