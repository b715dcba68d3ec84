#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "util/timefmt.h"

static void zone(const char *tz)
{
    setenv("TZ", tz, 1);
    tzset();
}

static void time_values_have_units(void **state UNUSED)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {
        {"0", 0},     {"5", 300},    {"5s", 5},      {"5m", 300},
        {"2h", 7200}, {"1d", 86400}, {"1w", 604800}, {"2147483647s", INT32_MAX},
    };
    int64_t seconds;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(time_value_parse(span_str(rows[i].text), 'm', &seconds));
        assert_true(seconds == rows[i].seconds);
    }
}

static void malformed_time_values_are_refused(void **state UNUSED)
{
    static const char *const bad[] = {
        "",    "m",  "-1",  "1.5h",        "5x",    "5M",
        "5 m", " 5", "5mm", "2147483648s", "4000w", "9999999999",
    };
    int64_t seconds = 77;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(time_value_parse(span_str(bad[i]), 's', &seconds));
    assert_int_equal(seconds, 77);
}

static void dates_are_rfc5322_in_local_time(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;

    zone("UTC0");
    time_rfc5322(&sb, 1795414200);
    assert_string_equal(sb.ptr, "Mon, 23 Nov 2026 06:10:00 +0000 (UTC)");
    strbuf_reset(&sb);
    zone("NST3:30");
    time_rfc5322(&sb, 0);
    assert_string_equal(sb.ptr, "Wed, 31 Dec 1969 20:30:00 -0330 (NST)");
    strbuf_reset(&sb);
    zone("CET-1");
    time_rfc5322(&sb, 2 * 86400);
    assert_string_equal(sb.ptr, "Sat,  3 Jan 1970 01:00:00 +0100 (CET)");
    strbuf_free(&sb);
}

static void syslog_stamps_pad_the_day(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;

    zone("UTC0");
    time_syslog(&sb, 2 * 86400 + 61);
    assert_string_equal(sb.ptr, "Jan  3 00:01:01");
    strbuf_reset(&sb);
    time_syslog(&sb, 1795414200);
    assert_string_equal(sb.ptr, "Nov 23 06:10:00");
    strbuf_free(&sb);
}

static void delays_have_two_significant_digits(void **state UNUSED)
{
    static const struct {
        int64_t delay_us;
        int decimals;
        const char *want;
    } rows[] = {
        {0, 2, "0"},           {4999, 2, "0"},
        {5000, 2, "0.01"},     {20000, 2, "0.02"},
        {100000, 2, "0.1"},    {123456, 2, "0.12"},
        {999999, 2, "1"},      {1000000, 2, "1"},
        {3420000, 2, "3.4"},   {9960000, 2, "10"},
        {12300000, 2, "12"},   {99600000, 2, "100"},
        {123456789, 2, "123"}, {86400000000, 2, "86400"},
        {-5, 2, "0"},          {3420000, 0, "3"},
        {342000, 1, "0.3"},    {1234, 6, "0.0012"},
        {12, 6, "0.000012"},   {12, 9, "0.000012"},
        {10050000, 2, "10"},
    };
    struct strbuf sb = STRBUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        strbuf_reset(&sb);
        time_delay(&sb, rows[i].delay_us, rows[i].decimals);
        assert_string_equal(sb.ptr, rows[i].want);
    }
    strbuf_free(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_values_have_units),
        cmocka_unit_test(malformed_time_values_are_refused),
        cmocka_unit_test(dates_are_rfc5322_in_local_time),
        cmocka_unit_test(syslog_stamps_pad_the_day),
        cmocka_unit_test(delays_have_two_significant_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
