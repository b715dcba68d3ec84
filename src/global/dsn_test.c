#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "global/dsn.h"
#include "util/msg.h"

static void test_status(void **state)
{
    static const char *const good[] = {"2.0.0", "4.4.1", "5.123.456", "5.7.10"};
    static const char *const bad[] = {
        "",       "5",      "5.1",    "5.1.",     "3.0.0", "6.1.1",  "5.1.1.1",
        "5.01.1", "5.1.01", "5.1.1x", "5.1234.1", "5..1",  "55.1.1", "5.1.1234"};
    char out[DSN_STATUS_LEN];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(dsn_status_parse(span_str(good[i]), out));
        assert_string_equal(out, good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (dsn_status_parse(span_str(bad[i]), out))
            fail_msg("%s was accepted", bad[i]);
}

static void check_split(const char *text, char class, const char *status,
                        const char *rest)
{
    char out[DSN_STATUS_LEN];
    struct span got = dsn_split(span_str(text), "5.0.0", class, out);

    assert_string_equal(out, status);
    assert_true(span_eq_str(got, rest));
}

static void test_split(void **state)
{
    (void)state;
    check_split("5.1.1 user unknown", '5', "5.1.1", "user unknown");
    check_split("  4.2.0\tlater", 0, "4.2.0", "later");
    check_split("4.2.0 later", '5', "5.0.0", "4.2.0 later");
    check_split("no code", 0, "5.0.0", "no code");
    check_split("5.1.1", '5', "5.1.1", "");
    check_split("5.1.1user", '5', "5.0.0", "5.1.1user");
    check_split("", 0, "5.0.0", "");
}

static void test_split_settled(void **state)
{
    char out[DSN_STATUS_LEN];
    struct span rest;

    (void)state;
    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    rest = dsn_split_settled(SPAN_LIT("5.1.6 moved"), "4.0.0", "defer_append", out);
    assert_string_equal(out, "4.0.0");
    assert_true(span_eq_str(rest, "moved"));
    rest = dsn_split_settled(SPAN_LIT("4.2.1 full"), "4.0.0", "defer_append", out);
    assert_string_equal(out, "4.2.1");
    assert_true(span_eq_str(rest, "full"));
}

static void test_frame(void **state)
{
    struct dsn in = {.status = "5.1.1",
                     .action = "failed",
                     .reason = "why\n",
                     .diag_type = "smtp",
                     .diag_text = "550 no",
                     .mta_type = "dns",
                     .mta_name = "h.example"};
    struct arena *arena = arena_new();
    struct strbuf sb = STRBUF_INIT;
    const char *missing;
    struct dsn out;

    (void)state;
    dsn_to_frame(&in, &sb);
    assert_true(dsn_from_frame(strbuf_span(&sb), arena, &out, &missing));
    assert_string_equal(out.status, in.status);
    assert_string_equal(out.reason, in.reason);
    assert_string_equal(out.diag_text, in.diag_text);
    assert_string_equal(out.mta_name, in.mta_name);
    strbuf_reset(&sb);
    strcpy(in.status, "9.9.9");
    dsn_to_frame(&in, &sb);
    assert_false(dsn_from_frame(strbuf_span(&sb), arena, &out, &missing));
    assert_string_equal(missing, "status");
    strbuf_free(&sb);
    arena_free(arena);
}

static void test_sysexits(void **state)
{
    char out[DSN_STATUS_LEN];

    (void)state;
    assert_string_equal(dsn_sysexits(67, out), "user unknown");
    assert_string_equal(out, "5.1.1");
    dsn_sysexits(75, out);
    assert_string_equal(out, "4.3.0");
    dsn_sysexits(1, out);
    assert_string_equal(out, "5.3.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_settled), cmocka_unit_test(test_frame),
        cmocka_unit_test(test_sysexits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
