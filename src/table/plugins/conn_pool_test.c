#include "table/plugins/conn_pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* Its includes come first. */
#include <cmocka.h>

/* Servers "up" and "down", and "stale", whose connections last for one question. */
struct world {
    pthread_mutex_t lock;
    int connects, closes, open, most;
    int fail_first; /* so many questions are lost */
    bool slow;
};

static void *dial(void *arg, const char *host, struct err *err)
{
    struct world *w = arg;

    if (strstr(host, "down")) {
        err_set(err, "%s is down", host);
        return NULL;
    }
    pthread_mutex_lock(&w->lock);
    w->connects++;
    if (++w->open > w->most)
        w->most = w->open;
    pthread_mutex_unlock(&w->lock);
    return xstrdup(host);
}

static void hang_up(void *arg, void *conn)
{
    struct world *w = arg;

    pthread_mutex_lock(&w->lock);
    w->closes++;
    w->open--;
    pthread_mutex_unlock(&w->lock);
    free(conn);
}

struct question {
    struct world *world;
    char answer[64];
};

static enum conn_verdict ask(void *conn, void *arg, struct err *err)
{
    struct question *q = arg;

    if (q->world->fail_first > 0) {
        q->world->fail_first--;
        err_set(err, "lost %s", (char *)conn);
        return CONN_LOST;
    }
    if (q->world->slow)
        usleep(20000);
    strncpy(q->answer, conn, sizeof q->answer - 1);
    return CONN_OK;
}

static const struct conn_pool_ops ops = {.connect = dial, .close = hang_up};
static const struct conn_pool_limits limits = {
    .connections = 3, .wait_ms = 5000, .idle_s = 60, .retry_s = 60};

static struct conn_pool *pool_of(struct world *w, const char *hosts)
{
    *w = (struct world){.lock = PTHREAD_MUTEX_INITIALIZER};
    return conn_pool_new(&ops, w, span_str(hosts), &limits);
}

static void connections_are_used_again(void **state UNUSED)
{
    struct world w;
    struct conn_pool *pool = pool_of(&w, "up");
    struct question q = {.world = &w};
    struct err err;

    for (int i = 0; i < 5; i++) {
        assert_true(conn_pool_run(pool, ask, &q, &err));
        assert_string_equal(err.text, "");
    }
    assert_int_equal(w.connects, 1);
    assert_string_equal(q.answer, "up");
    conn_pool_free(pool);
    assert_int_equal(w.closes, 1);
}

static void another_server_answers(void **state UNUSED)
{
    struct world w;
    struct conn_pool *pool = pool_of(&w, "unix:/down, up");
    struct question q = {.world = &w};
    struct err err;

    assert_true(conn_pool_run(pool, ask, &q, &err));
    assert_string_equal(err.text, "unix:/down is down"); /* a warning */
    assert_string_equal(q.answer, "up");
    assert_true(conn_pool_run(pool, ask, &q, &err));
    assert_string_equal(err.text, "");
    conn_pool_free(pool);
}

static void sockets_come_first(void **state UNUSED)
{
    struct world w;
    struct question q = {.world = &w};
    struct err err;

    for (int i = 0; i < 20; i++) {
        struct conn_pool *pool = pool_of(&w, "a b unix:/c d");
        q.answer[0] = '\0';
        assert_true(conn_pool_run(pool, ask, &q, &err));
        assert_string_equal(q.answer, "unix:/c");
        conn_pool_free(pool);
    }
}

static void a_lost_idle_connection_says_nothing(void **state UNUSED)
{
    struct world w;
    struct conn_pool *pool = pool_of(&w, "up");
    struct question q = {.world = &w};
    struct err err;

    assert_true(conn_pool_run(pool, ask, &q, &err));
    w.fail_first = 1; /* the server was restarted */
    assert_true(conn_pool_run(pool, ask, &q, &err));
    assert_string_equal(err.text, "");
    assert_int_equal(w.connects, 2);
    assert_int_equal(w.closes, 1);
    w.fail_first = 2; /* it does not answer on a new one either */
    assert_false(conn_pool_run(pool, ask, &q, &err));
    assert_string_equal(err.text, "no server can be asked: lost up");
    assert_false(conn_pool_run(pool, ask, &q, &err)); /* and is left alone */
    assert_int_equal(w.connects, 3);
    conn_pool_free(pool);
    assert_int_equal(w.open, 0);
}

static void *thread_main(void *arg)
{
    void **args = arg;
    struct question q = {.world = args[1]};
    struct err err;

    for (int i = 0; i < 5; i++)
        if (!conn_pool_run(args[0], ask, &q, &err))
            return "failed";
    return NULL;
}

static void threads_share_a_few(void **state UNUSED)
{
    struct world w;
    struct conn_pool *pool = pool_of(&w, "up");
    void *args[] = {pool, &w}, *result;
    pthread_t threads[8];

    w.slow = true;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, thread_main, args);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_in_range(w.most, 2, 3);
    assert_in_range(w.connects, 2, 3);
    conn_pool_free(pool);
    assert_int_equal(w.open, 0);
}

static void one_lost_idle_connection_ends_the_others(void **state UNUSED)
{
    struct world w;
    struct conn_pool *pool = pool_of(&w, "up");
    void *args[] = {pool, &w};
    pthread_t threads[3];
    struct question q = {.world = &w};
    struct err err;

    w.slow = true;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, thread_main, args);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    int before = w.connects;
    assert_true(before >= 2);
    w.fail_first = 1;
    assert_true(conn_pool_run(pool, ask, &q, &err));
    assert_int_equal(w.closes, before);
    assert_int_equal(w.open, 1);
    conn_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_used_again),
        cmocka_unit_test(another_server_answers),
        cmocka_unit_test(sockets_come_first),
        cmocka_unit_test(a_lost_idle_connection_says_nothing),
        cmocka_unit_test(threads_share_a_few),
        cmocka_unit_test(one_lost_idle_connection_ends_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
