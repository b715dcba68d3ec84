#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table/lmdb_lock.h"
#include "table/table.h"
#include "util/fiber.h"
#include "util/file.h"
#include "util/loop.h"

#define COUNT 3000

static struct arena *arena;
static char dir[] = "/tmp/lmdb_test.XXXXXX";

static const char *start_map(void *arg, const char *name)
{
    return strcmp(name, "lmdb_map_size") == 0 ? arg : NULL;
}

static const struct table_env small_env = {.param = start_map, .arg = "1048576"};

static const char *name_of(const char *file)
{
    return arena_printf(arena, "lmdb:%s/%s", dir, file);
}

static const char *path_of(const char *file)
{
    return arena_printf(arena, "%s/%s.lmdb", dir, file);
}

static struct table *open_table(const char *file, enum table_mode mode, unsigned flags)
{
    struct err err;
    struct table *table = table_open(&small_env, name_of(file), mode, flags, &err);

    if (!table)
        fail_msg("%s: %s", file, err.text);
    return table;
}

static const char *value_for(char *buf, int i)
{
    snprintf(buf, 6000, "value-of-%d%*s", i, i % 50 == 0 ? 5000 : i % 40, "x");
    return buf;
}

static bool put(struct table *table, int i, const char *value)
{
    char key[20];
    struct err err;

    snprintf(key, sizeof key, "key-%d", i);
    enum table_status status =
        table_update(table, span_str(key), span_str(value), &err);
    if (status != TABLE_FOUND)
        print_message("put %s: %d %s\n", key, status, err.text);
    return status == TABLE_FOUND;
}

static enum table_status get(struct table *table, int i, const char **value)
{
    char key[20];
    struct err err;

    snprintf(key, sizeof key, "key-%d", i);
    return table_lookup(table, span_str(key), arena, value, &err);
}

static void build(const char *file, int count)
{
    struct table *table = open_table(file, TABLE_CREATE, TABLE_REPLACE_DUP);
    char value[6000];
    struct err err;

    for (int i = 0; i < count; i++)
        assert_true(put(table, i, value_for(value, i)));
    assert_true(table_commit(table, &err));
    table_close(table);
}

static int count_all(struct table *table, enum table_status *end)
{
    struct span key, value;
    struct err err;
    int count = 0;

    while ((*end = table_next(table, count == 0, &key, &value, &err)) == TABLE_FOUND)
        count++;
    return count;
}

static void must_hold(struct table *table, int i, const char *expect)
{
    const char *value;

    assert_int_equal(get(table, i, &value), TABLE_FOUND);
    assert_string_equal(value, expect);
}

/* -- growth -- */

/* In CI to 64 MiB; LMDB_TEST_MIB=1024 for the full size. */
static int mebibytes(void)
{
    const char *text = getenv("LMDB_TEST_MIB");

    return text ? atoi(text) : 64;
}

static void grows(struct table *table, struct table *reader, bool one_transaction)
{
    static char value[65536];
    int count = mebibytes() * 1024 / 64;
    struct err err;

    memset(value, 'v', sizeof value - 100);
    value[sizeof value - 100] = '\0';
    if (one_transaction)
        assert_true(table_lock(table, &err));
    for (int i = 0; i < count; i++) {
        assert_true(put(table, i, value));
        if (reader && i % 100 == 0) {
            arena_reset(arena);
            must_hold(reader, i, value);
        }
    }
    if (one_transaction)
        assert_true(table_unlock(table, &err));
    for (int i = 0; i < count; i += 7) {
        arena_reset(arena);
        must_hold(reader ? reader : table, i, value);
    }
    arena_reset(arena);
}

static void map_grows_change_by_change(void **state)
{
    struct table *writer = open_table("grow1", TABLE_WRITE, TABLE_REPLACE_DUP);
    struct table *reader = open_table("grow1", TABLE_READ, 0);

    (void)state;
    grows(writer, reader, false);
    table_close(reader);
    table_close(writer);
    unlink(path_of("grow1"));
}

