/* Readers without locks against writers that reuse pages as fast as they can: each
 * value says whose it is, from its first byte to its last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table/table.h"
#include "util/loop.h"

#define KEYS    4000
#define KEPT    500 /* the first ones are never deleted */
#define WORKERS 8
#define BURST   300

static char dir[80], name[100]; /* TMPDIR in memory: a hundred times the commits */

/* LMDB_TEST_SECONDS=60 for the long run. */
static int64_t end_time(void)
{
    const char *seconds = getenv("LMDB_TEST_SECONDS");

    return loop_now_exact() + 1000 * (seconds ? atoi(seconds) : 2);
}

static struct table *open_table(enum table_mode mode)
{
    struct err err;
    struct table *table = table_open(NULL, name, mode, TABLE_REPLACE_DUP, &err);

    if (!table) {
        fprintf(stderr, "open: %s\n", err.text);
        _exit(10);
    }
    return table;
}

static char *key_for(char key[20], int n)
{
    snprintf(key, 20, "k%d", n);
    return key;
}

/* Now and then too large for a leaf. The version fills the value. */
static size_t value_for(char *value, int n, int version)
{
    size_t len = (size_t)(version % 40 == 0 ? 5000 + version % 7000 : version % 300);
    int start = snprintf(value, 64, "k%d=%d:", n, version);

    memset(value + start, 'a' + version % 26, len);
    value[(size_t)start + len] = '\0';
    return (size_t)start + len;
}

static bool value_is_right(const char *value, const char *key)
{
    static char expect[16000];
    int n, version;

    if (sscanf(value, "k%d=%d:", &n, &version) != 2 || n < 0 || version < 0)
        return false;
    value_for(expect, n, version);
    return atoi(key + 1) == n && strcmp(expect, value) == 0;
}

static bool complain(const struct err *err)
{
    fprintf(stderr, "writer: %s\n", err->text);
    return false;
}

static bool burst(struct table *table, unsigned *seed, char *value)
{
    struct err err;
    char key[20];

    if (!table_lock(table, &err))
        return complain(&err);
    for (int i = 0; i < BURST; i++) {
        int n = (int)((unsigned)rand_r(seed) % KEYS);
        struct span k = span_str(key_for(key, n));
        enum table_status status;
        if (n >= KEPT && rand_r(seed) % 2) {
            status = table_delete(table, k, &err);
        } else {
            size_t len = value_for(value, n, rand_r(seed) % 100000);
            status = table_update(table, k, span_of(value, len), &err);
        }
        if (status != TABLE_FOUND && status != TABLE_NOT_FOUND)
            return complain(&err);
    }
    return table_unlock(table, &err) || complain(&err);
}

static int write_until(int64_t end, unsigned seed)
{
    static char value[16000];
    struct table *table = open_table(TABLE_WRITE);
    int count = 0;

    for (; loop_now_exact() < end; count++)
        if (!burst(table, &seed, value))
            return -1;
    table_close(table);
    return count;
}

/* Some in order, from a place that differs. */
static bool walk(struct table *table, int steps)
{
    struct span key, value;
    struct err err;
    char last[32] = "";
    enum table_status status = TABLE_FOUND;

    for (int i = 0; i < steps && status == TABLE_FOUND; i++) {
        status = table_next(table, i == 0, &key, &value, &err);
        if (status == TABLE_FOUND) {
            char text[32];
            snprintf(text, sizeof text, "%.*s", SPAN_ARG(key));
            char *copy = xstrndup(value.ptr, value.len);
            bool right = value_is_right(copy, text) && strcmp(text, last) > 0;
            free(copy);
            if (!right)
                return false;
            memcpy(last, text, sizeof last);
        }
    }
    return status == TABLE_FOUND || status == TABLE_NOT_FOUND;
}

static int read_until(int64_t end, unsigned seed)
{
    struct table *table = open_table(TABLE_READ);
    struct arena *arena = arena_new();
    int count = 0;

    for (; loop_now_exact() < end; count++) {
        char key[20];
        const char *value = NULL;
        struct err err = {0};
        int n = (int)((unsigned)rand_r(&seed) % KEYS);
        enum table_status status =
            table_lookup(table, span_str(key_for(key, n)), arena, &value, &err);
        if (status == TABLE_FOUND ? !value_is_right(value, key)
                                  : status != TABLE_NOT_FOUND || n < KEPT) {
            fprintf(stderr, "%s: status %d %s %.60s\n", key, status, err.text,
                    value ? value : "");
            return -1;
        }
        if (count % 1000 == 0 && !walk(table, 200))
            return -1;
        arena_reset(arena);
    }
    arena_free(arena);
    table_close(table);
    return count;
}

static void readers_see_what_belongs_to_their_key(void **state)
{
    int64_t end = end_time();
    pid_t pids[2 * WORKERS];
    int fds[2], count, status;
    long bursts = 0, looks = 0;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    for (int i = 0; i < 2 * WORKERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            count = i < WORKERS ? write_until(end, (unsigned)i + 1)
                                : read_until(end, (unsigned)i + 1);
            if (i < WORKERS)
                count = -count;
            _exit(write(fds[1], &count, sizeof count) != sizeof count ||
                  (i < WORKERS ? count > 0 : count < 0));
        }
    }
    for (int i = 0; i < 2 * WORKERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (status != 0)
            fail_msg("process %d: status %x", i, (unsigned)status);
        assert_int_equal(read(fds[0], &count, sizeof count), sizeof count);
        if (count < 0)
            bursts -= count;
        else
            looks += count;
    }
    print_message("%ld transactions, %ld look-ups\n", bursts, looks);
    assert_true(bursts > 0 && looks > 0);
    close(fds[0]);
    close(fds[1]);
}

static int setup(void **state)
{
    static char value[16000];
    struct err err;
    char key[20];

    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/lmdb_race.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(name, sizeof name, "lmdb:%s/t", dir);
    struct table *table = open_table(TABLE_CREATE);
    for (int n = 0; n < KEPT; n++)
        table_update(table, span_str(key_for(key, n)),
                     span_of(value, value_for(value, n, n)), &err);
    bool ok = table_commit(table, &err);
    table_close(table);
    return ok ? 0 : -1;
}

static int teardown(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_what_belongs_to_their_key),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
