/* The log lines that other programs read: exact texts, and hostile input escaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/event.h"
#include "util/file.h"
#include "util/msg.h"

static char log_path[] = "/tmp/event_test.XXXXXX";

/* The text of the only line logged since the last call. */
static void expect(const char *text)
{
    struct strbuf sb = STRBUF_INIT;
    struct span rest, head;
    struct err err;

    msg_flush();
    assert_true(file_read_all(log_path, 100000, &sb, &err));
    rest = strbuf_span(&sb);
    head = span_cut(&rest, ']'); /* date host ident[pid] */
    assert_true(head.len > 0 && span_starts(rest, SPAN_LIT(": ")));
    rest = span_skip(rest, 2);
    assert_true(rest.len > 0 && rest.ptr[rest.len - 1] == '\n');
    rest.len--;
    if (!span_eq_str(rest, text))
        fail_msg("logged:   %.*s\nexpected: %s", SPAN_ARG(rest), text);
    strbuf_free(&sb);
    assert_int_equal(truncate(log_path, 0), 0);
}

static void test_queue_lines(void **state)
{
    (void)state;
    event_active("ABC", "a b@x.test", 300, 2);
    expect("ABC: from=<\"a b\"@x.test>, size=300, nrcpt=2 (queue active)");
    event_active("ABC", "", 300, 1);
    expect("ABC: from=<>, size=300, nrcpt=1 (queue active)");
    event_removed("ABC");
    expect("ABC: removed");
    event_expired("ABC", "a@x.test", false);
    expect("ABC: from=<a@x.test>, status=expired, returned to sender");
    event_expired("ABC", "a@x.test", true);
    expect("ABC: from=<a@x.test>, status=force-expired, returned to sender");
    event_notification("ABC", "sender non-delivery notification", "DEF");
    expect("ABC: sender non-delivery notification: DEF");
}

static void test_session_lines(void **state)
{
    struct event_client who = {
        .client = "h[192.0.2.1]", .sasl_method = "PLAIN", .sasl_username = "u\nv"};
    struct event_context ctx = {.sender = "a@x.test",
                                .recipient = "b@y.test",
                                .protocol = "ESMTP",
                                .helo = "h\r\n"};

    (void)state;
    event_connect("h[192.0.2.1]");
    expect("connect from h[192.0.2.1]");
    event_transaction("ABC", &who);
    expect("ABC: client=h[192.0.2.1], sasl_method=PLAIN, sasl_username=u?v");
    event_policy(NULL, "reject", "RCPT", "h[192.0.2.1]", "554 5.7.1 no", &ctx);
    expect("NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 no; from=<a@x.test> "
           "to=<b@y.test> proto=ESMTP helo=<h?"
           "?>");
    event_session_broken(NULL, "lost connection", "DATA (5 bytes)", "h[192.0.2.1]");
    expect("lost connection after DATA (5 bytes) from h[192.0.2.1]");
}

static void test_delivery_line(void **state)
{
    struct config cfg = {.delay_logging_resolution_limit = 2};
    struct deliver_request req = {.queue_id = "ABC",
                                  .env = {.arrival = {100, 0}},
                                  .active_arrival = {100, 500000},
                                  .agent_begin = {101, 0},
                                  .conn_done = {103, 0},
                                  .deliver_done = {103, 20000}};
    struct recipient rcpt = {.address = "b@y.test", .orig = "B@y.test"};
    struct dsn dsn = {.status = "2.0.0", .reason = "250 ok\r\nX"};

    (void)state;
    event_delivery(&cfg, &req, &rcpt, "h[192.0.2.2]:25", &dsn, "sent");
    expect("ABC: to=<b@y.test>, relay=h[192.0.2.2]:25, delay=3, delays=0.5/0.5/2/0.02, "
           "dsn=2.0.0, status=sent (250 ok??X)");
    rcpt.orig = "list@y.test";
    req.conn_use = 3;
    event_delivery(&cfg, &req, &rcpt, "", &dsn, "deferred");
    expect(
        "ABC: to=<b@y.test>, orig_to=<list@y.test>, relay=none, conn_use=3, delay=3, "
        "delays=0.5/0.5/2/0.02, dsn=2.0.0, status=deferred (250 ok??X)");
}

static int setup(void **state)
{
    int fd = mkstemp(log_path);

    (void)state;
    if (fd < 0)
        return -1;
    close(fd);
    msg_init("postfix/test");
    msg_set_host("mx");
    msg_set_sink(MSG_SINK_FILE, log_path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(log_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_queue_lines),
                                       cmocka_unit_test(test_session_lines),
                                       cmocka_unit_test(test_delivery_line)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
