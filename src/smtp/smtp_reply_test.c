/* Replies as servers send them, through a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "smtp/smtp.h"
#include "util/msg.h"

struct world {
    struct smtp_agent agent;
    struct smtp_session session;
    struct deliver_request req;
    struct smtp_delivery d;
    int server;
};

static void open_world(struct world *w, const char *input, size_t len)
{
    int pair[2];

    memset(w, 0, sizeof *w);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], input, len), len);
    w->server = pair[1];
    w->session = (struct smtp_session){.agent = &w->agent,
                                       .stream = stream_new(pair[0]),
                                       .host = (char *)"h",
                                       .addr = (char *)"192.0.2.1",
                                       .namaddr = (char *)"h[192.0.2.1]",
                                       .relay = (char *)"h[192.0.2.1]:25"};
    w->req.queue_id = "ABC";
    w->d = (struct smtp_delivery){.agent = &w->agent,
                                  .req = &w->req,
                                  .arena = arena_new(),
                                  .session = &w->session};
}

static void close_world(struct world *w)
{
    stream_free(w->session.stream);
    arena_free(w->d.arena);
    close(w->server);
}

static int check_reply(const char *input, int code, const char *status,
                       const char *text)
{
    struct world w;
    struct smtp_reply reply;

    open_world(&w, input, strlen(input));
    assert_true(smtp_read_reply(&w.d, &w.session, 5, "testing", &reply));
    assert_int_equal(reply.code, code);
    assert_string_equal(reply.status, status);
    assert_string_equal(reply.text, text);
    assert_int_equal(w.session.ending, code == 421);
    close_world(&w);
    return 0;
}

static int replies(void *arg)
{
    (void)arg;
    check_reply("250 2.1.0 Ok\r\n", 250, "2.1.0", "250 2.1.0 Ok");
    check_reply("250\r\n", 250, "2.0.0", "250");
    check_reply("250 ok\n", 250, "2.0.0", "250 ok");
    check_reply("250-2.1.0 a\r\n250 b\r\n", 250, "2.0.0", "250-2.1.0 a 250 b");
    check_reply("451-a\r\n451 4.3.2 b\r\n", 451, "4.3.2", "451-a 451 4.3.2 b");
    check_reply("550 4.1.1 other class\r\n", 550, "5.0.0", "550 4.1.1 other class");
    check_reply("354 go\r\n", 354, "2.0.0", "354 go");
    check_reply("421 4.3.2 bye\r\n", 421, "4.3.2", "421 4.3.2 bye");
    check_reply("noise\r\n250 ok\r\n", 250, "2.0.0", "noise 250 ok");
    check_reply("2500 x\r\n\r\n250 ok\r\n", 250, "2.0.0", "2500 x  250 ok");
    check_reply("150 x\r\n650 y\r\n250 ok\r\n", 250, "2.0.0", "150 x 650 y 250 ok");
    return check_reply("250 a\tb\001c\r\n", 250, "2.0.0", "250 a b c");
}

static void test_replies(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(replies, NULL), 0);
}

static int long_line(void *arg)
{
    struct strbuf sb = STRBUF_INIT;
    struct world w;
    struct smtp_reply reply;

    (void)arg;
    strbuf_add_str(&sb, "250 ");
    for (int i = 0; i < 60000; i++)
        strbuf_add_char(&sb, '2');
    strbuf_add_str(&sb, "\r\n550 next\r\n");
    open_world(&w, sb.ptr, sb.len);
    assert_true(smtp_read_reply(&w.d, &w.session, 5, "testing", &reply));
    assert_int_equal(reply.code, 250);
    assert_in_range(strlen(reply.text), 1000, 10000);
    assert_true(smtp_read_reply(&w.d, &w.session, 5, "testing", &reply));
    assert_string_equal(reply.text, "550 next");
    close_world(&w);
    strbuf_free(&sb);
    return 0;
}

static void test_long_line(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(long_line, NULL), 0);
}

static int lost(void *arg)
{
    struct world w;
    struct smtp_reply reply;

    (void)arg;
    open_world(&w, "250-a\r\n", 7);
    shutdown(w.server, SHUT_WR);
    assert_false(smtp_read_reply(&w.d, &w.session, 5, "sending MAIL FROM", &reply));
    assert_true(w.session.dead);
    assert_string_equal(w.d.trouble.status, "4.4.2");
    assert_string_equal(w.d.trouble.reason,
                        "lost connection with h[192.0.2.1] while sending MAIL FROM");
    close_world(&w);
    open_world(&w, "25", 2);
    assert_false(smtp_read_reply(&w.d, &w.session, 1, "sending RCPT TO", &reply));
    assert_string_equal(
        w.d.trouble.reason,
        "conversation with h[192.0.2.1] timed out while sending RCPT TO");
    close_world(&w);
    return 0;
}

static void test_lost(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(lost, NULL), 0);
}

static int endless(void *arg)
{
    struct strbuf sb = STRBUF_INIT;
    struct world w;
    struct smtp_reply reply;

    (void)arg;
    for (int i = 0; i < 2000; i++)
        strbuf_add_str(&sb, "250-x\r\n");
    open_world(&w, sb.ptr, sb.len);
    assert_false(smtp_read_reply(&w.d, &w.session, 5, "testing", &reply));
    assert_string_equal(w.d.trouble.status, "4.5.0");
    assert_true(w.session.dead);
    close_world(&w);
    strbuf_free(&sb);
    return 0;
}

static void test_endless(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(endless, NULL), 0);
}

static void test_said(void **state)
{
    struct world w;
    struct dsn dsn;
    struct smtp_reply no = {.code = 550, .status = "5.1.1", .text = "550 5.1.1 no"};
    struct smtp_reply odd = {.code = 354, .status = "2.0.0", .text = "354 go"};

    (void)state;
    open_world(&w, "", 0);
    smtp_said(&w.d, &w.session, &no, "RCPT TO command", &dsn);
    assert_string_equal(dsn.status, "5.1.1");
    assert_string_equal(dsn.reason, "host h[192.0.2.1] said: 550 5.1.1 no (in reply to "
                                    "RCPT TO command)");
    assert_string_equal(dsn.mta_name, "h");
    smtp_said(&w.d, &w.session, &odd, "MAIL FROM command", &dsn);
    assert_string_equal(dsn.status, "5.5.0");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies), cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_lost),    cmocka_unit_test(test_endless),
        cmocka_unit_test(test_said),
    };

    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
