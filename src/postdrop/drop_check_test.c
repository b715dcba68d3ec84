#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "global/rec.h"
#include "postdrop/drop_check.h"

#define LINE_LIMIT 100

static struct drop_check fresh(void)
{
    return (struct drop_check){.line_limit = LINE_LIMIT, .attr_limit = 3};
}

static enum drop_verdict put(struct drop_check *dc, int type, const char *text)
{
    return drop_check_record(dc, type, span_str(text));
}

/* A message up to and including the record of the wanted stage. */
static struct drop_check at_stage(enum drop_stage stage)
{
    struct drop_check dc = fresh();

    assert_int_equal(put(&dc, REC_SENDER, "a@b"), DROP_KEEP);
    assert_int_equal(put(&dc, REC_RCPT, "c@d"), DROP_KEEP);
    if (stage >= DROP_CONTENT)
        assert_int_equal(put(&dc, REC_MESSAGE, ""), DROP_KEEP);
    if (stage >= DROP_EXTRACTED)
        assert_int_equal(put(&dc, REC_EXTRACTED, ""), DROP_KEEP);
    if (stage >= DROP_END)
        assert_int_equal(put(&dc, REC_END, ""), DROP_KEEP);
    assert_int_equal(dc.stage, stage);
    return dc;
}

static void test_each_stage_has_its_types(void **state)
{
    static const struct {
        enum drop_stage stage;
        const char *types;
    } rows[] = {
        {DROP_ENVELOPE, "FRVAinM"},
        {DROP_CONTENT, "NLX"},
        {DROP_EXTRACTED, "ARE"},
        {DROP_END, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int type = 1; type < 256; type++) {
            struct drop_check dc = at_stage(rows[i].stage);
            bool expected = strchr(rows[i].types, type) != NULL;
            enum drop_verdict verdict = put(&dc, type, "");

            if (expected)
                assert_int_not_equal(verdict, DROP_UNEXPECTED);
            else
                assert_int_equal(verdict, DROP_UNEXPECTED);
        }
    }
}

static void test_sender_comes_once(void **state)
{
    struct drop_check dc = fresh();

    (void)state;
    assert_int_equal(put(&dc, REC_SENDER, ""), DROP_KEEP);
    assert_int_equal(put(&dc, REC_SENDER, "x@y"), DROP_UNEXPECTED);
}

static void test_attributes(void **state)
{
    static const struct {
        const char *text;
        enum drop_verdict verdict;
    } rows[] = {
        {"encoding=8bit", DROP_KEEP},
        {"encoding=binary", DROP_IGNORE},
        {"rewrite_context=local", DROP_KEEP},
        {"rewrite_context=other", DROP_IGNORE},
        {"trace_flags=1024", DROP_KEEP},
        {"trace_flags=-1", DROP_IGNORE},
        {"trace_flags=99999999999", DROP_IGNORE},
        {"notify_flags=15", DROP_KEEP},
        {"notify_flags=16", DROP_IGNORE},
        {"envelope_id=x y", DROP_KEEP},
        {"envelope_id=x\ny", DROP_IGNORE},
        {"sasl_username=root", DROP_IGNORE},
        {"client_address=127.0.0.1", DROP_IGNORE},
        {"create_time=5", DROP_IGNORE},
        {"encoding", DROP_NO_EQUALS},
        {"=8bit", DROP_NO_EQUALS},
        {"", DROP_NO_EQUALS},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct drop_check dc = fresh();

        assert_int_equal(put(&dc, REC_ATTR, rows[i].text), rows[i].verdict);
    }
}

static void test_number_of_attributes_is_bounded(void **state)
{
    struct drop_check dc = fresh();

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(&dc, REC_ATTR, "trace_flags=1"), DROP_KEEP);
    assert_int_equal(put(&dc, REC_ATTR, "trace_flags=1"), DROP_MALFORMED);
}

static void test_data_that_cannot_be(void **state)
{
    struct drop_check dc = fresh();
    char line[LINE_LIMIT + 1] = {0};

    (void)state;
    memset(line, 'x', sizeof line);
    assert_int_equal(drop_check_record(&dc, REC_RCPT, SPAN_LIT("a\0b")),
                     DROP_MALFORMED);
    assert_int_equal(drop_check_record(&dc, REC_SENDER, SPAN_LIT("\0")),
                     DROP_MALFORMED);
    assert_int_equal(put(&dc, REC_VERP, "+"), DROP_MALFORMED);
    assert_int_equal(put(&dc, REC_VERP, "+="), DROP_KEEP);
    assert_int_equal(put(&dc, REC_DSN_NOTIFY, "x"), DROP_MALFORMED);
    assert_int_equal(drop_check_record(&dc, REC_RCPT, span_of(line, LINE_LIMIT)),
                     DROP_KEEP);
    assert_int_equal(drop_check_record(&dc, REC_RCPT, span_of(line, LINE_LIMIT + 1)),
                     DROP_TOO_LONG);
}

static void test_content_may_hold_anything(void **state)
{
    struct drop_check dc = at_stage(DROP_CONTENT);

    (void)state;
    assert_int_equal(drop_check_record(&dc, REC_LINE, SPAN_LIT("\0\r\n\377")),
                     DROP_KEEP);
}

static void test_complete(void **state)
{
    struct drop_check dc = at_stage(DROP_EXTRACTED);

    (void)state;
    assert_false(drop_check_complete(&dc));
    dc = at_stage(DROP_END);
    assert_true(drop_check_complete(&dc));
    dc = fresh();
    put(&dc, REC_SENDER, "a@b");
    put(&dc, REC_MESSAGE, "");
    put(&dc, REC_EXTRACTED, "");
    put(&dc, REC_RCPT, "c@d"); /* from the header: good enough */
    put(&dc, REC_END, "");
    assert_true(drop_check_complete(&dc));
    dc = fresh();
    put(&dc, REC_RCPT, "c@d");
    put(&dc, REC_MESSAGE, "");
    put(&dc, REC_EXTRACTED, "");
    put(&dc, REC_END, "");
    assert_false(drop_check_complete(&dc));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_stage_has_its_types),
        cmocka_unit_test(test_sender_comes_once),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_number_of_attributes_is_bounded),
        cmocka_unit_test(test_data_that_cannot_be),
        cmocka_unit_test(test_content_may_hold_anything),
        cmocka_unit_test(test_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
