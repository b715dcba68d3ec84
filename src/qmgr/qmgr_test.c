/* The queue manager with everything real but the two services it talks to: an agent
 * and a resolver that live in fibers of this process, behind real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "qmgr/qmgr.h"
#include "util/file.h"
#include "util/msg.h"

#define ORDER_MAX 4000

struct world {
    char dir[64];
    struct config *cfg;
    struct arena *arena;
    struct qmgr qm;
    struct evfd agents[3], resolver;
    /* what the agent saw */
    char order[ORDER_MAX][QUEUE_ID_MAX];
    size_t seen, at_once, most_at_once, retried;
    bool fail_site, vanish;
    int64_t agent_ms;
    size_t holds;
};

static struct world w;

/* Worlds that have ended. The queue manager keeps its tables as long as it lives: here
 * they stay known to the leak checker. */
static struct world ended[16];
static size_t ended_count;

/* qmgr.c is the service around; the rest of the program only needs these. */
void qmgr_hold(struct qmgr *qm)
{
    (void)qm;
    w.holds++;
}

void qmgr_release(struct qmgr *qm)
{
    (void)qm;
    if (--w.holds == 0)
        loop_stop();
}

/* -- the agent -- */

static void agent_answer(struct stream *s, uint32_t id, bool retry)
{
    struct deliver_reply reply = {.incomplete = retry || w.fail_site,
                                  .site_failed = w.fail_site && !retry,
                                  .dsn = {.status = "4.4.1",
                                          .action = "",
                                          .reason = "connect: refused",
                                          .diag_type = "",
                                          .diag_text = "",
                                          .mta_type = "",
                                          .mta_name = ""}};
    struct strbuf sb = STRBUF_INIT;
    size_t mark = frame_begin(&sb, id);

    deliver_reply_to_frame(&reply, &sb);
    frame_end(&sb, mark);
    ipc_write_frames(s, &sb);
    stream_flush(s);
    strbuf_free(&sb);
}

struct client {
    int fd;
    bool retry, resolver;
};

static bool agent_request(struct stream *s, const struct frame *frame, bool retry)
{
    struct arena *arena = arena_new();
    struct deliver_request req = {0};
    const char *missing;
    uint32_t id = frame->id;
    bool go_on;

    assert_true(deliver_request_from_frame(frame->body, arena, &req, &missing));
    if (retry)
        w.retried += req.env.rcpt_len;
    else if (w.seen < ORDER_MAX)
        strcpy(w.order[w.seen++], req.queue_id);
    if (++w.at_once > w.most_at_once)
        w.most_at_once = w.at_once;
    fiber_sleep(w.agent_ms);
    w.at_once--;
    go_on = retry || !w.vanish;
    if (go_on)
        agent_answer(s, id, retry);
    arena_free(arena);
    return go_on;
}

static bool resolver_request(struct stream *s, const struct frame *frame)
{
    struct frame_reader r = frame_reader(frame->body);
    struct span address = frame_want_span(&r, "address");
    ssize_t at = span_rchr(address, '@');
    struct strbuf sb = STRBUF_INIT;
    size_t mark = frame_begin(&sb, frame->id);

    frame_str(&sb, "transport", "agent");
    frame_span(&sb, "nexthop", span_skip(address, (size_t)at + 1));
    frame_span(&sb, "recipient", address);
    frame_num(&sb, "flags", RESOLVE_CLASS_DEFAULT);
    frame_end(&sb, mark);
    ipc_write_frames(s, &sb);
    stream_flush(s);
    strbuf_free(&sb);
    return true;
}

static void client_fiber(void *arg)
{
    struct client c = *(struct client *)arg;
    struct stream *s = stream_new(c.fd);
    struct frame frame;

    free(arg);
    if (ipc_read_preamble(s) == STREAM_OK)
        while (ipc_read_frame(s, &frame) == STREAM_OK)
            if (!(c.resolver ? resolver_request(s, &frame)
                             : agent_request(s, &frame, c.retry)))
                break;
    stream_free(s);
}

static void accept_client(struct evfd *ev, void *arg)
{
    int fd;

    while ((fd = accept(ev->fd, NULL, NULL)) >= 0) {
        struct client *c = xcalloc(1, sizeof *c);

        c->fd = fd;
        c->retry = arg && strcmp(arg, "retry") == 0;
        c->resolver = arg && strcmp(arg, "resolver") == 0;
        fiber_spawn("server", client_fiber, c);
    }
}

static void serve(struct evfd *ev, const char *path, const char *role)
{
    struct err err;
    int fd = net_listen_unix(path, 0666, SOCK_STREAM, &err);

    assert_true(fd >= 0);
    evfd_init(ev, fd);
    evfd_watch_listener(ev, accept_client, (void *)role);
}

/* -- set-up -- */

