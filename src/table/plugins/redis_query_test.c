#include "table/plugins/redis_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "table/plugins/redis_proto.h"

/* The arguments for a key, each in <>; "" when there is none. */
static char *expand(const char *query, const char *prefix, struct span key)
{
    struct redis_query parsed;
    struct redis_args args;
    struct strbuf out = STRBUF_INIT;
    struct err err;

    if (!redis_query_parse(&parsed, query, prefix, &err))
        fail_msg("%s: %s", query, err.text);
    if (redis_query_expand(&parsed, key, &args))
        for (size_t i = 0; i < args.count; i++) {
            strbuf_add_char(&out, '<');
            strbuf_add_span(&out, args.arg[i]);
            strbuf_add_char(&out, '>');
        }
    redis_args_free(&args);
    redis_query_free(&parsed);
    return strbuf_detach(&out);
}

static void expect(const char *query, const char *prefix, const char *key,
                   const char *expected)
{
    char *got = expand(query, prefix, span_str(key));

    assert_string_equal(got, expected);
    free(got);
}

static void test_expansion(UNUSED void **state)
{
    expect("GET %s", "m:", "a b\r\n\"c", "<GET><m:a b\r\n\"c>");
    expect("get  %s ", "", "k", "<GET><k>");
    expect("HGET %d %u", "m:", "u@x.test", "<HGET><m:x.test><u>");
    expect("HGET %d %u", "m:", "plain", "");
    expect("MGET %s a:%s", "m:", "k", "<MGET><m:k><m:a:k>");
    expect("LRANGE %s 0 -1", "m:", "k", "<LRANGE><m:k><0><-1>");
    expect("HGET \"a b\" \"\\\"%s\\\\\"", "", "k", "<HGET><a b><\"k\\>");
    expect("HGET x\"y z\"%s \"\"", "", "k", "<HGET><xy zk><>");
    expect("GET %%%s%%", "%s", "%s", "<GET><%s%%s%>");
    expect("GET %s", "m:", "", ""); /* nothing is not asked for */
}

static void test_nul_is_a_byte(UNUSED void **state)
{
    char *got = expand("GET %s", "m:", span_of("a\0b", 3));

    assert_memory_equal(got, "<GET><m:a\0b>", sizeof("<GET><m:a\0b>"));
    free(got);
}

static void test_what_is_refused(UNUSED void **state)
{
    static const char *const bad[] = {
        "",        "GET",     "SET %s x",     "GET \"%s", "GET %x",
        "GET %s%", "SCAN 0",  "EVAL %s 0",    "GETEX %s", "\"\" key",
        "DEL %s",  "SORT %s", "FCALL f 1 %s", "GETGET k", "KEYS *"};
    struct redis_query query;
    struct strbuf many = STRBUF_INIT;
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (redis_query_parse(&query, bad[i], "", &err))
            fail_msg("%s", bad[i]);
        assert_true(err.text[0]);
        redis_query_free(&query);
    }
    strbuf_add_str(&many, "MGET");
    for (int i = 1; i < REDIS_MAX_ARGS; i++)
        strbuf_add_str(&many, " %s");
    assert_true(redis_query_parse(&query, many.ptr, "", &err));
    redis_query_free(&query);
    strbuf_add_str(&many, " %s");
    assert_false(redis_query_parse(&query, many.ptr, "", &err));
    redis_query_free(&query);
    strbuf_free(&many);
}

static void test_what_a_query_is(UNUSED void **state)
{
    static const struct {
        const char *text;
        bool get, plain, test;
    } rows[] = {
        {"GET %s", true, true, false},       {"get x:%s", true, false, false},
        {"HGET %s %s", false, false, false}, {"GETRANGE %s 0 9", false, false, false},
        {"EXISTS %s", false, false, true},   {"SISMEMBER s %s", false, false, true},
    };
    struct redis_query query;
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(redis_query_parse(&query, rows[i].text, "", &err));
        assert_int_equal(redis_query_is_get(&query), rows[i].get);
        assert_int_equal(redis_query_is_plain(&query), rows[i].plain);
        assert_int_equal(redis_query_is_test(&query), rows[i].test);
        redis_query_free(&query);
    }
}

static void test_scan_pattern(UNUSED void **state)
{
    struct strbuf out = STRBUF_INIT;

    redis_scan_pattern("a*[b]?\\^-:", &out);
    assert_string_equal(out.ptr, "a\\*\\[b\\]\\?\\\\\\^-:*");
    strbuf_free(&out);
}