static void map_grows_inside_a_transaction(void **state)
{
    struct table *writer = open_table("grow2", TABLE_WRITE, TABLE_REPLACE_DUP);
    struct table *reader = open_table("grow2", TABLE_READ, 0);

    (void)state;
    assert_true(put(writer, -1, "before"));
    grows(writer, NULL, true);
    must_hold(reader, -1, "before");
    table_close(reader);
    table_close(writer);
    unlink(path_of("grow2"));
}

/* -- faults -- */

static struct strbuf original;

static void write_copy(const char *file, size_t len)
{
    int fd = open(path_of(file), O_CREAT | O_TRUNC | O_RDWR, 0644);

    assert_true(fd >= 0 && file_write_full(fd, original.ptr, len));
    close(fd);
}

/* Whatever the file is: the right value, or a result that says so. */
static void must_survive(const char *file, const char *what, size_t at)
{
    struct err err;
    struct table *table = table_open(&small_env, name_of(file), TABLE_READ, 0, &err);
    enum table_status end;
    const char *value;
    char expect[6000];

    if (!table)
        return;
    for (int i = 0; i < COUNT; i += 97) {
        enum table_status status = get(table, i, &value);
        if (status == TABLE_FOUND && strcmp(value, value_for(expect, i)) != 0 &&
            strlen(value) == strlen(expect)) {
            size_t wrong = 0;
            for (size_t k = 0; value[k]; k++)
                wrong += value[k] != expect[k];
            if (wrong > 1) /* one is the flipped byte itself */
                fail_msg("%s at %zu: wrong value of key %d", what, at, i);
        }
    }
    if (count_all(table, &end) > COUNT + 10)
        fail_msg("%s at %zu: more entries than there were", what, at);
    table_close(table);
    arena_reset(arena);
}

static void load_original(void)
{
    struct err err;

    build("sound", COUNT);
    strbuf_init(&original);
    assert_true(file_read_all(path_of("sound"), 1 << 28, &original, &err));
}

static void truncation_is_survived(void **state)
{
    (void)state;
    for (size_t len = 0; len < original.len; len += original.len / 150 + 13) {
        write_copy("cut", len);
        must_survive("cut", "cut", len);
    }
}

static void truncation_under_readers_is_survived(void **state)
{
    const char *value;

    (void)state;
    for (int i = 0; i < 40; i++) {
        write_copy("under", original.len);
        struct table *table = open_table("under", TABLE_READ, 0);
        assert_int_equal(get(table, 1, &value), TABLE_FOUND);
        assert_int_equal(truncate(path_of("under"), i * 3000), 0);
        for (int k = 0; k < COUNT; k += 40) {
            enum table_status status = get(table, k, &value);
            assert_true(status == TABLE_RETRY || status == TABLE_BROKEN ||
                        (status == TABLE_FOUND && strncmp(value, "value-of-", 9) == 0));
        }
        usleep(15000); /* now the size is looked at */
        enum table_status status = get(table, 1, &value);
        assert_true(status == TABLE_RETRY || status == TABLE_BROKEN);
        write_copy("under2", original.len);
        assert_int_equal(rename(path_of("under2"), path_of("under")), 0);
        usleep(15000);
        assert_int_equal(get(table, 1, &value), TABLE_FOUND); /* recovered */
        table_close(table);
    }
    arena_reset(arena);
}

static void write_into(const char *file, size_t at)
{
    struct err err;
    struct table *table =
        table_open(&small_env, name_of(file), TABLE_WRITE, TABLE_REPLACE_DUP, &err);

    if (!table)
        return;
    for (int i = 0; i < COUNT; i += 211) {
        char key[20];
        snprintf(key, sizeof key, "key-%d", i);
        table_update(table, span_str(key), SPAN_LIT("changed"), &err);
        snprintf(key, sizeof key, "key-%d", i + 1);
        table_delete(table, span_str(key), &err);
    }
    table_close(table);
    (void)at;
}

/* Structure first: the start of each page is where damage hurts. */
static size_t flip_position(int i)
{
    size_t pages = original.len / 4096, page = (size_t)i % pages;

    return i % 3 == 2 ? (size_t)rand() % original.len
                      : page * 4096 + (size_t)rand() % (i % 3 ? 160 : 24);
}

