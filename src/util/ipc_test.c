#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/ipc.h"
#include "util/net.h"

/* A server in fibers of the same process. What it does with a request is the
 * request's attribute "do": echo "text" back, answer late, hang up, say nothing,
 * answer with nonsense. */
struct server {
    char path[64];
    int fd;
    struct evfd ev;
    struct stream *open[64];
    size_t accepted, frames, batched, oneways;
};

static struct server server;

static void answer(struct stream *s, const struct frame *frame, struct frame_reader *r)
{
    struct strbuf reply = STRBUF_INIT;
    size_t mark = frame_begin(&reply, frame->id);

    frame_span(&reply, "text", frame_want_span(r, "text"));
    if (r->missing)
        frame_str(&reply, "error", r->missing);
    frame_end(&reply, mark);
    ipc_write_frames(s, &reply);
    strbuf_free(&reply);
}

/* False: end of the connection. */
static bool serve_frame(struct stream *s, const struct frame *frame)
{
    struct frame_reader r = frame_reader(frame->body);
    struct span what = frame_want_span(&r, "do");

    server.frames++;
    if (frame->id == 0) {
        server.oneways++;
        return !span_eq_str(what, "hang up");
    }
    if (span_eq_str(what, "hang up"))
        return false;
    if (span_eq_str(what, "say nothing"))
        return true;
    if (span_eq_str(what, "nonsense")) {
        stream_write_span(s, SPAN_LIT("\xff\xff\xff\xff\xff"));
        return stream_flush(s) == STREAM_OK;
    }
    if (span_eq_str(what, "late"))
        fiber_sleep(30);
    answer(s, frame, &r);
    return true;
}

static void serve_connection(void *arg)
{
    struct stream *s = *(struct stream **)arg;
    struct frame frame;

    if (ipc_read_preamble(s) == STREAM_OK) {
        while (ipc_read_frame(s, &frame) == STREAM_OK) {
            server.batched += stream_peek(s).len > 0;
            if (!serve_frame(s, &frame))
                break;
        }
    }
    stream_free(s);
    *(struct stream **)arg = NULL;
}

static void accept_all(struct evfd *ev, void *arg UNUSED)
{
    int fd;

    while ((fd = accept(ev->fd, NULL, NULL)) >= 0) {
        struct stream **place = &server.open[server.accepted++];

        *place = stream_new(fd);
        fiber_spawn("serve", serve_connection, place);
    }
}

static void server_start(void)
{
    struct err err;

    snprintf(server.path, sizeof server.path, "/tmp/ipc_test.%d", (int)getpid());
    server.fd = net_listen_unix(server.path, 0600, SOCK_STREAM, &err);
    assert_true(server.fd >= 0);
    evfd_init(&server.ev, server.fd);
    evfd_watch_listener(&server.ev, accept_all, NULL);
}

static void server_stop_listening(void)
{
    evfd_forget(&server.ev);
    close(server.fd);
    unlink(server.path);
}

/* As when the server's process ends. */
static void server_drop_connections(void)
{
    for (size_t i = 0; i < server.accepted; i++) {
        if (server.open[i])
            shutdown(stream_fd(server.open[i]), SHUT_RDWR);
    }
    while (fiber_count() > 1)
        fiber_sleep(1);
}

static void server_stop(void)
{
    server_stop_listening();
    server_drop_connections();
    memset(&server, 0, sizeof server);
}

typedef void test_fn(void);

/* Each test runs in a fiber. */
static int test_main(void *arg)
{
    test_fn *const *test = arg;

    server_start();
    (*test)();
    server_stop();
    return 0;
}

static void in_fiber(void **state)
{
    fiber_main(test_main, *state);
}
#define TEST(fn)                                                                       \
    {                                                                                  \
#fn, in_fiber, NULL, NULL, &(test_fn *[1])                                     \
        {                                                                              \
            fn                                                                         \
        }                                                                              \
    }

static struct strbuf request(const char *what, const char *text)
{
    struct strbuf sb = STRBUF_INIT;

    frame_str(&sb, "do", what);
    if (text)
        frame_str(&sb, "text", text);
    return sb;
}

static enum ipc_status pool_ask(struct ipc_pool *pool, const char *what,
                                const char *text, struct strbuf *reply)
{
    struct strbuf sb = request(what, text);
    enum ipc_status status = ipc_call(pool, &sb, reply);

    strbuf_free(&sb);
    return status;
}

