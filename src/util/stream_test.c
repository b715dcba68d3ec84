#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/stream.h"
#include "util/stream_internal.h"

/* A stream and the raw other end. */
static struct stream *s;
static int peer;

static void open_pair(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    s = stream_new(fds[0]);
    peer = fds[1];
}

static void close_pair(void)
{
    stream_free(s);
    if (peer >= 0)
        close(peer);
    s = NULL;
    peer = -1;
}

static void peer_closes(void)
{
    close(peer);
    peer = -1;
}

static void peer_sends(const char *data, size_t len)
{
    assert_int_equal(send(peer, data, len, MSG_NOSIGNAL), len);
}

static int run_body(void *arg)
{
    void (*body)(void);

    memcpy(&body, arg, sizeof body);
    open_pair();
    body();
    close_pair();
    while (fiber_count() > 1)
        fiber_sleep(1);
    return 0;
}

static void in_fiber(void (*body)(void))
{
    fiber_main(run_body, &body);
}

static void assert_span(struct span have, const char *want, size_t len)
{
    assert_int_equal(have.len, len);
    assert_memory_equal(have.len ? have.ptr : "", want, len);
}

static void expect_line(size_t max, enum stream_status want_status, const char *want,
                        int want_eol)
{
    struct span line;
    int eol;

    assert_int_equal(stream_read_line(s, max, &line, &eol), want_status);
    assert_span(line, want, strlen(want));
    assert_int_equal(eol, want_eol);
}

static void expect_read_status(enum stream_status want)
{
    struct span line;

    assert_int_equal(stream_read_line(s, 100, &line, NULL), want);
}

/* -- lines -- */

static const char text[] = "EHLO x\r\n\r\nbare\n\n\rcr\r\r\nlast";

static void expect_text(void)
{
    expect_line(10, STREAM_OK, "EHLO x", 2);
    expect_line(10, STREAM_OK, "", 2);
    expect_line(10, STREAM_OK, "bare", 1);
    expect_line(10, STREAM_OK, "", 1);
    expect_line(10, STREAM_OK, "\rcr\r", 2);
    expect_line(10, STREAM_OK, "last", 0);
    expect_read_status(STREAM_EOF);
    expect_read_status(STREAM_EOF);
}

struct split {
    int fd;
    size_t at[2];
};

static void send_in_parts(void *arg)
{
    struct split *split = arg;
    size_t from = 0, cuts[3] = {split->at[0], split->at[1], sizeof text - 1};

    for (size_t i = 0; i < 3; i++) {
        if (cuts[i] > from)
            assert_int_equal(write(split->fd, text + from, cuts[i] - from),
                             cuts[i] - from);
        from = cuts[i];
        fiber_yield(); /* the reader takes it before the next part comes */
        fiber_yield();
    }
    close(split->fd);
}

static void body_lines_at_every_split(void)
{
    for (size_t a = 0; a < sizeof text; a++) {
        for (size_t b = a; b < sizeof text; b++) {
            struct split split = {peer, {a, b}};

            fiber_spawn("sender", send_in_parts, &split);
            expect_text();
            stream_free(s);
            open_pair();
        }
    }
}

static void body_line_length_limit(void)
{
    peer_sends("abc\r\nabc\nabcd\r\nab\r\r\nab\rX\nabcdefg", 32);
    peer_closes();
    expect_line(3, STREAM_OK, "abc", 2); /* the line end does not count */
    expect_line(3, STREAM_OK, "abc", 1);
    expect_line(3, STREAM_TOO_LONG, "abc", 0);
    expect_line(3, STREAM_OK, "d", 2);
    expect_line(3, STREAM_OK, "ab\r", 2);
    expect_line(3, STREAM_TOO_LONG, "ab\r", 0);
    expect_line(3, STREAM_OK, "X", 1);
    expect_line(3, STREAM_TOO_LONG, "abc", 0);
    expect_line(3, STREAM_TOO_LONG, "def", 0);
    expect_line(3, STREAM_OK, "g", 0);
    expect_read_status(STREAM_EOF);
}

