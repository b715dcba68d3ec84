#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/file.h"

static char path[] = "/tmp/lock_test.XXXXXX";
static char dot[sizeof path + 5];

static int set_up(void **state UNUSED)
{
    int fd;

    strcpy(path + strlen(path) - 6, "XXXXXX");
    fd = mkstemp(path);
    snprintf(dot, sizeof dot, "%s.lock", path);
    return fd >= 0 ? close(fd) : -1;
}

static int tear_down(void **state UNUSED)
{
    unlink(dot);
    return unlink(path);
}

static void style_names_are_parsed(void **state UNUSED)
{
    struct err err;
    unsigned styles = 0;

    assert_true(lock_styles_parse(SPAN_LIT("fcntl, dotlock"), &styles, &err));
    assert_int_equal(styles, LOCK_FCNTL | LOCK_DOTLOCK);
    assert_true(lock_styles_parse(SPAN_LIT(" flock\tfcntl"), &styles, &err));
    assert_int_equal(styles, LOCK_FLOCK | LOCK_FCNTL);
    assert_false(lock_styles_parse(SPAN_LIT("flock, lockf"), &styles, &err));
    assert_non_null(strstr(err.text, "lockf"));
}

/* Two descriptors of one process stand for two sessions of one service. */
static void check_style(enum lock_style style)
{
    int a = open(path, O_RDWR), b = open(path, O_RDWR);

    assert_int_equal(lock_try(a, style, LOCK_EXCLUSIVE), LOCK_OK);
    assert_int_equal(lock_try(b, style, LOCK_EXCLUSIVE), LOCK_BUSY);
    assert_int_equal(lock_try(b, style, LOCK_SHARED), LOCK_BUSY);
    assert_int_equal(lock_try(a, style, LOCK_UNLOCK), LOCK_OK);
    assert_int_equal(lock_try(a, style, LOCK_SHARED), LOCK_OK);
    assert_int_equal(lock_try(b, style, LOCK_SHARED), LOCK_OK);
    assert_int_equal(lock_try(a, style, LOCK_EXCLUSIVE), LOCK_BUSY);
    close(b);
    assert_int_equal(lock_try(a, style, LOCK_EXCLUSIVE), LOCK_OK);
    close(a);
    assert_int_equal(lock_try(a, style, LOCK_EXCLUSIVE), LOCK_FAILED);
}

static void kernel_locks_exclude_each_other(void **state UNUSED)
{
    check_style(LOCK_FLOCK);
    check_style(LOCK_FCNTL);
}

static void other_programs_fcntl_locks_are_seen(void **state UNUSED)
{
    int fd = open(path, O_RDWR), status;
    pid_t child;

    assert_int_equal(lock_try(fd, LOCK_FCNTL, LOCK_EXCLUSIVE), LOCK_OK);
    child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
        int other = open(path, O_RDWR);

        _exit(fcntl(other, F_SETLK, &lock) < 0 && errno == EAGAIN ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(fd);
}

static void dot_locks_exclude_until_released(void **state UNUSED)
{
    assert_int_equal(lock_dot_try(path, 100), LOCK_OK);
    assert_int_equal(access(dot, F_OK), 0);
    assert_int_equal(lock_dot_try(path, 100), LOCK_BUSY);
    lock_dot_release(path);
    assert_int_not_equal(access(dot, F_OK), 0);
    assert_int_equal(lock_dot_try(path, 100), LOCK_OK);
    assert_int_equal(lock_dot_try("/nonexistent/mailbox", 100), LOCK_FAILED);
    assert_int_equal(errno, ENOENT);
}

static void stale_dot_locks_are_broken(void **state UNUSED)
{
    struct stat before, after;

    assert_int_equal(lock_dot_try(path, 0), LOCK_OK);
    assert_int_equal(stat(dot, &before), 0);
    while (time(NULL) - before.st_ctime < 1)
        usleep(20000);
    assert_int_equal(lock_dot_try(path, 100), LOCK_BUSY);
    assert_int_equal(lock_dot_try(path, 0), LOCK_OK);
    assert_int_equal(stat(dot, &after), 0);
    assert_true(after.st_ctime > before.st_ctime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(style_names_are_parsed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kernel_locks_exclude_each_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(other_programs_fcntl_locks_are_seen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(dot_locks_exclude_until_released, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(stale_dot_locks_are_broken, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