static enum ipc_status mux_ask(struct ipc_mux *mux, const char *what, const char *text,
                               struct strbuf *reply)
{
    struct strbuf sb = request(what, text);
    enum ipc_status status = ipc_mux_call(mux, &sb, reply);

    strbuf_free(&sb);
    return status;
}

static void assert_text(const struct strbuf *reply, const char *text)
{
    struct frame_reader r = frame_reader(strbuf_span(reply));
    struct span got = frame_want_span(&r, "text");

    assert_null(r.missing);
    assert_true(span_eq_str(got, text));
}

/* -- pool -- */

static void a_pooled_connection_is_used_again(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 1000, 4);
    struct strbuf reply = STRBUF_INIT;

    for (int i = 0; i < 10; i++) {
        assert_int_equal(pool_ask(pool, "echo", "hello", &reply), IPC_OK);
        assert_text(&reply, "hello");
    }
    assert_int_equal(server.accepted, 1);
    assert_int_equal(server.frames, 10);
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

static void a_large_request_and_reply_pass(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 5000, 1000, 4);
    struct strbuf reply = STRBUF_INIT;
    size_t size = 3 * 1024 * 1024;
    char *text = xmalloc(size + 1);

    memset(text, 'x', size);
    text[size] = '\0';
    assert_int_equal(pool_ask(pool, "echo", text, &reply), IPC_OK);
    assert_text(&reply, text);
    assert_int_equal(pool_ask(pool, "echo", "small", &reply), IPC_OK);
    assert_text(&reply, "small");
    free(text);
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

static void a_missing_attribute_is_reported_by_name(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 1000, 4);
    struct strbuf reply = STRBUF_INIT;
    struct span error;

    assert_int_equal(pool_ask(pool, "echo", NULL, &reply), IPC_OK);
    assert_true(frame_get(strbuf_span(&reply), "error", &error));
    assert_true(span_eq_str(error, "text"));
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

static void a_pool_outlives_its_server(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 10000, 4);
    struct strbuf reply = STRBUF_INIT;

    assert_int_equal(pool_ask(pool, "echo", "a", &reply), IPC_OK);
    server_stop_listening();
    server_drop_connections();
    assert_int_equal(pool_ask(pool, "echo", "b", &reply), IPC_UNAVAILABLE);
    server_start();
    assert_int_equal(pool_ask(pool, "echo", "c", &reply), IPC_OK);
    assert_text(&reply, "c");
    assert_int_equal(server.accepted, 2);
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

/* The hangup has not come through the loop when the connection is taken: the write
 * fails and the request goes out once more. */
static void a_request_to_a_closed_connection_is_repeated(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 10000, 4);
    struct strbuf reply = STRBUF_INIT;

    assert_int_equal(pool_ask(pool, "echo", "a", &reply), IPC_OK);
    shutdown(stream_fd(server.open[0]), SHUT_RDWR);
    assert_int_equal(pool_ask(pool, "echo", "b", &reply), IPC_OK);
    assert_text(&reply, "b");
    assert_int_equal(server.accepted, 2);
    assert_int_equal(server.frames, 2);
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

static void a_request_that_was_read_is_not_repeated(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 10000, 4);
    struct strbuf reply = STRBUF_INIT;

    assert_int_equal(pool_ask(pool, "echo", "a", &reply), IPC_OK);
    assert_int_equal(pool_ask(pool, "hang up", "b", &reply), IPC_LOST);
    assert_int_equal(server.frames, 2);
    assert_int_equal(server.accepted, 1);
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

static void a_silent_server_times_out(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 30, 1000, 4);
    struct strbuf reply = STRBUF_INIT;

    assert_int_equal(pool_ask(pool, "say nothing", "a", &reply), IPC_TIMEOUT);
    /* The connection is not used again: its next reply may belong to that one. */
    assert_int_equal(pool_ask(pool, "echo", "b", &reply), IPC_OK);
    assert_text(&reply, "b");
    assert_int_equal(server.accepted, 2);
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

static void nonsense_is_told_from_loss(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 1000, 4);
    struct strbuf reply = STRBUF_INIT;

    assert_int_equal(pool_ask(pool, "nonsense", "a", &reply), IPC_BROKEN);
    assert_int_equal(pool_ask(pool, "echo", "b", &reply), IPC_OK);
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