static void body_cr_behind_the_limit_waits_for_more(void)
{
    peer_sends("abc\r", 4);
    stream_set_timeout(s, 20);
    {
        struct span line;

        assert_int_equal(stream_read_line(s, 3, &line, NULL), STREAM_TIMEOUT);
    }
    peer_sends("Z\n", 2);
    expect_line(3, STREAM_TOO_LONG, "abc", 0);
    expect_line(3, STREAM_OK, "\rZ", 1);
    peer_sends("abc\r", 4);
    peer_closes();
    expect_line(3, STREAM_TOO_LONG, "abc", 0);
    expect_line(3, STREAM_OK, "\r", 0);
}

enum { LONG = 100000 };

static void send_long_line(void *arg)
{
    char *line = arg;
    size_t sent = 0;

    fcntl(peer, F_SETFL, O_NONBLOCK);
    while (sent < LONG + 2) {
        ssize_t n = write(peer, line + sent, LONG + 2 - sent);

        if (n > 0)
            sent += (size_t)n;
        fiber_yield();
    }
}

static void body_line_longer_than_the_buffer(void)
{
    char *line = malloc(LONG + 2);
    struct span got;
    int eol;

    for (int i = 0; i < LONG; i++)
        line[i] = (char)('a' + i % 26);
    memcpy(line + LONG, "\r\n", 2);
    stream_set_bufsize(s, 512);
    fiber_spawn("sender", send_long_line, line);
    assert_int_equal(stream_read_line(s, LONG, &got, &eol), STREAM_OK);
    assert_int_equal(eol, 2);
    assert_span(got, line, LONG);
    stream_set_timeout(s, 5);
    expect_read_status(STREAM_TIMEOUT);
    assert_null(s->in.ptr); /* the grown buffer was given back */
    free(line);
}

static void body_many_lines_in_one_packet(void)
{
    char want[32], all[20000];
    size_t len = 0;

    for (int i = 0; i < 1500; i++)
        len += (size_t)snprintf(all + len, sizeof all - len, "line %d\r\n", i);
    peer_sends(all, len);
    for (int i = 0; i < 1500; i++) {
        snprintf(want, sizeof want, "line %d", i);
        expect_line(100, STREAM_OK, want, 2);
    }
}

/* -- other reads -- */

static void body_read_some_and_full(void)
{
    struct span got;
    char buf[8];

    peer_sends("0123456789abcdef", 16);
    assert_int_equal(stream_read_some(s, 4, &got), STREAM_OK);
    assert_span(got, "0123", 4);
    assert_int_equal(stream_read_full(s, buf, 8), STREAM_OK);
    assert_memory_equal(buf, "456789ab", 8);
    assert_span(stream_peek(s), "cdef", 4);
    stream_consume(s, 1);
    assert_int_equal(stream_input_pending(s), 3);
    peer_closes();
    assert_int_equal(stream_read_full(s, buf, 8), STREAM_EOF);
}

static void body_need_grows(void)
{
    static char big[20000];
    struct span got;

    stream_set_bufsize(s, 512);
    memset(big, 'x', sizeof big);
    peer_sends("head", 4);
    assert_int_equal(stream_need(s, 4, &got), STREAM_OK);
    stream_consume(s, 1);
    peer_sends(big, sizeof big);
    assert_int_equal(stream_need(s, 15000, &got), STREAM_OK);
    assert_true(got.len >= 15000);
    assert_memory_equal(got.ptr, "eadxxx", 6);
    assert_int_equal(stream_need(s, 3 + sizeof big, &got), STREAM_OK);
    peer_closes();
    assert_int_equal(stream_need(s, 4 + sizeof big, &got), STREAM_EOF);
    assert_int_equal(stream_peek(s).len, 3 + sizeof big);
}

static void body_input_pending_does_not_wait(void)
{
    assert_int_equal(stream_input_pending(s), 0);
    assert_null(s->in.ptr);
    peer_sends("DATA", 4);
    assert_int_equal(stream_input_pending(s), 4);
    assert_span(stream_peek(s), "DATA", 4);
    stream_consume(s, 4);
    peer_closes();
    assert_int_equal(stream_input_pending(s), 0);
    expect_read_status(STREAM_EOF);
}