static void make_dirs(void)
{
    static const char *const dirs[] = {"private", "public",   "incoming", "active",
                                       "defer",   "deferred", "bounce",   "trace"};

    snprintf(w.dir, sizeof w.dir, "/tmp/qmgr_test.XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    assert_int_equal(chdir(w.dir), 0);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        assert_int_equal(mkdir(dirs[i], 0700), 0);
}

static int setup(void **state)
{
    static const char main_cf[] = "minimal_backoff_time = 300s\n"
                                  "agent_destination_recipient_limit = 10\n";
    struct config_source source = {.program = "qmgr", .service = "qmgr"};
    struct err err;

    (void)state;
    memset(&w, 0, sizeof w);
    make_dirs();
    assert_true(file_replace("main.cf", span_str(main_cf), 0600, &err));
    source.dir = w.dir;
    w.cfg = config_load(&source, &err);
    if (!w.cfg)
        fail_msg("%s", err.text);
    w.arena = arena_new();
    loop_init();
    w.qm.cfg = w.cfg;
    queue_init(&w.qm.queue, w.cfg, w.arena);
    w.qm.rewrite = rewrite_client_new(w.cfg);
    w.qm.bounce = bounce_client_new(w.cfg);
    hash_init(&w.qm.messages, false);
    hash_init(&w.qm.transports, false);
    hash_init(&w.qm.peers, false);
    fiber_queue_init(&w.qm.room);
    deferred_init(&w.qm);
    serve(&w.resolver, "private/rewrite", "resolver");
    serve(&w.agents[0], "private/agent", NULL);
    serve(&w.agents[1], "private/retry", "retry");
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    loop_timer_cancel(&w.qm.due_timer); /* its memory is used again */
    ended[ended_count++] = w;
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf %s", w.dir);
    return system(command) == 0 ? 0 : -1;
}

/* A message of count recipients at a domain, as cleanup would announce it. */
static void announce(const char *id, size_t count, const char *domain)
{
    struct envelope env = {0};
    struct strbuf sb = STRBUF_INIT;
    const char *missing;
    char path[QUEUE_PATH_MAX];
    int fd;

    queue_path(&w.qm.queue, QUEUE_INCOMING, id, path);
    fd = open(path, O_CREAT | O_WRONLY, 0700);
    assert_true(fd >= 0);
    close(fd);
    assert_true(envelope_from_frame(SPAN_EMPTY, w.arena, &env, &missing) || missing);
    env.sender = "sender@src.test";
    gettimeofday(&env.arrival, NULL);
    env.rcpt_count = (int64_t)count;
    env.rcpts = arena_alloc(w.arena, count * sizeof *env.rcpts);
    env.rcpt_len = count;
    for (size_t i = 0; i < count; i++)
        env.rcpts[i] = (struct recipient){
            .address = arena_printf(w.arena, "user%zu@%s", i, domain),
            .orig = "",
            .dsn_orcpt = "",
            .offset = (int64_t)(100 + i)};
    /* Fields nobody set are empty texts on the way through a frame. */
    envelope_to_frame(&env, &sb);
    assert_true(envelope_from_frame(strbuf_span(&sb), w.arena, &env, &missing));
    assert_true(message_admit(&w.qm, QUEUE_INCOMING, id, &env));
    strbuf_free(&sb);
}

static void wait_until_done(void)
{
    while (w.qm.messages.count > 0)
        fiber_sleep(1);
    qmgr_release(&w.qm);
}

static void run(void (*fn)(void *))
{
    w.holds++;
    fiber_spawn("test", fn, NULL);
    loop_run();
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* -- tests -- */

static void one_message(void *arg)
{
    (void)arg;
    announce("AAAAA1", 25, "dst.test");
    wait_until_done();
}

static void a_message_goes_out_in_batches_and_is_removed(void **state)
{
    (void)state;
    run(one_message);
    assert_int_equal(w.seen, 3); /* 25 recipients, at most 10 at a time */
    assert_false(exists("active/AAAAA1"));
    assert_int_equal(w.qm.messages.count, 0);
    assert_int_equal(w.qm.rcpts_in_memory, 0);
    assert_int_equal(w.qm.peers.count, 0);
}

static void one_site(void *arg)
{
    (void)arg;
    w.agent_ms = 2;
    announce("AAAAA1", 1000, "dst.test");
    wait_until_done();
}

static void concurrency_starts_low_and_stays_within_its_limit(void **state)
{
    (void)state;
    run(one_site);
    assert_int_equal(w.seen, 100);
    assert_true(w.most_at_once > (size_t)w.cfg->initial_destination_concurrency);
    assert_true(w.most_at_once <= (size_t)w.cfg->default_destination_concurrency_limit);
}

static void large_then_small(void *arg)
{
    (void)arg;
    w.agent_ms = 1;
    announce("BBBBB1", 10000, "dst.test");
    announce("CCCCC2", 1, "dst.test");
    announce("CCCCC3", 15, "dst.test");
    wait_until_done();
}

static size_t position_of_last(const char *id)
{
    size_t last = 0;

    for (size_t i = 0; i < w.seen; i++)
        if (strcmp(w.order[i], id) == 0)
            last = i;
    return last;
}

static void small_messages_overtake_a_large_one(void **state)
{
    (void)state;
    run(large_then_small);
    assert_int_equal(w.seen, 1000 + 1 + 2);
    assert_true(position_of_last("CCCCC2") < 100);
    assert_true(position_of_last("CCCCC3") < 200);
    assert_true(position_of_last("BBBBB1") > 900);
}

static void two_sites(void *arg)
{
    (void)arg;
    w.agent_ms = 5;
    announce("BBBBB1", 2000, "slow.test");
    announce("CCCCC2", 10, "other.test");
    wait_until_done();
}

static void a_busy_site_does_not_hold_up_another(void **state)
{
    (void)state;
    run(two_sites);
    /* Behind at most the first window of the other site. */
    assert_true(position_of_last("CCCCC2") <=
                (size_t)w.cfg->initial_destination_concurrency);
}

static void dead_site(void *arg)
{
    (void)arg;
    w.fail_site = true;
    announce("BBBBB1", 300, "dead.test");
    announce("CCCCC2", 10, "dead.test");
    wait_until_done();
}

static void a_dead_site_is_left_alone_and_its_mail_deferred(void **state)
{
    struct stat st;
    time_t now = time(NULL);

    (void)state;
    run(dead_site);
    assert_true(w.seen <= 2 * (size_t)w.cfg->initial_destination_concurrency);
    assert_true(w.retried >= 200);
    assert_int_equal(stat("deferred/B/BBBBB1", &st), 0);
    assert_true(st.st_mtime >= now + 290 && st.st_mtime <= now + 320);
    assert_true(exists("deferred/C/CCCCC2"));
    assert_int_equal(w.qm.deferred.count, 2);
    assert_int_equal(w.qm.messages.count, 0);
}

static void agent_gone(void *arg)
{
    (void)arg;
    w.vanish = true;
    announce("BBBBB1", 10, "dst.test");
    announce("CCCCC2", 10, "dst.test");
    wait_until_done();
}

static void a_vanished_agent_loses_nothing(void **state)
{
    (void)state;
    run(agent_gone);
    assert_true(exists("deferred/B/BBBBB1"));
    assert_true(exists("deferred/C/CCCCC2"));
    assert_int_equal(w.qm.messages.count, 0);
}

static void agent_missing(void *arg)
{
    (void)arg;
    assert_int_equal(unlink("private/agent"), 0);
    announce("BBBBB1", 200, "dst.test");
    announce("CCCCC2", 10, "other.test");
    wait_until_done();
}

static void a_missing_agent_makes_its_mail_wait(void **state)
{
    (void)state;
    run(agent_missing);
    assert_true(exists("deferred/B/BBBBB1"));
    assert_true(exists("deferred/C/CCCCC2"));
    assert_int_equal(w.seen, 0);
    assert_int_equal(w.retried, 210);
    assert_int_equal(w.qm.messages.count, 0);
    assert_int_equal(w.qm.rcpts_in_memory, 0);
}

static void scan_leftover(void *arg)
{
    (void)arg;
    assert_false(message_admit(&w.qm, QUEUE_INCOMING, "DDDDD1", NULL));
    qmgr_release(&w.qm);
}

static void a_message_of_a_busy_agent_is_left_alone(void **state)
{
    int fd;

    (void)state;
    fd = open("incoming/DDDDD1", O_CREAT | O_RDWR, 0700);
    assert_true(fd >= 0);
    assert_int_equal(lock_try(fd, LOCK_FLOCK, LOCK_SHARED), LOCK_OK);
    run(scan_leftover);
    assert_true(exists("deferred/D/DDDDD1"));
    assert_int_equal(w.qm.deferred.count, 1);
    close(fd);
}

static void feedback_values(void **state)
{
    double num;
    int kind;

    (void)state;
    assert_true(feedback_parse("1", &num, &kind));
    assert_true(kind == FEEDBACK_FIXED && num == 1);
    assert_true(feedback_parse("0.5 / concurrency", &num, &kind));
    assert_true(kind == FEEDBACK_CONCURRENCY && num == 0.5);
    assert_true(feedback_parse("1/sqrt_concurrency", &num, &kind));
    assert_int_equal(kind, FEEDBACK_SQRT);
    assert_false(feedback_parse("2", &num, &kind));
    assert_false(feedback_parse("1/x", &num, &kind));
    assert_false(feedback_parse("", &num, &kind));
    assert_false(feedback_parse("-1", &num, &kind));
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_message_goes_out_in_batches_and_is_removed),
        WORLD_TEST(concurrency_starts_low_and_stays_within_its_limit),
        WORLD_TEST(small_messages_overtake_a_large_one),
        WORLD_TEST(a_busy_site_does_not_hold_up_another),
        WORLD_TEST(a_dead_site_is_left_alone_and_its_mail_deferred),
        WORLD_TEST(a_vanished_agent_loses_nothing),
        WORLD_TEST(a_missing_agent_makes_its_mail_wait),
        WORLD_TEST(a_message_of_a_busy_agent_is_left_alone),
        cmocka_unit_test(feedback_values),
    };

    msg_init("qmgr");
    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
