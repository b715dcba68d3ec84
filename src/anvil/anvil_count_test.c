#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "anvil/anvil.h"
#include "util/frame.h"

#define PERIOD_MS 60000

struct fixture {
    struct anvil anvil;
    struct anvil_reporter one, two;
    int64_t now_ms;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);

    anvil_init(&f->anvil, PERIOD_MS);
    anvil_reporter_init(&f->one, &f->anvil);
    anvil_reporter_init(&f->two, &f->anvil);
    f->now_ms = 1000;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    anvil_reporter_free(&f->one, f->now_ms);
    anvil_reporter_free(&f->two, f->now_ms);
    anvil_free(&f->anvil);
    free(f);
    return 0;
}

/* The value of one attribute of the reply. */
static int64_t ask(struct fixture *f, struct anvil_reporter *rep, const char *request,
                   const char *ident, const char *wanted)
{
    struct strbuf sb = STRBUF_INIT, reply = STRBUF_INIT;
    struct frame_reader r;
    int64_t value;

    frame_str(&sb, "request", request);
    if (ident)
        frame_str(&sb, "ident", ident);
    anvil_request(rep, strbuf_span(&sb), f->now_ms, 1795416367, &reply);
    r = frame_reader(strbuf_span(&reply));
    value = frame_opt_num(&r, wanted, -1);
    strbuf_free(&sb);
    strbuf_free(&reply);
    return value;
}

static void connections_are_counted_until_they_end(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, &f->one, "connect", "smtp:a", "count"), 1);
    assert_int_equal(ask(f, &f->two, "connect", "smtp:a", "count"), 2);
    assert_int_equal(ask(f, &f->two, "connect", "smtp:b", "count"), 1);
    assert_int_equal(ask(f, &f->one, "disconnect", "smtp:a", "status"), 0);
    assert_int_equal(ask(f, &f->one, "lookup", "smtp:a", "count"), 1);
    assert_int_equal(ask(f, &f->one, "connect", "smtp:a", "rate"), 3);
}

static void a_reporter_ends_only_what_it_began(void **state)
{
    struct fixture *f = *state;

    ask(f, &f->one, "connect", "smtp:a", "count");
    ask(f, &f->two, "disconnect", "smtp:a", "status");
    ask(f, &f->two, "disconnect", "smtp:a", "status");
    assert_int_equal(ask(f, &f->one, "lookup", "smtp:a", "count"), 1);
}

static void connections_end_with_their_reporter(void **state)
{
    struct fixture *f = *state;

    ask(f, &f->one, "connect", "smtp:a", "count");
    ask(f, &f->one, "connect", "smtp:a", "count");
    ask(f, &f->two, "connect", "smtp:a", "count");
    anvil_reporter_free(&f->one, f->now_ms);
    anvil_reporter_init(&f->one, &f->anvil);
    assert_int_equal(ask(f, &f->two, "lookup", "smtp:a", "count"), 1);
}

static void rates_begin_anew_with_each_period(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, &f->one, "message", "smtp:a", "rate"), 1);
    f->now_ms += PERIOD_MS - 1;
    assert_int_equal(ask(f, &f->one, "message", "smtp:a", "rate"), 2);
    assert_int_equal(ask(f, &f->one, "recipient", "smtp:a", "rate"), 1);
    f->now_ms += 1;
    assert_int_equal(ask(f, &f->one, "message", "smtp:a", "rate"), 1);
    assert_int_equal(ask(f, &f->one, "lookup", "smtp:a", "recipient"), 0);
}

static void silent_clients_are_forgotten_connected_ones_are_not(void **state)
{
    struct fixture *f = *state;

    ask(f, &f->one, "message", "smtp:gone", "rate");
    ask(f, &f->one, "connect", "smtp:here", "count");
    f->now_ms += PERIOD_MS;
    anvil_expire(&f->anvil, f->now_ms);
    assert_int_equal(f->anvil.entries.count, 1);
    assert_int_equal(ask(f, &f->one, "lookup", "smtp:here", "count"), 1);
    ask(f, &f->one, "disconnect", "smtp:here", "status");
    f->now_ms += PERIOD_MS;
    anvil_expire(&f->anvil, f->now_ms);
    assert_int_equal(f->anvil.entries.count, 0);
}

static void peaks_remember_the_highest(void **state)
{
    struct fixture *f = *state;

    ask(f, &f->one, "auth", "smtp:a", "rate");
    ask(f, &f->one, "auth", "smtp:a", "rate");
    ask(f, &f->one, "auth", "smtp:b", "rate");
    assert_int_equal(f->anvil.rate_peaks[ANVIL_RATE_AUTH].value, 2);
    assert_string_equal(f->anvil.rate_peaks[ANVIL_RATE_AUTH].ident, "smtp:a");
    assert_int_equal(f->anvil.size_peak.value, 2);
    anvil_log_peaks(&f->anvil);
    assert_int_equal(f->anvil.rate_peaks[ANVIL_RATE_AUTH].value, 0);
}

static void nonsense_fails(void **state)
{
    struct fixture *f = *state;
    char ident[ANVIL_IDENT_MAX + 1];

    memset(ident, 'x', sizeof ident - 1);
    ident[sizeof ident - 1] = '\0';
    assert_int_equal(ask(f, &f->one, "connect", ident, "status"), 1);
    assert_int_equal(ask(f, &f->one, "connect", "", "status"), 1);
    assert_int_equal(ask(f, &f->one, "connect", NULL, "status"), 1);
    assert_int_equal(ask(f, &f->one, "frobnicate", "smtp:a", "status"), 1);
    assert_int_equal(f->anvil.entries.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connections_are_counted_until_they_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reporter_ends_only_what_it_began, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(connections_end_with_their_reporter, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(rates_begin_anew_with_each_period, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            silent_clients_are_forgotten_connected_ones_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(peaks_remember_the_highest, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_fails, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