static void body_wait_input(void)
{
    stream_set_timeout(s, 10);
    assert_int_equal(stream_wait_input(s), STREAM_TIMEOUT);
    peer_sends("x", 1);
    assert_int_equal(stream_wait_input(s), STREAM_OK);
    assert_int_equal(stream_wait_input(s), STREAM_OK);
    stream_consume(s, 1);
    peer_closes();
    assert_int_equal(stream_wait_input(s), STREAM_OK); /* EOF can be read */
    expect_read_status(STREAM_EOF);
    assert_true(stream_peer_closed(s));
}

static void body_regular_file(void)
{
    char name[] = "/tmp/stream_test_XXXXXX";
    int fd = mkstemp(name);
    struct span line;

    assert_int_equal(write(fd, "one\ntwo", 7), 7);
    lseek(fd, 0, SEEK_SET);
    stream_free(s);
    s = stream_new(fd);
    expect_line(10, STREAM_OK, "one", 1);
    assert_int_equal(stream_write_str(s, "\nthree"), STREAM_OK);
    assert_int_equal(stream_flush(s), STREAM_OK);
    expect_line(10, STREAM_OK, "two", 0); /* was buffered */
    assert_int_equal(stream_read_line(s, 10, &line, NULL), STREAM_EOF);
    assert_int_equal(lseek(fd, 0, SEEK_END), 13);
    unlink(name);
}

/* -- time and cancellation -- */

static void body_timeout_keeps_what_came(void)
{
    int64_t start = loop_now_exact();

    stream_set_timeout(s, 30);
    peer_sends("par", 3);
    expect_read_status(STREAM_TIMEOUT);
    assert_int_equal(stream_errno(s), ETIMEDOUT);
    assert_in_range(loop_now_exact() - start, 30, 3000);
    peer_sends("tial\r\n", 6);
    expect_line(100, STREAM_OK, "partial", 2);
}

static void body_deadline_limits_all_waits(void)
{
    stream_set_deadline(s, loop_deadline(20));
    expect_read_status(STREAM_TIMEOUT);
    peer_sends("a\n", 2);
    expect_line(100, STREAM_OK, "a", 1); /* nothing to wait for */
    expect_read_status(STREAM_TIMEOUT);
    stream_set_deadline(s, LOOP_NEVER);
    peer_sends("b\n", 2);
    expect_line(100, STREAM_OK, "b", 1);
}

static enum stream_status cancelled_status;

static void cancelled_reader(void *arg)
{
    struct span line;

    (void)arg;
    cancelled_status = stream_read_line(s, 100, &line, NULL);
}

static void body_cancelled(void)
{
    struct fiber *fiber = fiber_spawn("reader", cancelled_reader, NULL);

    cancelled_status = STREAM_OK;
    fiber_sleep(2);
    fiber_cancel(fiber);
    fiber_yield();
    assert_int_equal(cancelled_status, STREAM_CANCELLED);
    peer_sends("x\n", 2);
    expect_line(10, STREAM_OK, "x", 1);
}

/* -- output -- */

static size_t peer_received(char *buf, size_t size)
{
    ssize_t got = recv(peer, buf, size, MSG_DONTWAIT);

    return got > 0 ? (size_t)got : 0;
}

static void body_output_is_buffered_until_a_wait(void)
{
    char buf[64];

    stream_set_timeout(s, 10);
    assert_int_equal(stream_printf(s, "%d %s\r\n", 250, "ok"), STREAM_OK);
    assert_int_equal(stream_output_pending(s), 8);
    peer_sends("NOOP\n", 5);
    expect_line(100, STREAM_OK, "NOOP", 1); /* no wait, so no flush */
    assert_int_equal(peer_received(buf, sizeof buf), 0);
    expect_read_status(STREAM_TIMEOUT);
    assert_int_equal(peer_received(buf, sizeof buf), 8);
    assert_memory_equal(buf, "250 ok\r\n", 8);
    assert_int_equal(stream_output_pending(s), 0);
}

