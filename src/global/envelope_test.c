#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "global/envelope.h"

#define DATA "tests/data/queue/" /* written by the peer */

static struct arena *arena;

static void read_file(const char *path, size_t max, int64_t from, struct envelope *env)
{
    const char *why = "";
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    if (envelope_read(fd, max, from, arena, env, &why) != ENVELOPE_OK)
        fail_msg("%s: %s", path, why);
    close(fd);
}

static void check_smtp(const struct envelope *env)
{
    assert_string_equal(env->sender, "");
    assert_int_equal(env->arrival.tv_sec, 1795415321);
    assert_int_equal(env->arrival.tv_usec, 809476);
    assert_int_equal(env->data_offset, 704);
    assert_int_equal(env->data_size, 307);
    assert_int_equal(env->content_size, 307);
    assert_int_equal(env->rcpt_count, 1);
    assert_int_equal(env->qmgr_opts, 12);
    assert_string_equal(env->envelope_id, "abc");
    assert_int_equal(env->ret, RET_HDRS);
    assert_string_equal(env->encoding, "8bit");
    assert_string_equal(env->rewrite_context, "local");
    assert_string_equal(env->log_ident, "C76FBA7292F");
    assert_string_equal(env->client_address_type, "2");
    assert_string_equal(env->helo_name, "me.example");
    assert_string_equal(env->sasl_username, "");
    assert_int_equal(env->rcpt_len, 1);
    assert_string_equal(env->rcpts[0].address, "r1@example.org");
    assert_string_equal(env->rcpts[0].orig, "");
    assert_string_equal(env->rcpts[0].dsn_orcpt, "rfc822;orig@example.org");
    assert_int_equal(env->rcpts[0].notify, NOTIFY_SUCCESS | NOTIFY_FAILURE);
    assert_int_equal(env->rcpts[0].offset, 686);
    assert_int_equal(env->next_rcpt_offset, 0);
}

static void test_peer_smtp(void **state)
{
    struct envelope env;

    (void)state;
    read_file(DATA "peer-smtp-dsn", 0, 0, &env);
    check_smtp(&env);
}

static void test_frame(void **state)
{
    struct strbuf sb = STRBUF_INIT;
    struct envelope env, copy;
    const char *missing;

    (void)state;
    read_file(DATA "peer-smtp-dsn", 0, 0, &env);
    envelope_to_frame(&env, &sb);
    assert_true(envelope_from_frame(strbuf_span(&sb), arena, &copy, &missing));
    check_smtp(&copy);
    strbuf_reset(&sb);
    frame_str(&sb, "sender", "a");
    frame_num(&sb, "arrival_sec", 1);
    assert_false(envelope_from_frame(strbuf_span(&sb), arena, &copy, &missing));
    assert_string_equal(missing, "arrival_usec");
    strbuf_free(&sb);
}

static void test_extracted_in_batches(void **state)
{
    static const char *const expect[] = {"b@example.org", "root@mx.peer.test",
                                         "x y@host", "abc@[1.2.3.4]",
                                         "bcc@example.org"};
    struct envelope env;
    int64_t from = 0;
    size_t seen = 0;

    (void)state;
    read_file(DATA "peer-sendmail-t", 0, 0, &env);
    assert_int_equal(env.rcpt_len, 5);
    assert_string_equal(env.full_name, "J Doe");
    assert_string_equal(env.rcpts[1].orig, "root");
    assert_int_equal(env.warn_time, 1795430094);
    assert_int_equal(env.warn_offset, 189);
    do {
        read_file(DATA "peer-sendmail-t", 2, from, &env);
        for (size_t i = 0; i < env.rcpt_len; i++)
            assert_string_equal(env.rcpts[i].address, expect[seen++]);
        from = env.next_rcpt_offset;
        assert_true(seen == 5 || from > 0);
    } while (from);
    assert_int_equal(seen, 5);
}

static void expect_result(const struct strbuf *sb, enum envelope_status status)
{
    int fd = memfd_create("envelope", MFD_CLOEXEC);
    struct envelope env;
    const char *why = NULL;

    assert_int_equal(write(fd, sb->ptr, sb->len), (ssize_t)sb->len);
    assert_int_equal(envelope_read(fd, 0, 0, arena, &env, &why), status);
    if (status == ENVELOPE_CORRUPT)
        assert_non_null(why);
    close(fd);
}

/* A file cut off anywhere is corrupt, and a byte more or less never crashes. */
static void test_truncated(void **state)
{
    struct strbuf sb = STRBUF_INIT, cut = STRBUF_INIT;
    char buf[4096];
    FILE *file = fopen(DATA "peer-smtp-dsn", "r");

    (void)state;
    strbuf_add(&sb, buf, fread(buf, 1, sizeof buf, file));
    fclose(file);
    expect_result(&sb, ENVELOPE_OK);
    for (size_t len = 0; len < sb.len; len += 7) {
        strbuf_reset(&cut);
        strbuf_add(&cut, sb.ptr, len);
        expect_result(&cut, ENVELOPE_CORRUPT);
    }
    strbuf_free(&sb);
    strbuf_free(&cut);
}

static void test_required_records(void **state)
{
    struct strbuf sb = STRBUF_INIT;

    (void)state;
    rec_add_str(&sb, REC_TIME, "1");
    rec_add_str(&sb, REC_MESSAGE, "");
    rec_add_str(&sb, REC_EXTRACTED, "");
    rec_add_str(&sb, REC_END, "");
    expect_result(&sb, ENVELOPE_CORRUPT); /* no sender */
    strbuf_reset(&sb);
    rec_add_str(&sb, REC_SENDER, "a");
    rec_add_str(&sb, REC_MESSAGE, "");
    rec_add_str(&sb, REC_EXTRACTED, "");
    rec_add_str(&sb, REC_END, "");
    expect_result(&sb, ENVELOPE_CORRUPT); /* no time */
    rec_add_str(&sb, REC_TIME, "1");      /* behind the end: does not count */
    expect_result(&sb, ENVELOPE_CORRUPT);
    strbuf_free(&sb);
}

/* As pickup finds it: no size record, recipients where sendmail put them. */
static void test_maildrop_file(void **state)
{
    struct strbuf sb = STRBUF_INIT;
    struct envelope env;
    const char *why;
    int fd = memfd_create("maildrop", MFD_CLOEXEC);

    (void)state;
    rec_add_str(&sb, REC_TIME, "1795415694 637796");
    rec_add_attr(&sb, "rewrite_context", SPAN_LIT("local"));
    rec_add_str(&sb, REC_SENDER, "root");
    rec_add_str(&sb, REC_DONE, "done@example.org");
    rec_add_str(&sb, REC_RCPT, "a");
    rec_add_str(&sb, REC_MESSAGE, "");
    rec_add_str(&sb, REC_LINE, "text");
    rec_add_str(&sb, REC_EXTRACTED, "");
    rec_add_str(&sb, REC_RCPT, "b");
    rec_add_str(&sb, REC_END, "");
    assert_int_equal(write(fd, sb.ptr, sb.len), (ssize_t)sb.len);
    assert_int_equal(envelope_read(fd, 0, 0, arena, &env, &why), ENVELOPE_OK);
    assert_int_equal(env.rcpt_len, 2);
    assert_int_equal(env.data_size, 6);
    assert_int_equal(env.create_time, 1795415694);
    close(fd);
    strbuf_free(&sb);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peer_smtp),
        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_extracted_in_batches),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_required_records),
        cmocka_unit_test(test_maildrop_file),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
