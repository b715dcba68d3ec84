#include "table/plugins/redis_servers.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A server with one reply to GET and one to SET; ends a connection after a reply that
 * says so, and any other command. */
struct fake {
    int listener;
    char host[32];
    pthread_t thread;
    pthread_mutex_t lock; /* of the replies */
    char on_get[128], on_set[128];
    bool hang_up;
    _Atomic int gets, sets, connects;
    _Atomic bool dead;
};

static bool answer(struct fake *fake, int fd)
{
    char command[512], reply[128];
    ssize_t got = read(fd, command, sizeof(command) - 1);

    if (got <= 0 || fake->dead)
        return false;
    command[got] = '\0';
    bool get = strstr(command, "GET"), set = strstr(command, "SET");
    fake->gets += get;
    fake->sets += set;
    pthread_mutex_lock(&fake->lock);
    snprintf(reply, sizeof(reply), "%s\r\n", get ? fake->on_get : fake->on_set);
    bool last = fake->hang_up;
    pthread_mutex_unlock(&fake->lock);
    return (get || set) && send(fd, reply, strlen(reply), MSG_NOSIGNAL) > 0 && !last;
}

struct session {
    struct fake *fake;
    int fd;
    pthread_t thread;
};

static void *serve_one(void *arg)
{
    struct session *session = arg;

    while (answer(session->fake, session->fd))
        ;
    shutdown(session->fd, SHUT_RDWR);
    return NULL;
}

/* Until fake_stop, when the client's connections are closed. */
static void *serve(void *arg)
{
    struct fake *fake = arg;
    struct session sessions[32] = {0};
    size_t count = 0;
    int fd;

    while (count < ARRAY_LEN(sessions) &&
           (fd = accept(fake->listener, NULL, NULL)) >= 0) {
        struct session *session = &sessions[count++];
        *session = (struct session){.fake = fake, .fd = fd};
        fake->connects++;
        pthread_create(&session->thread, NULL, serve_one, session);
    }
    while (count-- > 0) {
        pthread_join(sessions[count].thread, NULL);
        close(sessions[count].fd);
    }
    return NULL;
}

static void fake_start(struct fake *fake, const char *on_get, const char *on_set)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);

    memset(fake, 0, sizeof(*fake));
    fake->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(fake->listener, 10), 0);
    getsockname(fake->listener, (struct sockaddr *)&addr, &len);
    snprintf(fake->host, sizeof(fake->host), "127.0.0.1:%d", ntohs(addr.sin_port));
    snprintf(fake->on_get, sizeof(fake->on_get), "%s", on_get);
    snprintf(fake->on_set, sizeof(fake->on_set), "%s", on_set);
    pthread_mutex_init(&fake->lock, NULL);
    assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
}

static void fake_replies(struct fake *fake, const char *on_get)
{
    pthread_mutex_lock(&fake->lock);
    snprintf(fake->on_get, sizeof(fake->on_get), "%s", on_get);
    pthread_mutex_unlock(&fake->lock);
}