static void body_long_printf(void)
{
    char big[3000], buf[4000];

    memset(big, 'p', sizeof big);
    big[sizeof big - 1] = '\0';
    assert_int_equal(stream_printf(s, "<%s>", big), STREAM_OK);
    assert_int_equal(stream_flush(s), STREAM_OK);
    assert_int_equal(peer_received(buf, sizeof buf), sizeof big + 1);
    assert_memory_equal(buf + 1, big, sizeof big - 1);
}

enum { TOTAL = 3 * 1000 * 1000 };
static size_t peer_total;

static void slow_reader(void *arg)
{
    static unsigned char buf[50000];
    size_t got;

    (void)arg;
    while (peer_total < TOTAL) {
        got = peer_received((char *)buf, sizeof buf);
        for (size_t i = 0; i < got; i++)
            assert_int_equal(buf[i], (peer_total + i) % 251);
        peer_total += got;
        fiber_yield();
    }
}

/* Pieces of all sizes arrive in order and whole, whatever the buffer does. */
static void body_much_output(void)
{
    static char pattern[251 * 80];
    size_t done = 0, piece = 1;

    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % 251);
    peer_total = 0;
    fiber_spawn("slow", slow_reader, NULL);
    while (done < TOTAL) {
        piece = piece * 7 % 19997 + 1;
        if (piece > TOTAL - done)
            piece = TOTAL - done;
        if (piece > sizeof pattern - 251)
            piece = sizeof pattern - 251;
        assert_int_equal(stream_write(s, pattern + done % 251, piece), STREAM_OK);
        done += piece;
    }
    assert_int_equal(stream_flush(s), STREAM_OK);
    while (peer_total < TOTAL)
        fiber_yield();
}

static void body_write_timeout_is_sticky(void)
{
    static char big[4 * 1024 * 1024];

    stream_set_timeout(s, 20);
    assert_int_equal(stream_write(s, big, sizeof big), STREAM_TIMEOUT);
    assert_int_equal(stream_write_str(s, "x"), STREAM_TIMEOUT);
    assert_int_equal(stream_flush(s), STREAM_TIMEOUT);
    assert_int_equal(stream_write_status(s), STREAM_TIMEOUT);
    assert_int_equal(stream_output_pending(s), 0);
}

static void body_write_to_closed_peer(void)
{
    peer_sends("421 bye\r\n", 9);
    peer_closes();
    assert_int_equal(stream_write_str(s, "MAIL\r\n"), STREAM_OK);
    assert_int_equal(stream_flush(s), STREAM_ERROR);
    assert_int_equal(stream_errno(s), EPIPE);
    assert_int_equal(stream_write_str(s, "RCPT\r\n"), STREAM_ERROR);
    expect_line(100, STREAM_OK, "421 bye", 2); /* why it closed */
    expect_read_status(STREAM_EOF);
}

static void body_write_to_closed_pipe(void)
{
    int fds[2];
    struct stream *out;

    assert_int_equal(pipe(fds), 0);
    out = stream_new(fds[1]);
    assert_int_equal(stream_write_str(out, "x"), STREAM_OK);
    assert_int_equal(stream_flush(out), STREAM_OK);
    close(fds[0]);
    assert_int_equal(stream_write_str(out, "x"), STREAM_OK);
    assert_int_equal(stream_flush(out), STREAM_ERROR); /* and no SIGPIPE */
    assert_int_equal(stream_errno(out), EPIPE);
    stream_free(out);
}

static void body_failed_flush_does_not_hide_input(void)
{
    stream_write_str(s, "QUIT\r\n");
    peer_closes();
    expect_read_status(STREAM_EOF);
}

/* -- memory, descriptors -- */

static void quiet_reader(void *arg)
{
    struct span line;

    (void)arg;
    assert_int_equal(stream_read_line(s, 100, &line, NULL), STREAM_OK);
    assert_span(line, "hello", 5);
}

static void body_idle_stream_has_no_buffers(void)
{
    stream_write_str(s, "220 ready\r\n");
    assert_non_null(s->out.ptr);
    fiber_spawn("reader", quiet_reader, NULL);
    fiber_sleep(2);
    assert_null(s->in.ptr);
    assert_null(s->out.ptr);
    peer_sends("hel", 3);
    fiber_sleep(2);
    assert_non_null(s->in.ptr); /* holds part of a line */
    peer_sends("lo\n", 3);
    fiber_sleep(2);
}