static void test_redirects(UNUSED void **state)
{
    static const struct {
        const char *text, *host;
        bool ask;
        unsigned slot, port;
    } good[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", false, 3999, 6381},
        {"ASK 0 [2001:db8::1]:1", "2001:db8::1", true, 0, 1},
        {"MOVED 16383 2001:db8::1:65535", "2001:db8::1", false, 16383, 65535},
        {"MOVED 5 :6380", "", false, 5, 6380},
        {"MOVED 5 node-1.redis.example:6380", "node-1.redis.example", false, 5, 6380},
    };
    static const char *const bad[] = {"",
                                      "MOVED",
                                      "MOVED 5",
                                      "MOVED 5 host",
                                      "MOVED 5 host:",
                                      "MOVED 5 host:0",
                                      "MOVED 5 host:65536",
                                      "MOVED 16384 host:1",
                                      "MOVED -1 host:1",
                                      "MOVED 5 a,b:1",
                                      "MOVED 5 a b:1",
                                      "MOVED 5 unix:/tmp/x:1",
                                      "moved 5 host:1",
                                      "MOVED 99999999999999999999 host:1"};
    struct redis_redirect to;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(redis_redirect_parse(span_str(good[i].text), &to));
        assert_string_equal(to.host, good[i].host);
        assert_int_equal(to.ask, good[i].ask);
        assert_int_equal(to.slot, good[i].slot);
        assert_int_equal(to.port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (redis_redirect_parse(span_str(bad[i]), &to))
            fail_msg("%s", bad[i]);
    char text[400];
    snprintf(text, sizeof(text), "MOVED 5 %0300d:1", 0);
    assert_false(redis_redirect_parse(span_str(text), &to));
}

/* As "CLUSTER KEYSLOT" says; 12739 is the check value of CRC16/XMODEM. */
static void test_slots(UNUSED void **state)
{
    static const struct {
        const char *key;
        unsigned slot;
    } rows[] = {{"123456789", 12739}, {"foo", 12182},        {"", 0},
                {"x{foo}y", 12182},   {"{foo}{bar}", 12182}, {"}{foo}", 12182}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(redis_key_slot(span_str(rows[i].key)), rows[i].slot);
    assert_int_not_equal(redis_key_slot(SPAN_LIT("{}foo")), 12182);
    assert_int_not_equal(redis_key_slot(SPAN_LIT("{foo")), 12182);
}

static bool join(void *arg, struct span value)
{
    strbuf_add_span(arg, value);
    strbuf_add_char(arg, ',');
    return true;
}

/* The values of a reply; "!" when it is refused. */
static void expect_values(const char *wire, const char *expected)
{
    redisReader *reader = redis_reader_new();
    struct strbuf out = STRBUF_INIT;
    void *reply = NULL;

    redisReaderFeed(reader, wire, strlen(wire));
    if (redisReaderGetReply(reader, &reply) != REDIS_OK ||
        (reply && !redis_reply_each(reply, join, &out)))
        strbuf_add_char(&out, '!');
    assert_string_equal(out.ptr, expected);
    if (reply)
        freeReplyObject(reply);
    redis_reader_free(reader);
    strbuf_free(&out);
}

static void test_replies(UNUSED void **state)
{
    expect_values("$3\r\na\r\n\r\n", "a\r\n,");
    expect_values("$-1\r\n", "");
    expect_values(":-42\r\n", "-42,");
    expect_values("+OK\r\n", "OK,");
    expect_values("*3\r\n$1\r\na\r\n$-1\r\n*1\r\n:7\r\n", "a,7,");
    expect_values("*2\r\n$1\r\na\r\n-ERR x\r\n", "a,!");
    expect_values("*100001\r\n", "!");
    expect_values("*0\r\n", "");
    expect_values("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
                  "!");
}

static void test_errors(UNUSED void **state)
{
    static const struct {
        const char *text;
        enum table_status status;
    } rows[] = {
        {"ERR unknown command", TABLE_BROKEN},
        {"WRONGTYPE Operation against a key", TABLE_BROKEN},
        {"ERR max number of clients reached", TABLE_RETRY},
        {"LOADING Redis is loading", TABLE_RETRY},
        {"NOPERM this user", TABLE_RETRY},
        {"ERRATIC x", TABLE_RETRY},
        {"", TABLE_RETRY},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(redis_error_status(span_str(rows[i].text)), rows[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion),       cmocka_unit_test(test_nul_is_a_byte),
        cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_what_a_query_is),
        cmocka_unit_test(test_scan_pattern),    cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_slots),           cmocka_unit_test(test_replies),
        cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
