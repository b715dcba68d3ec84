#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/frame.h"

static void written_frames_are_read_back(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    struct frame frame;
    struct frame_reader r;
    size_t mark, used;

    mark = frame_begin(&sb, 7);
    frame_str(&sb, "queue_id", "4bXyz");
    frame_num(&sb, "size", INT64_MIN);
    frame_span(&sb, "binary", span_of("a\0b", 3));
    frame_span(&sb, "empty", SPAN_EMPTY);
    frame_end(&sb, mark);
    mark = frame_begin(&sb, 8);
    frame_num(&sb, "size", 0);
    frame_end(&sb, mark);

    assert_int_equal(frame_parse(strbuf_span(&sb), &frame, &used), FRAME_COMPLETE);
    assert_int_equal(frame.id, 7);
    r = frame_reader(frame.body);
    assert_true(span_eq_str(frame_want_span(&r, "queue_id"), "4bXyz"));
    assert_true(frame_want_num(&r, "size") == INT64_MIN);
    assert_true(span_eq(frame_want_span(&r, "binary"), span_of("a\0b", 3)));
    assert_int_equal(frame_want_span(&r, "empty").len, 0);
    assert_int_equal(frame_opt_num(&r, "absent", 42), 42);
    assert_null(r.missing);

    strbuf_consume(&sb, used);
    assert_int_equal(frame_parse(strbuf_span(&sb), &frame, &used), FRAME_COMPLETE);
    assert_int_equal(frame.id, 8);
    assert_int_equal(used, sb.len);
    strbuf_free(&sb);
}

static void a_missing_or_malformed_attribute_is_named(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    struct frame_reader r;

    frame_str(&sb, "sender", "a@example.com");
    frame_str(&sb, "size", "12x");
    r = frame_reader(strbuf_span(&sb));
    assert_int_equal(frame_want_num(&r, "size"), 0);
    frame_want_span(&r, "recipient");
    assert_string_equal(r.missing, "size");
    r = frame_reader(strbuf_span(&sb));
    assert_int_equal(frame_opt_span(&r, "recipient").len, 0);
    assert_null(r.missing);
    frame_want_span(&r, "recipient");
    assert_string_equal(r.missing, "recipient");
    assert_int_equal(frame_opt_num(&r, "sender", 5), 5);
    strbuf_free(&sb);
}

static void the_first_of_equal_names_counts(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    struct span value;

    frame_str(&sb, "rcpt", "one");
    frame_str(&sb, "rcpt", "two");
    assert_true(frame_get(strbuf_span(&sb), "rcpt", &value));
    assert_true(span_eq_str(value, "one"));
    assert_false(frame_get(strbuf_span(&sb), "rcp", &value));
    strbuf_free(&sb);
}

static void groups_nest_and_are_walked_in_order(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    struct frame frame;
    struct frame_attr attr;
    struct span body;
    size_t mark, used, seen = 0;

    mark = frame_begin(&sb, 1);
    for (int i = 0; i < 3; i++) {
        size_t group = frame_group_begin(&sb, "rcpt");

        frame_num(&sb, "offset", i);
        frame_group_end(&sb, group);
    }
    frame_end(&sb, mark);
    assert_int_equal(frame_parse(strbuf_span(&sb), &frame, &used), FRAME_COMPLETE);
    for (body = frame.body; frame_next(&body, &attr); seen++) {
        struct frame_reader r = frame_reader(attr.value);

        assert_true(span_eq_str(attr.name, "rcpt"));
        assert_true(frame_group_check(attr.value));
        assert_int_equal(frame_want_num(&r, "offset"), (int)seen);
        assert_null(r.missing);
    }
    assert_int_equal(seen, 3);
    strbuf_free(&sb);
}

static void every_prefix_is_partial(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    struct frame frame;
    size_t mark = frame_begin(&sb, 3), used;

    frame_str(&sb, "a", "b");
    frame_end(&sb, mark);
    for (size_t len = 0; len < sb.len; len++)
        assert_int_equal(frame_parse(span_of(sb.ptr, len), &frame, &used),
                         FRAME_PARTIAL);
    strbuf_free(&sb);
}

static void nonsense_is_broken(void **state UNUSED)
{
    static const struct span bad[] = {
        {"\0\0\0\0\0\0\0\0", 8},                /* shorter than its id */
        {"\x01\0\0\x01", 4},                    /* one byte above FRAME_MAX */
        {"\xff\xff\xff\xff\0\0\0\0", 8},        /* huge */
        {"\x05\0\0\0\1\0\0\0\3", 9},            /* attribute cut in its name */
        {"\x0a\0\0\0\1\0\0\0\0\0\0\0\0\0", 14}, /* empty attribute name */
        {"\x0a\0\0\0\1\0\0\0\1x\1\0\0\0", 14},  /* value beyond the end */
        {"\x0a\0\0\0\1\0\0\0\1x\xff\xff\xff\xff", 14},
    };
    struct frame frame;
    size_t used;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(frame_parse(bad[i], &frame, &used), FRAME_BROKEN);
    assert_false(frame_group_check(SPAN_LIT("not attributes")));
    assert_true(frame_group_check(SPAN_EMPTY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_frames_are_read_back),
        cmocka_unit_test(a_missing_or_malformed_attribute_is_named),
        cmocka_unit_test(the_first_of_equal_names_counts),
        cmocka_unit_test(groups_nest_and_are_walked_in_order),
        cmocka_unit_test(every_prefix_is_partial),
        cmocka_unit_test(nonsense_is_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