static void bit_flips_are_survived(void **state)
{
    (void)state;
    srand(4711);
    for (int i = 0; i < 600; i++) {
        size_t at = flip_position(i);
        char mask = (char)(1 << rand() % 8);
        original.ptr[at] ^= mask;
        write_copy("flip", original.len);
        must_survive("flip", "flip", at);
        if (i % 2)
            write_into("flip", at);
        original.ptr[at] ^= mask;
    }
}

/* Then the file ends before the page that is the last one by its meta page. */
static void a_large_value_given_up_at_once_is_no_damage(void **state)
{
    static char large[50000];
    struct err err;

    (void)state;
    memset(large, 'l', sizeof large - 1);
    struct table *table = open_table("short", TABLE_WRITE, TABLE_REPLACE_DUP);
    for (int i = 0; i < 6; i++) /* there are free pages */
        assert_true(put(table, 1, "one"));
    assert_true(table_lock(table, &err));
    assert_true(put(table, 2, "two"));
    assert_true(put(table, 3, large));
    assert_int_equal(table_delete(table, SPAN_LIT("key-3"), &err), TABLE_FOUND);
    assert_true(table_unlock(table, &err));
    struct table *reader = open_table("short", TABLE_READ, 0);
    must_hold(reader, 2, "two");
    must_hold(table, 1, "one");
    assert_true(put(table, 3, "three"));
    must_hold(reader, 3, "three");
    table_close(reader);
    table_close(table);
}

static void a_vanished_file_means_retry(void **state)
{
    const char *value;

    (void)state;
    write_copy("gone", original.len);
    struct table *table = open_table("gone", TABLE_READ, 0);
    assert_int_equal(get(table, 1, &value), TABLE_FOUND);
    unlink(path_of("gone"));
    usleep(15000);
    assert_int_equal(get(table, 1, &value), TABLE_RETRY);
    write_copy("gone", original.len);
    assert_int_equal(get(table, 1, &value), TABLE_FOUND);
    table_close(table);
}

static void a_full_disk_keeps_what_was_there(void **state)
{
    struct table *table = open_table("full", TABLE_WRITE, TABLE_REPLACE_DUP);
    struct rlimit old, low;
    char value[3000];
    struct err err;

    (void)state;
    memset(value, 'f', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_true(put(table, 1, "kept"));
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){256 * 1024, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &low);
    enum table_status status = TABLE_FOUND;
    int i;
    for (i = 2; i < 300 && status == TABLE_FOUND; i++)
        status = table_update(table, span_str(arena_printf(arena, "key-%d", i)),
                              span_str(value), &err);
    assert_int_equal(status, TABLE_RETRY);
    assert_true(i > 20 && i < 200);
    must_hold(table, 1, "kept");
    must_hold(table, i - 2, value);
    struct table *new = table_open(&small_env, name_of("sound"), TABLE_CREATE, 0, &err);
    for (int k = 0; new &&k < 300 && status != TABLE_BROKEN; k++)
        table_update(new, span_str(arena_printf(arena, "key-%d", k)), span_str(value),
                     &err);
    assert_false(table_commit(new, &err));
    table_close(new);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_true(put(table, 1, "goes on"));
    must_hold(table, 1, "goes on");
    table_close(table);
    must_survive("sound", "full disk", 0);
}

static void nothing_of_the_heap_reaches_the_disk(void **state)
{
    static const char secret[] = "SeCrEt-PaTtErN";
    struct strbuf text = STRBUF_INIT;
    void *blocks[4000];
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        blocks[i] = malloc(4096);
        for (size_t k = 0; k + sizeof secret < 4096; k += sizeof secret)
            memcpy((char *)blocks[i] + k, secret, sizeof secret);
    }
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
        free(blocks[i]);
    build("clean", COUNT);
    struct table *table = open_table("clean", TABLE_WRITE, TABLE_REPLACE_DUP);
    for (int i = 0; i < 200; i++)
        assert_true(put(table, i * 7, "short"));
    table_close(table);
    assert_true(file_read_all(path_of("clean"), 1 << 28, &text, &err));
    assert_null(memmem(text.ptr, text.len, "SeCrEt", 6));
    assert_non_null(memmem(text.ptr, text.len, "value-of-", 9));
    strbuf_free(&text);
}

/* -- several processes -- */

