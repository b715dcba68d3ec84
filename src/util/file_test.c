#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/file.h"

static char dir[] = "/tmp/file_test.XXXXXX";

static int set_up(void **state UNUSED)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int tear_down(void **state UNUSED)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_content(const char *path, const char *want)
{
    struct strbuf sb = STRBUF_INIT;
    struct err err;

    assert_true(file_read_all(path, 100, &sb, &err));
    assert_string_equal(sb.ptr, want);
    strbuf_free(&sb);
}

static int open_safe(const char *path, int flags, struct err *err)
{
    return file_open_safe(path, flags, 0600, (uid_t)-1, (gid_t)-1, NULL, err);
}

static void assert_refused(const char *path, int flags, const char *why)
{
    struct err err;

    assert_int_equal(open_safe(path, flags, &err), -1);
    assert_non_null(strstr(err.text, why));
    assert_non_null(strstr(err.text, path));
}

static void plain_files_are_opened_and_created(void **state UNUSED)
{
    struct stat st;
    struct err err;
    int fd;

    fd = file_open_safe("new", O_RDWR | O_CREAT, 0640, getuid(), getgid(), &st, &err);
    assert_true(fd >= 0);
    assert_int_equal(st.st_mode, S_IFREG | (0640 & ~022));
    assert_true(file_write_full(fd, "hello", 5));
    close(fd);
    fd = open_safe("new", O_WRONLY | O_CREAT | O_APPEND, &err);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(file_write_full(fd, "!", 1));
    close(fd);
    assert_content("new", "hello!");
    fd = open_safe("new", O_WRONLY | O_TRUNC, &err);
    assert_true(fd >= 0);
    close(fd);
    assert_content("new", "");
    assert_int_equal(open_safe("missing", O_RDONLY, &err), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(open_safe("new", O_RDWR | O_CREAT | O_EXCL, &err), -1);
    assert_int_equal(errno, EEXIST);
}

static void planted_files_are_refused(void **state UNUSED)
{
    put("victim", "secret");
    assert_int_equal(link("victim", "hard"), 0);
    assert_refused("hard", O_RDWR | O_TRUNC, "hard link");
    assert_content("victim", "secret");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_refused("fifo", O_RDONLY, "not a regular file");
    assert_refused(".", O_RDONLY, "not a regular file");
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_refused("dangling", O_RDWR | O_CREAT, "dangling");
    assert_int_not_equal(access("nowhere", F_OK), 0);
}

static void links_are_followed_only_where_root_alone_writes(void **state UNUSED)
{
    struct err err;
    int fd;

    put("target", "x");
    assert_int_equal(symlink("target", "link"), 0);
    chmod(".", 0777);
    assert_refused("link", O_RDONLY, "symbolic link");
    chmod(".", 0755);
    if (getuid() != 0) {
        assert_refused("link", O_RDONLY, "symbolic link");
        return;
    }
    fd = open_safe("link", O_RDONLY, &err);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(lchown("link", 65534, 65534), 0);
    assert_refused("link", O_RDONLY, "symbolic link");
}

static void reading_is_bounded(void **state UNUSED)
{
    struct strbuf sb = STRBUF_INIT;
    struct err err;

    put("f", "0123456789");
    strbuf_add_str(&sb, "kept");
    assert_true(file_read_all("f", 10, &sb, &err));
    assert_string_equal(sb.ptr, "kept0123456789");
    strbuf_truncate(&sb, 4);
    assert_false(file_read_all("f", 9, &sb, &err));
    assert_non_null(strstr(err.text, "more than 9 bytes"));
    assert_string_equal(sb.ptr, "kept");
    assert_false(file_read_all("none", 9, &sb, &err));
    assert_non_null(strstr(err.text, "open none: "));
    strbuf_free(&sb);
}

static void replacing_keeps_mode_and_links(void **state UNUSED)
{
    struct stat st;
    struct err err;

    assert_true(file_replace("f", SPAN_LIT("one"), 0644, &err));
    assert_int_equal(stat("f", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    chmod("f", 0600);
    assert_int_equal(symlink("f", "link"), 0);
    assert_true(file_replace("link", SPAN_LIT("two"), 0644, &err));
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat("f", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_content("f", "two");
    assert_false(file_replace("no/such/f", SPAN_LIT("x"), 0644, &err));
    assert_int_equal(system("test $(ls -A | wc -l) = 2"), 0);
}

static void write_full_reports_failure(void **state UNUSED)
{
    int fd = open("/dev/full", O_WRONLY);

    assert_true(fd >= 0);
    assert_false(file_write_full(fd, "x", 1));
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void unknown_file_systems_need_a_directory_sync(void **state UNUSED)
{
    int fd = open("/proc/self/stat", O_RDONLY);

    assert_true(file_needs_dir_sync(fd));
    assert_true(file_needs_dir_sync(-1));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_files_are_opened_and_created, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(planted_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_followed_only_where_root_alone_writes,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replacing_keeps_mode_and_links, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(write_full_reports_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_file_systems_need_a_directory_sync,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