static void fake_stop(struct fake *fake)
{
    shutdown(fake->listener, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    pthread_mutex_destroy(&fake->lock);
}

static const struct redis_settings settings = {.timeout_ms = 3000};

/* What the command gave: the text of the reply, or of the error. */
static const char *ask(struct redis_servers *servers, bool change, const char *key)
{
    static char text[256];
    struct span get[] = {SPAN_LIT("GET"), span_str(key)};
    struct span set[] = {SPAN_LIT("SET"), span_str(key), SPAN_LIT("value")};
    struct redis_request request = {.args = change ? set : get,
                                    .count = change ? 3 : 2,
                                    .key = span_str(key),
                                    .change = change};
    struct err err = {0};
    redisReply *reply;
    enum table_status status = redis_servers_ask(servers, &request, &reply, &err);

    if (status == TABLE_FOUND) {
        snprintf(text, sizeof(text), "%s", reply->str);
        freeReplyObject(reply);
        return text;
    }
    assert_null(reply);
    snprintf(text, sizeof(text), "%s: %s", status == TABLE_RETRY ? "retry" : "broken",
             err.text);
    return text;
}

static void expect_retry(const char *got, const char *why)
{
    if (strncmp(got, "retry: ", 7) != 0 || !strstr(got, why))
        fail_msg("%s", got);
}

static void test_a_replica_is_put_aside_for_changes_only(UNUSED void **state)
{
    struct fake replica, primary;
    char hosts[80];

    fake_start(&replica, "+replica", "-READONLY no");
    fake_start(&primary, "-LOADING still", "+OK");
    snprintf(hosts, sizeof(hosts), "%s, %s", replica.host, primary.host);
    struct redis_servers *servers = redis_servers_new(&settings, hosts, 0, 60);
    for (int i = 0; i < 10; i++)
        assert_string_equal(ask(servers, true, "key"), "OK");
    assert_true(replica.sets <= 1);
    assert_int_equal(primary.sets, 10);
    for (int i = 0; i < 10; i++)
        assert_string_equal(ask(servers, false, "key"), "replica");
    assert_true(primary.gets <= 1);
    redis_servers_free(servers);
    fake_stop(&replica);
    fake_stop(&primary);
}

static void test_a_single_server_is_asked_again(UNUSED void **state)
{
    struct fake fake;

    fake_start(&fake, "-LOADING data", "-READONLY no");
    struct redis_servers *servers = redis_servers_new(&settings, fake.host, 60, 60);
    expect_retry(ask(servers, false, "key"), "LOADING data");
    expect_retry(ask(servers, true, "key"), "READONLY no");
    fake_replies(&fake, "+there");
    assert_string_equal(ask(servers, false, "key"), "there");
    redis_servers_free(servers);
    fake_stop(&fake);
}

static void test_a_crowded_server_closes_the_connection(UNUSED void **state)
{
    struct fake fake;

    fake_start(&fake, "-ERR max number of clients reached", "");
    fake.hang_up = true;
    struct redis_servers *servers = redis_servers_new(&settings, fake.host, 60, 60);
    expect_retry(ask(servers, false, "key"), "max number of clients");
    fake_replies(&fake, "+there");
    assert_string_equal(ask(servers, false, "key"), "there");
    assert_int_equal(fake.connects, 2);
    redis_servers_free(servers);
    fake_stop(&fake);
}

static void test_slots_are_remembered(UNUSED void **state)
{
    struct fake first, second;
    char moved[80];

    fake_start(&first, "", "");
    fake_start(&second, "+second", "");
    snprintf(moved, sizeof(moved), "-MOVED 12182 %s", second.host);
    fake_replies(&first, moved);
    struct redis_servers *servers = redis_servers_new(&settings, first.host, 60, 60);
    assert_false(redis_servers_clustered(servers));
    for (int i = 0; i < 3; i++)
        assert_string_equal(ask(servers, false, "foo"), "second");
    assert_true(redis_servers_clustered(servers));
    assert_int_equal(first.gets, 1);
    assert_int_equal(second.gets, 3);
    fake_replies(&first, "+first");
    assert_string_equal(ask(servers, false, "other"), "first"); /* of another slot */
    second.dead = true;
    shutdown(second.listener, SHUT_RDWR);
    assert_string_equal(ask(servers, false, "foo"), "first");
    redis_servers_free(servers);
    fake_stop(&first);
    fake_stop(&second);
}

static void test_hosts(UNUSED void **state)
{
    static const struct {
        const char *text, *host, *port;
    } rows[] = {{"localhost", "localhost", "6379"},
                {"db.example:6380", "db.example", "6380"},
                {"[::1]", "::1", "6379"},
                {"[2001:db8::1]:1", "2001:db8::1", "1"},
                {"", NULL, NULL},
                {":6379", NULL, NULL},
                {"a:", NULL, NULL},
                {"a:0", NULL, NULL},
                {"a:65536", NULL, NULL},
                {"a:b:c", NULL, NULL},
                {"[::1", NULL, NULL},
                {"[]:1", NULL, NULL},
                {"[::1]1", NULL, NULL}};
    char host[REDIS_MAX_HOST + 1], port[6];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(redis_host_split(rows[i].text, host, port), rows[i].host != 0);
        if (rows[i].host) {
            assert_string_equal(host, rows[i].host);
            assert_string_equal(port, rows[i].port);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_a_single_server_is_asked_again),
        cmocka_unit_test(test_a_replica_is_put_aside_for_changes_only),
        cmocka_unit_test(test_a_crowded_server_closes_the_connection),
        cmocka_unit_test(test_slots_are_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