static pid_t child_writes(const char *file, enum table_mode mode, bool transaction)
{
    pid_t pid = fork();
    struct err err;

    if (pid != 0)
        return pid;
    struct table *table = open_table(file, mode, TABLE_REPLACE_DUP);
    char value[6000];
    for (int i = 0;; i++) {
        if (transaction && i % 500 == 0 && !table_lock(table, &err))
            _exit(1);
        if (!put(table, i % 20000, value_for(value, i % 20000)))
            _exit(1);
        if (transaction && i % 500 == 499 && !table_unlock(table, &err))
            _exit(1);
    }
}

static void kill_in_the_middle(enum table_mode mode, bool transaction)
{
    for (int i = 0; i < 12; i++) {
        enum table_status end;
        pid_t pid = child_writes("killed", mode, transaction);
        usleep(3000 + (useconds_t)(i * 7919 % 60000));
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status)); /* it was still writing */
        struct table *table = open_table("killed", TABLE_READ, 0);
        int count = count_all(table, &end);
        assert_int_equal(end, TABLE_NOT_FOUND);
        assert_true(count >= 100);
        if (mode == TABLE_CREATE)
            assert_int_equal(count, 100);
        table_close(table);
        arena_reset(arena);
    }
}

static void kill_leaves_a_sound_file(void **state)
{
    struct err err;

    (void)state;
    build("killed", 100);
    kill_in_the_middle(TABLE_CREATE, false);
    kill_in_the_middle(TABLE_WRITE, false);
    kill_in_the_middle(TABLE_WRITE, true);
    assert_int_equal(access(arena_printf(arena, "%s.tmp", path_of("killed")), F_OK), 0);
    build("killed", 100); /* takes the leftover away */
    assert_int_equal(access(arena_printf(arena, "%s.tmp", path_of("killed")), F_OK),
                     -1);
    struct table *table = open_table("killed", TABLE_WRITE, TABLE_REPLACE_DUP);
    assert_true(table_lock(table, &err) && table_unlock(table, &err));
    table_close(table);
}

/* Each writer keeps two keys equal by transactions; a reader that sees one of a pair
 * newer than the next commit allows, or nonsense, has read a torn table. */
static void run_writer(int id, int64_t end)
{
    struct table *table = open_table("busy", TABLE_WRITE, TABLE_REPLACE_DUP);
    struct err err;
    char text[40];

    for (int n = 1; loop_now_exact() < end; n++) {
        snprintf(text, sizeof text, "%d", n);
        if (!table_lock(table, &err) || !put(table, id, text) ||
            !put(table, id + 1000, text) || !table_unlock(table, &err))
            _exit(2);
        arena_reset(arena);
    }
    _exit(0);
}

static void run_reader(int64_t end)
{
    struct table *table = open_table("busy", TABLE_READ, 0);
    int last[8] = {0};

    for (int n = 0; loop_now_exact() < end; n++) {
        const char *a, *b;
        int id = n % 8;
        if (get(table, id + 1000, &a) != TABLE_FOUND ||
            get(table, id, &b) != TABLE_FOUND)
            _exit(3);
        /* b is read later, so it is never older than a; nothing goes back. */
        if (atoi(b) < atoi(a) || atoi(a) < last[id])
            _exit(4);
        last[id] = atoi(b);
        arena_reset(arena);
    }
    _exit(0);
}

static void many_writers_and_readers_agree(void **state)
{
    const char *seconds = getenv("LMDB_TEST_SECONDS");
    int64_t end = loop_now_exact() + 1000 * (seconds ? atoi(seconds) : 2);
    pid_t pids[16];
    int status;

    (void)state;
    struct table *table = open_table("busy", TABLE_WRITE, TABLE_REPLACE_DUP);
    for (int i = 0; i < 8; i++)
        assert_true(put(table, i, "0") && put(table, i + 1000, "0"));
    table_close(table);
    for (int i = 0; i < 16; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            if (i < 8)
                run_writer(i, end);
            run_reader(end);
        }
    }
    for (int i = 0; i < 16; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (status != 0)
            fail_msg("process %d: status %x", i, (unsigned)status);
    }
}

