#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "global/queue.h"

static struct config cfg;
static struct queue queue;
static struct arena *arena;

static void test_ids(void **state)
{
    char id[QUEUE_ID_MAX];
    int64_t sec, usec;

    (void)state;
    queue_id_short(id, 809476, 0xBA7292F);
    assert_string_equal(id, "C5A04BA7292F");
    queue_id_short(id, 17, 0xA);
    assert_string_equal(id, "00011A");
    /* Seen at the peer: this time, inode 10953503. */
    queue_id_long(id, 1795416544, 111894, 10953503);
    assert_string_equal(id, "4jXxPD0nMpz1bYFY");
    assert_true(queue_id_time(SPAN_LIT("4jXxPD0nMpz1bYFY"), &sec, &usec));
    assert_int_equal(sec, 1795416544);
    assert_int_equal(usec, 111894);
    assert_false(queue_id_time(SPAN_LIT("C5A04BA7292F"), &sec, &usec));
    assert_true(queue_id_valid(SPAN_LIT("C5A04BA7292F")));
    assert_false(queue_id_valid(SPAN_LIT("")));
    assert_false(queue_id_valid(SPAN_LIT("../x")));
    assert_false(queue_id_valid(SPAN_LIT("12345.678")));
    assert_true(queue_id_is_long(SPAN_LIT("4jXxPD0nMpz1bYFY")));
    assert_false(queue_id_is_long(SPAN_LIT("012345678z1")));
}

static void test_paths(void **state)
{
    char path[QUEUE_PATH_MAX];

    (void)state;
    queue_path(&queue, QUEUE_INCOMING, "C5A04BA7292F", path);
    assert_string_equal(path, "incoming/C5A04BA7292F");
    queue_path(&queue, QUEUE_DEFERRED, "C5A04BA7292F", path);
    assert_string_equal(path, "deferred/C/5/C5A04BA7292F");
    queue_path(&queue, QUEUE_DEFERRED, "4jXxPD0nMpz1bYFY", path);
    assert_string_equal(path, "deferred/1/B/4jXxPD0nMpz1bYFY"); /* 1B516 */
    queue_path(&queue, QUEUE_DEFERRED, "A", path);
    assert_string_equal(path, "deferred/A/_/A");
}

struct found {
    size_t count;
    char id[QUEUE_ID_MAX];
};

static bool visit(void *arg, const char *id, const char *path)
{
    struct found *found = arg;

    found->count++;
    snprintf(found->id, sizeof found->id, "%s", id);
    assert_int_equal(access(path, F_OK), 0);
    return true;
}

static void test_life_of_a_file(void **state)
{
    char id[QUEUE_ID_MAX];
    struct found found = {0};
    struct timeval time;
    struct stat st;
    int fd;

    (void)state;
    fd = queue_create(&queue, QUEUE_INCOMING, id, &time);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, QUEUE_MODE_WRITING);
    char expect[QUEUE_ID_MAX];
    queue_id_short(expect, (int64_t)time.tv_usec, st.st_ino);
    assert_string_equal(id, expect);
    close(fd);
    assert_int_equal(queue_rename(&queue, QUEUE_INCOMING, QUEUE_DEFERRED, id), 0);
    assert_int_equal(queue_rename(&queue, QUEUE_INCOMING, QUEUE_ACTIVE, id), -1);
    assert_int_equal(errno, ENOENT);
    assert_true(queue_scan(&queue, QUEUE_DEFERRED, visit, &found));
    assert_int_equal(found.count, 1);
    assert_string_equal(found.id, id);
    fd = queue_open(&queue, QUEUE_DEFERRED, id, O_RDWR);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(queue_remove(&queue, QUEUE_DEFERRED, id), 0);
    assert_false(queue_scan(&queue, "nosuch", visit, &found));
}

static void test_unsafe_files(void **state)
{
    (void)state;
    assert_int_equal(symlink("/etc/passwd", "incoming/LINK"), 0);
    assert_int_equal(mkfifo("incoming/FIFO", 0600), 0);
    assert_int_equal(queue_open(&queue, QUEUE_INCOMING, "LINK", O_RDONLY), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(queue_open(&queue, QUEUE_INCOMING, "FIFO", O_RDONLY), -1);
    assert_int_equal(errno, EPERM);
    close(open("incoming/ONE", O_CREAT | O_RDWR, 0600));
    assert_int_equal(link("incoming/ONE", "incoming/TWO"), 0);
    assert_int_equal(queue_open(&queue, QUEUE_INCOMING, "ONE", O_RDONLY), -1);
}

static void test_long_id_create(void **state)
{
    char id[QUEUE_ID_MAX];
    struct timeval time;
    int64_t sec, usec;

    (void)state;
    cfg.enable_long_queue_ids = true;
    close(queue_create(&queue, QUEUE_DEFERRED, id, &time));
    cfg.enable_long_queue_ids = false;
    assert_true(queue_id_time(span_str(id), &sec, &usec));
    assert_int_equal(sec, time.tv_sec);
    assert_int_equal(usec, time.tv_usec);
    assert_int_equal(queue_remove(&queue, QUEUE_DEFERRED, id), 0);
}

static int setup(void **state)
{
    static char dir[] = "/tmp/queue_test.XXXXXX";

    (void)state;
    arena = arena_new();
    cfg.hash_queue_names = "deferred, defer";
    cfg.hash_queue_depth = 2;
    queue_init(&queue, &cfg, arena);
    return !mkdtemp(dir) || chdir(dir) < 0 || mkdir(QUEUE_INCOMING, 0700) < 0 ||
           mkdir(QUEUE_DEFERRED, 0700) < 0;
}

static int teardown(void **state)
{
    char command[80], cwd[60];

    (void)state;
    arena_free(arena);
    if (!getcwd(cwd, sizeof cwd))
        return -1;
    snprintf(command, sizeof command, "rm -rf %s", cwd);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_life_of_a_file),
        cmocka_unit_test(test_unsafe_files),
        cmocka_unit_test(test_long_id_create),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
