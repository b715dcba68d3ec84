/* Against a memcached of its own; skipped where there is none. Commands only look up
 * and delete, so that storing is tested here. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table/table.h"
#include "util/net.h"

static char dir[] = "/tmp/type_memcache_test.XXXXXX";
static char server[64];
static pid_t pid = -1;
static struct arena *arena;

static const char *param(void *arg, const char *name)
{
    if (strcmp(name, arg) == 0) /* cache_backup, or plain_nothing */
        return "internal:kept";
    if (strcmp(name, "cache_memcache") == 0 || strcmp(name, "plain_memcache") == 0)
        return server;
    return strstr(name, "_data_size_limit") ? "10" : NULL;
}

static const struct table_env with_backup = {.param = param, .arg = "cache_backup"};
static const struct table_env alone = {.param = param, .arg = "none"};

static bool start_server(void)
{
    const char *path = server + strlen("unix:");

    pid = fork();
    if (pid == 0) {
        bool root = getuid() == 0;
        execlp("memcached", "memcached", "-s", path, "-m", "4", "-t", "1",
               root ? "-u" : NULL, "nobody", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 100; i++) {
        int fd = net_connect_unix_blocking(path, 1);
        if (fd >= 0)
            return close(fd) == 0;
        if (waitpid(pid, NULL, WNOHANG) != 0)
            break;
        usleep(20000);
    }
    pid = -1;
    return false;
}

static struct table *open_table(const struct table_env *env, const char *name)
{
    struct err err;
    struct table *table = table_open(env, name, TABLE_WRITE, 0, &err);

    if (!table)
        fail_msg("%s: %s", name, err.text);
    return table;
}

static void expect(struct table *table, const char *key, const char *wanted)
{
    struct err err;
    const char *value;
    enum table_status status = table_lookup(table, span_str(key), arena, &value, &err);

    if (status != (wanted ? TABLE_FOUND : TABLE_NOT_FOUND) ||
        (wanted && strcmp(value, wanted) != 0))
        fail_msg("%s: %d %s (%s)", key, status, value ? value : "none", err.text);
}

static enum table_status set(struct table *table, const char *key, const char *value)
{
    struct err err;

    return table_update(table, span_str(key), span_str(value), &err);
}

static enum table_status drop(struct table *table, const char *key)
{
    struct err err;

    return table_delete(table, span_str(key), &err);
}

static void stored_in_the_server(void **state)
{
    struct table *table = open_table(&alone, "memcache:plain");

    (void)state;
    expect(table, "a", NULL);
    assert_int_equal(set(table, "A", "one"), TABLE_FOUND);
    expect(table, "a", "one");
    assert_int_equal(set(table, "a", ""), TABLE_FOUND);
    expect(table, "a", "");
    assert_int_equal(drop(table, "a"), TABLE_FOUND);
    assert_int_equal(drop(table, "a"), TABLE_NOT_FOUND);
    assert_int_equal(set(table, "with blank", "x"), TABLE_BROKEN);
    expect(table, "with blank", NULL);
    table_close(table);
}

static void too_long_a_value_leaves_none(void **state)
{
    struct table *table = open_table(&alone, "memcache:plain");

    (void)state;
    assert_int_equal(set(table, "b", "0123456789"), TABLE_FOUND);
    assert_int_equal(set(table, "b", "0123456789a"), TABLE_BROKEN);
    expect(table, "b", NULL);
    table_close(table);
}

static void kept_by_the_backup(void **state)
{
    struct table *table = open_table(&with_backup, "memcache:cache");
    struct table *bare = open_table(&alone, "memcache:plain");
    struct span key, value;
    struct err err;

    (void)state;
    assert_int_equal(set(table, "c", "one"), TABLE_FOUND);
    expect(bare, "c", "one");
    assert_int_equal(drop(bare, "c"), TABLE_FOUND);
    expect(table, "c", "one");
    expect(bare, "c", "one"); /* put back */
    assert_int_equal(set(table, "c", "longer than the server takes"), TABLE_FOUND);
    expect(bare, "c", NULL);
    expect(table, "c", "longer than the server takes");
    assert_int_equal(set(table, "with\r\nquit\r\n", "two"), TABLE_FOUND);
    expect(table, "with\r\nquit\r\n", "two");
    assert_int_equal(table_next(table, true, &key, &value, &err), TABLE_FOUND);
    assert_int_equal(table_next(table, false, &key, &value, &err), TABLE_FOUND);
    assert_int_equal(table_next(table, false, &key, &value, &err), TABLE_NOT_FOUND);
    assert_int_equal(set(table, "c", "short"), TABLE_FOUND);
    assert_int_equal(drop(table, "c"), TABLE_FOUND);
    expect(bare, "c", NULL);
    expect(table, "c", NULL);
    table_close(bare);
    table_close(table);
}

/* Last: it ends the server. */
static void without_the_server(void **state)
{
    struct table *table = open_table(&with_backup, "memcache:cache");

    (void)state;
    assert_int_equal(set(table, "d", "one"), TABLE_FOUND);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    pid = -1;
    expect(table, "d", "one");
    assert_int_equal(set(table, "d", "two"), TABLE_FOUND);
    expect(table, "d", "two");
    /* The server may come back with it. */
    assert_int_equal(drop(table, "d"), TABLE_RETRY);
    expect(table, "d", "two");
    table_close(table);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    if (!mkdtemp(dir) || chmod(dir, 0777) < 0)
        return -1;
    snprintf(server, sizeof(server), "unix:%s/s", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    unlink(server + strlen("unix:"));
    arena_free(arena);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_in_the_server),
        cmocka_unit_test(too_long_a_value_leaves_none),
        cmocka_unit_test(kept_by_the_backup),
        cmocka_unit_test(without_the_server),
    };
    void *none = NULL;

    if (setup(&none) < 0)
        return 1;
    if (!start_server()) {
        printf("skipped: memcached does not start\n");
        return teardown(&none);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return teardown(&none) != 0 || failed;
}