static void a_lock_is_not_lost_with_another_descriptor(void **state)
{
    struct table *writer = open_table("locked", TABLE_WRITE, TABLE_REPLACE_DUP);
    struct err err;
    int status;

    (void)state;
    if (!LMDB_LOCK_IS_OF_FILE)
        skip();
    assert_true(put(writer, 1, "x"));
    assert_true(table_lock(writer, &err));
    table_close(open_table("locked", TABLE_READ, 0)); /* would drop POSIX locks */
    pid_t pid = fork();
    if (pid == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(path_of("locked"), O_RDWR);
        _exit(fcntl(fd, F_SETLK, &lock) == 0); /* as other programs do */
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    struct table *reader = open_table("locked", TABLE_READ, 0);
    must_hold(reader, 1, "x"); /* and blocks no reader */
    table_close(reader);
    assert_true(table_unlock(writer, &err));
    table_close(writer);
}

/* -- batches -- */

static void batches_are_visible_and_saved(void **state)
{
    struct table *table =
        open_table("batch", TABLE_WRITE, TABLE_REPLACE_DUP | TABLE_BATCH);
    struct table *reader = open_table("batch", TABLE_READ, 0);
    const char *value;
    struct err err;

    (void)state;
    assert_true(put(table, 1, "one") && put(table, 2, "two"));
    must_hold(table, 1, "one");
    assert_int_equal(get(reader, 1, &value), TABLE_NOT_FOUND);
    assert_true(table_flush(table, &err));
    must_hold(reader, 1, "one");
    assert_int_equal(table_delete(table, SPAN_LIT("key-1"), &err), TABLE_FOUND);
    assert_int_equal(table_delete(table, SPAN_LIT("key-1"), &err), TABLE_NOT_FOUND);
    assert_int_equal(get(table, 1, &value), TABLE_NOT_FOUND);
    must_hold(reader, 1, "one");
    table_close(table);
    assert_int_equal(get(reader, 1, &value), TABLE_NOT_FOUND);
    must_hold(reader, 2, "two");
    table_close(reader);
}

static int saved_by_the_timer(void *arg)
{
    struct table *table =
        open_table("timed", TABLE_WRITE, TABLE_REPLACE_DUP | TABLE_BATCH);
    struct table *reader = open_table("timed", TABLE_READ, 0);
    const char *value;
    struct err err;

    (void)arg;
    for (int i = 0; i < 1000; i++)
        assert_true(put(table, i, "timed"));
    for (int i = 0; i < 100 && get(reader, 999, &value) != TABLE_FOUND; i++) {
        must_hold(table, 500, "timed");
        fiber_sleep(20);
    }
    must_hold(reader, 999, "timed");
    assert_true(put(table, 5, "later"));
    assert_true(table_lock(table, &err)); /* saves the batch first */
    must_hold(reader, 5, "later");
    assert_true(put(table, 6, "in it"));
    assert_true(table_unlock(table, &err));
    must_hold(reader, 6, "in it");
    table_close(reader);
    table_close(table);
    return 0;
}

static void batches_are_saved_by_a_timer(void **state)
{
    (void)state;
    loop_init();
    assert_int_equal(fiber_main(saved_by_the_timer, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    if (!mkdtemp(dir))
        return -1;
    load_original();
    return 0;
}

static int teardown(void **state)
{
    char command[100];

    (void)state;
    strbuf_free(&original);
    arena_free(arena);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_grows_change_by_change),
        cmocka_unit_test(map_grows_inside_a_transaction),
        cmocka_unit_test(truncation_is_survived),
        cmocka_unit_test(truncation_under_readers_is_survived),
        cmocka_unit_test(bit_flips_are_survived),
        cmocka_unit_test(a_large_value_given_up_at_once_is_no_damage),
        cmocka_unit_test(a_vanished_file_means_retry),
        cmocka_unit_test(a_full_disk_keeps_what_was_there),
        cmocka_unit_test(nothing_of_the_heap_reaches_the_disk),
        cmocka_unit_test(kill_leaves_a_sound_file),
        cmocka_unit_test(many_writers_and_readers_agree),
        cmocka_unit_test(a_lock_is_not_lost_with_another_descriptor),
        cmocka_unit_test(batches_are_visible_and_saved),
        cmocka_unit_test(batches_are_saved_by_a_timer),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
