#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/bounce_log.h"
#include "util/fiber.h"
#include "util/file.h"
#include "util/msg.h"

#define ID "C5A04BA7292F"

static struct config cfg;
static struct queue queue;
static struct arena *arena;

static struct bounce_entry entry(const char *address)
{
    return (struct bounce_entry){
        .rcpt = {.address = address, .orig = "", .dsn_orcpt = ""},
        .dsn = {.status = "5.1.1",
                .action = "failed",
                .reason = "host said: no",
                .diag_type = "",
                .diag_text = "",
                .mta_type = "",
                .mta_name = ""}};
}

static int append(void *arg)
{
    return bounce_log_append(&queue, QUEUE_BOUNCE, ID, arg) ? 0 : 1;
}

static struct span file_text(void)
{
    struct strbuf sb = STRBUF_INIT;
    struct span text;
    struct err err;

    assert_true(file_read_all(QUEUE_BOUNCE "/" ID, 10000, &sb, &err));
    text = arena_span(arena, strbuf_span(&sb));
    strbuf_free(&sb);
    return text;
}

static void test_round_trip(void **state)
{
    struct bounce_entry one = entry("a@x.test"), two = entry(""), *got;
    size_t count;

    (void)state;
    one.rcpt.orig = "list@x.test";
    one.rcpt.dsn_orcpt = "rfc822;l@x.test";
    one.rcpt.notify = NOTIFY_FAILURE | NOTIFY_DELAY;
    one.rcpt.offset = 686;
    one.dsn.diag_type = "smtp";
    one.dsn.diag_text = "550 no";
    one.dsn.mta_type = "dns";
    one.dsn.mta_name = "h.test";
    assert_int_equal(fiber_main(append, &one), 0);
    assert_int_equal(fiber_main(append, &two), 0);
    assert_true(bounce_log_read(&queue, QUEUE_BOUNCE, ID, arena, &got, &count));
    assert_int_equal(count, 2);
    assert_string_equal(got[0].rcpt.address, "a@x.test");
    assert_string_equal(got[0].rcpt.orig, "list@x.test");
    assert_string_equal(got[0].rcpt.dsn_orcpt, "rfc822;l@x.test");
    assert_int_equal(got[0].rcpt.notify, NOTIFY_FAILURE | NOTIFY_DELAY);
    assert_int_equal(got[0].rcpt.offset, 686);
    assert_string_equal(got[0].dsn.diag_text, "550 no");
    assert_string_equal(got[0].dsn.mta_name, "h.test");
    assert_string_equal(got[1].rcpt.address, "");
    assert_string_equal(got[1].dsn.status, "5.1.1");
    bounce_log_remove(&queue, QUEUE_BOUNCE, ID);
    assert_false(bounce_log_read(&queue, QUEUE_BOUNCE, ID, arena, &got, &count));
}

/* A server's words cannot add fields or entries. */
static void test_hostile_text(void **state)
{
    struct bounce_entry one = entry("a@x.test"), *got;
    size_t count;

    (void)state;
    one.dsn.reason = "no\n\nrecipient=b@y.test\nstatus=2.0.0";
    one.dsn.diag_text = "x\r\noffset=1";
    one.dsn.diag_type = "smtp";
    assert_int_equal(fiber_main(append, &one), 0);
    assert_true(bounce_log_read(&queue, QUEUE_BOUNCE, ID, arena, &got, &count));
    assert_int_equal(count, 1);
    assert_string_equal(got[0].rcpt.address, "a@x.test");
    assert_string_equal(got[0].dsn.status, "5.1.1");
    assert_int_equal(got[0].rcpt.offset, 0);
    bounce_log_remove(&queue, QUEUE_BOUNCE, ID);
}

static void test_legacy_line(void **state)
{
    struct bounce_entry one = entry("a b@x.test");

    (void)state;
    assert_int_equal(fiber_main(append, &one), 0);
    assert_false(span_starts(file_text(), SPAN_LIT("\n<")));
    bounce_log_remove(&queue, QUEUE_BOUNCE, ID);
    cfg.backwards_bounce_logfile_compatibility = true;
    assert_int_equal(fiber_main(append, &one), 0);
    assert_true(span_starts(file_text(), SPAN_LIT("\n<\"a b\"@x.test>: host said: no\n"
                                                  "recipient=a b@x.test\n")));
    cfg.backwards_bounce_logfile_compatibility = false;
    bounce_log_remove(&queue, QUEUE_BOUNCE, ID);
}

/* Damaged files give what can be read and nothing out of bounds. */
static void test_damaged(void **state)
{
    static const char text[] =
        "\n\n\nnonsense\noffset=x\nstatus=9.9.9\nnotify_flags=99\n"
        "recipient=a@x.test\n\n\nrecipient=<>\nreason=";
    struct bounce_entry *got;
    size_t count;
    int fd = open(QUEUE_BOUNCE "/" ID, O_CREAT | O_WRONLY, 0600);

    (void)state;
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_true(bounce_log_read(&queue, QUEUE_BOUNCE, ID, arena, &got, &count));
    assert_int_equal(count, 2);
    assert_string_equal(got[0].rcpt.address, "a@x.test");
    assert_string_equal(got[0].dsn.status, "5.0.0");
    assert_string_equal(got[1].rcpt.address, "");
    bounce_log_remove(&queue, QUEUE_BOUNCE, ID);
}

static int setup(void **state)
{
    static char dir[] = "/tmp/bounce_log_test.XXXXXX";

    (void)state;
    arena = arena_new();
    cfg.hash_queue_names = "";
    queue_init(&queue, &cfg, arena);
    return !mkdtemp(dir) || chdir(dir) < 0 || mkdir(QUEUE_BOUNCE, 0700) < 0;
}

static int teardown(void **state)
{
    char cwd[100];

    (void)state;
    arena_free(arena);
    return !getcwd(cwd, sizeof cwd) || rmdir(QUEUE_BOUNCE) < 0 || chdir("/") < 0 ||
           rmdir(cwd) < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_legacy_line), cmocka_unit_test(test_damaged)};

    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    return cmocka_run_group_tests(tests, setup, teardown);
}