static void idle_connections_are_bounded_and_expire(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 20, 2);
    struct ipc_conn *conn[3];
    bool fresh;

    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ipc_pool_get(pool, &conn[i], &fresh), IPC_OK);
        assert_true(fresh);
    }
    for (size_t i = 0; i < 3; i++) {
        struct frame reply;

        frame_str(ipc_conn_begin(conn[i]), "do", "echo");
        ipc_conn_end(conn[i]);
        assert_int_equal(ipc_conn_reply(conn[i], &reply), IPC_OK);
        ipc_pool_put(pool, conn[i]);
    }
    fiber_sleep(5);
    assert_int_equal(fiber_count(), 3); /* two served connections and this */
    fiber_sleep(40);
    assert_int_equal(fiber_count(), 1);
    ipc_pool_free(pool);
}

static void a_connection_with_an_unread_reply_is_not_kept(void)
{
    struct ipc_pool *pool = ipc_pool_new(server.path, 1000, 1000, 2);
    struct strbuf reply = STRBUF_INIT;
    struct ipc_conn *conn;
    struct frame frame;

    assert_int_equal(ipc_pool_get(pool, &conn, NULL), IPC_OK);
    for (int i = 0; i < 2; i++) {
        struct strbuf *sb = ipc_conn_begin(conn);

        frame_str(sb, "do", "echo");
        frame_str(sb, "text", "mine");
        ipc_conn_end(conn);
    }
    assert_int_equal(ipc_conn_reply(conn, &frame), IPC_OK);
    ipc_pool_put(pool, conn);
    assert_int_equal(pool_ask(pool, "echo", "yours", &reply), IPC_OK);
    assert_text(&reply, "yours");
    strbuf_free(&reply);
    ipc_pool_free(pool);
}

/* -- mux -- */

struct asker {
    struct ipc_mux *mux;
    const char *what;
    char text[16];
    enum ipc_status status;
    bool right;
    struct fiber *fiber;
};

static void ask(void *arg)
{
    struct asker *asker = arg;
    struct strbuf reply = STRBUF_INIT;
    struct span text;

    asker->status = mux_ask(asker->mux, asker->what, asker->text, &reply);
    asker->right = asker->status == IPC_OK &&
                   frame_get(strbuf_span(&reply), "text", &text) &&
                   span_eq_str(text, asker->text);
    strbuf_free(&reply);
}

static void spawn_askers(struct ipc_mux *mux, struct asker *askers, size_t count,
                         const char *what)
{
    for (size_t i = 0; i < count; i++) {
        askers[i] = (struct asker){.mux = mux, .what = what};
        snprintf(askers[i].text, sizeof askers[i].text, "%zu", i);
        askers[i].fiber = fiber_spawn("ask", ask, &askers[i]);
    }
}

static void many_fibers_share_one_connection_and_write(void)
{
    struct ipc_mux *mux = ipc_mux_new(server.path, 2000);
    struct asker askers[200];

    for (int round = 0; round < 3; round++) {
        server.batched = 0;
        spawn_askers(mux, askers, ARRAY_LEN(askers), "echo");
        while (fiber_count() > 2)
            fiber_sleep(1);
        for (size_t i = 0; i < ARRAY_LEN(askers); i++)
            assert_true(askers[i].right);
        /* All but the last frame of each arrival had another behind it. */
        assert_true(server.batched >= ARRAY_LEN(askers) - 3);
    }
    assert_int_equal(server.accepted, 1);
    ipc_mux_free(mux);
}

static void replies_in_another_order_reach_their_fibers(void)
{
    struct ipc_mux *mux = ipc_mux_new(server.path, 2000);
    struct strbuf reply = STRBUF_INIT;
    struct asker askers[3];

    spawn_askers(mux, askers, 3, "late");
    fiber_sleep(1);
    fiber_cancel(askers[1].fiber);
    fiber_sleep(1);
    assert_int_equal(askers[1].status, IPC_CANCELLED);
    /* Takes over the slot of the cancelled call, whose reply is still to come. */
    assert_int_equal(mux_ask(mux, "echo", "new", &reply), IPC_OK);
    assert_text(&reply, "new");
    assert_true(askers[0].right && askers[2].right);
    strbuf_free(&reply);
    ipc_mux_free(mux);
}