static void body_descriptors_pass(void)
{
    struct stream *to = stream_new(dup(peer));
    int fds[2], got = -1, none = 0;
    char byte = 0;

    assert_int_equal(pipe(fds), 0);
    stream_write_str(to, "pass\n");
    assert_int_equal(stream_send_fd(to, fds[0]), STREAM_OK); /* flushes first */
    stream_set_bufsize(s, 512);
    {
        char line[5];

        assert_int_equal(read(s->ev.fd, line, 5), 5);
        assert_memory_equal(line, "pass\n", 5);
    }
    assert_int_equal(stream_recv_fd(s, &got), STREAM_OK);
    assert_true(got >= 0);
    assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(fds[1], "!", 1), 1);
    assert_int_equal(read(got, &byte, 1), 1);
    assert_int_equal(byte, '!');
    peer_sends("x", 1); /* a byte without a descriptor */
    assert_int_equal(stream_recv_fd(s, &none), STREAM_ERROR);
    assert_int_equal(none, -1);
    stream_set_timeout(s, 10);
    assert_int_equal(stream_recv_fd(s, &none), STREAM_TIMEOUT);
    stream_free(to);
    peer_closes();
    assert_int_equal(stream_recv_fd(s, &none), STREAM_EOF);
    close(got);
    close(fds[0]);
    close(fds[1]);
}

static void body_detach_leaves_the_descriptor(void)
{
    int fd = stream_detach(s);

    assert_int_equal(write(fd, "x", 1), 1);
    s = NULL;
    close(fd);
    stream_free(NULL);
}

static void body_texts(void)
{
    assert_string_equal(stream_status_text(STREAM_EOF), "lost connection");
    assert_string_equal(stream_status_text(STREAM_TIMEOUT), "timeout");
}

#define TEST(body)                                                                     \
    static void test_##body(void **state)                                              \
    {                                                                                  \
        (void)state;                                                                   \
        in_fiber(body_##body);                                                         \
    }
TEST(lines_at_every_split)
TEST(line_length_limit)
TEST(cr_behind_the_limit_waits_for_more)
TEST(line_longer_than_the_buffer)
TEST(many_lines_in_one_packet)
TEST(read_some_and_full)
TEST(need_grows)
TEST(input_pending_does_not_wait)
TEST(wait_input)
TEST(regular_file)
TEST(timeout_keeps_what_came)
TEST(deadline_limits_all_waits)
TEST(cancelled)
TEST(output_is_buffered_until_a_wait)
TEST(long_printf)
TEST(much_output)
TEST(write_timeout_is_sticky)
TEST(write_to_closed_peer)
TEST(write_to_closed_pipe)
TEST(failed_flush_does_not_hide_input)
TEST(idle_stream_has_no_buffers)
TEST(descriptors_pass)
TEST(detach_leaves_the_descriptor)
TEST(texts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_at_every_split),
        cmocka_unit_test(test_line_length_limit),
        cmocka_unit_test(test_cr_behind_the_limit_waits_for_more),
        cmocka_unit_test(test_line_longer_than_the_buffer),
        cmocka_unit_test(test_many_lines_in_one_packet),
        cmocka_unit_test(test_read_some_and_full),
        cmocka_unit_test(test_need_grows),
        cmocka_unit_test(test_input_pending_does_not_wait),
        cmocka_unit_test(test_wait_input),
        cmocka_unit_test(test_regular_file),
        cmocka_unit_test(test_timeout_keeps_what_came),
        cmocka_unit_test(test_deadline_limits_all_waits),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_output_is_buffered_until_a_wait),
        cmocka_unit_test(test_long_printf),
        cmocka_unit_test(test_much_output),
        cmocka_unit_test(test_write_timeout_is_sticky),
        cmocka_unit_test(test_write_to_closed_peer),
        cmocka_unit_test(test_write_to_closed_pipe),
        cmocka_unit_test(test_failed_flush_does_not_hide_input),
        cmocka_unit_test(test_idle_stream_has_no_buffers),
        cmocka_unit_test(test_descriptors_pass),
        cmocka_unit_test(test_detach_leaves_the_descriptor),
        cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
