#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "util/strbuf.h"

static void an_empty_buffer_is_a_string(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    char *detached;

    assert_string_equal(sb.ptr, "");
    strbuf_add(&sb, NULL, 0);
    strbuf_reset(&sb);
    strbuf_consume(&sb, 0);
    assert_string_equal(sb.ptr, "");
    detached = strbuf_detach(&sb);
    assert_string_equal(detached, "");
    free(detached);
    strbuf_free(&sb);
    assert_int_equal(strbuf_empty[0], 0);
}

static void it_grows_and_stays_terminated(void **state UNUSED)
{
    struct strbuf sb;

    strbuf_init(&sb);
    for (int i = 0; i < 10000; i++) {
        strbuf_add_char(&sb, (char)('a' + i % 26));
        assert_int_equal(sb.ptr[sb.len], 0);
    }
    assert_int_equal(sb.len, 10000);
    assert_int_equal(sb.ptr[9999], 'a' + 9999 % 26);
    strbuf_add_str(&sb, "str");
    strbuf_add_span(&sb, SPAN_LIT("s\0n"));
    assert_int_equal(sb.len, 10006);
    assert_memory_equal(sb.ptr + 10000, "strs\0n", 7);
    strbuf_free(&sb);
    assert_int_equal(sb.len, 0);
}

static void formatting_appends_whatever_the_length(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_addf(&sb, "%d-%s", 42, "x");
    assert_string_equal(sb.ptr, "42-x");
    strbuf_addf(&sb, "%*s|", 5000, "y");
    assert_int_equal(sb.len, 4 + 5001);
    assert_string_equal(sb.ptr + 5003, "y|");
    for (int width = 50; width < 80; width++) {
        strbuf_free(&sb);
        strbuf_addf(&sb, "%*d", width, 7);
        assert_int_equal(sb.len, width);
        assert_int_equal(sb.ptr[width], 0);
    }
    strbuf_free(&sb);
}

static void both_ends_can_be_cut(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    char *detached;

    strbuf_add_str(&sb, "0123456789");
    strbuf_consume(&sb, 3);
    strbuf_truncate(&sb, 4);
    assert_string_equal(sb.ptr, "3456");
    assert_true(span_eq_str(strbuf_span(&sb), "3456"));
    detached = strbuf_detach(&sb);
    assert_string_equal(detached, "3456");
    assert_int_equal(sb.len, 0);
    assert_string_equal(sb.ptr, "");
    free(detached);
}

static void reserved_room_can_be_written_directly(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    char *before;

    strbuf_reserve(&sb, 1000);
    before = sb.ptr;
    memset(sb.ptr, 'x', 1000);
    sb.len = 1000;
    strbuf_truncate(&sb, 1000);
    assert_int_equal(sb.ptr[1000], 0);
    assert_ptr_equal(sb.ptr, before);
    strbuf_free(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_is_a_string),
        cmocka_unit_test(it_grows_and_stays_terminated),
        cmocka_unit_test(formatting_appends_whatever_the_length),
        cmocka_unit_test(both_ends_can_be_cut),
        cmocka_unit_test(reserved_room_can_be_written_directly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