static void in_flight_requests_survive_a_restart(void)
{
    struct ipc_mux *mux = ipc_mux_new(server.path, 2000);
    struct asker askers[10];

    spawn_askers(mux, askers, ARRAY_LEN(askers), "late");
    fiber_sleep(5);
    shutdown(stream_fd(server.open[0]), SHUT_RDWR);
    while (fiber_count() > 2)
        fiber_sleep(5);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        assert_true(askers[i].right);
    assert_int_equal(server.accepted, 2);
    ipc_mux_free(mux);
}

static void a_request_is_repeated_only_once(void)
{
    struct ipc_mux *mux = ipc_mux_new(server.path, 2000);
    struct strbuf reply = STRBUF_INIT;

    assert_int_equal(mux_ask(mux, "hang up", "x", &reply), IPC_LOST);
    assert_int_equal(server.frames, 2);
    assert_int_equal(mux_ask(mux, "echo", "y", &reply), IPC_OK);
    strbuf_free(&reply);
    ipc_mux_free(mux);
}

static void a_mux_reports_absence_silence_and_nonsense(void)
{
    struct ipc_mux *mux = ipc_mux_new(server.path, 30);
    struct ipc_mux *nobody = ipc_mux_new("/tmp/ipc_test.nobody", 30);
    struct strbuf reply = STRBUF_INIT;

    assert_int_equal(mux_ask(nobody, "echo", "x", &reply), IPC_UNAVAILABLE);
    assert_int_equal(mux_ask(mux, "say nothing", "x", &reply), IPC_TIMEOUT);
    /* A server that had been silent all the while is left for a new connection. */
    assert_int_equal(mux_ask(mux, "echo", "y", &reply), IPC_OK);
    assert_int_equal(server.accepted, 2);
    assert_int_equal(mux_ask(mux, "nonsense", "x", &reply), IPC_BROKEN);
    assert_int_equal(mux_ask(mux, "echo", "z", &reply), IPC_OK);
    assert_text(&reply, "z");
    strbuf_free(&reply);
    ipc_mux_free(mux);
    ipc_mux_free(nobody);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

static void lost_oneway_messages_are_reported(void)
{
    struct ipc_mux *mux = ipc_mux_new(server.path, 1000);
    struct ipc_mux *nobody = ipc_mux_new("/tmp/ipc_test.nobody", 30);
    struct strbuf note = request("note", "x"), last = request("hang up", NULL);
    int lost = 0;

    ipc_mux_on_lost(mux, count_call, &lost);
    ipc_mux_on_lost(nobody, count_call, &lost);
    for (int i = 0; i < 5; i++)
        ipc_mux_send(mux, &note);
    fiber_sleep(5);
    assert_int_equal(server.oneways, 5);
    assert_int_equal(lost, 0);
    ipc_mux_send(mux, &last);
    fiber_sleep(5);
    assert_int_equal(lost, 1);
    ipc_mux_send(nobody, &note);
    fiber_sleep(5);
    assert_int_equal(lost, 2);
    ipc_mux_send(mux, &note);
    fiber_sleep(5);
    assert_int_equal(server.oneways, 7);
    assert_int_equal(lost, 2);
    strbuf_free(&note);
    strbuf_free(&last);
    ipc_mux_free(mux);
    ipc_mux_free(nobody);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pooled_connection_is_used_again),
        TEST(a_large_request_and_reply_pass),
        TEST(a_missing_attribute_is_reported_by_name),
        TEST(a_pool_outlives_its_server),
        TEST(a_request_to_a_closed_connection_is_repeated),
        TEST(a_request_that_was_read_is_not_repeated),
        TEST(a_silent_server_times_out),
        TEST(nonsense_is_told_from_loss),
        TEST(idle_connections_are_bounded_and_expire),
        TEST(a_connection_with_an_unread_reply_is_not_kept),
        TEST(many_fibers_share_one_connection_and_write),
        TEST(replies_in_another_order_reach_their_fibers),
        TEST(in_flight_requests_survive_a_restart),
        TEST(a_request_is_repeated_only_once),
        TEST(a_mux_reports_absence_silence_and_nonsense),
        TEST(lost_oneway_messages_are_reported),
    };

    loop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
