#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "master/service_lock.h"
#include "master/service_log.h"

static bool allowed(const char *file, const char *prefixes)
{
    struct config cfg = {0};

    cfg.maillog_file = file;
    cfg.maillog_file_prefixes = prefixes;
    return service_log_file_allowed(&cfg);
}

static void log_files_lie_below_a_prefix(void **state UNUSED)
{
    assert_true(allowed("/var/log/maillog", "/var, /dev/stdout"));
    assert_true(allowed("/dev/stdout", "/var, /dev/stdout"));
    assert_true(allowed("/anywhere", "/"));
    assert_true(allowed("/var/log/mail", "/var/log/"));
    assert_false(allowed("/variety/log", "/var, /dev/stdout"));
    assert_false(allowed("/etc/passwd", "/var, /dev/stdout"));
    assert_false(allowed("relative", "/var"));
    assert_false(allowed("/var/log/x", ""));
    assert_false(allowed("/var/../etc/passwd", "/var"));
}

/* -- arguments -- */

static bool parse(char **argv, struct service_args *args, struct arena *arena,
                  struct err *err)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    optind = 1;
    return service_args_parse(argc, argv, arena, args, err);
}

static void the_command_line_of_master_is_understood(void **state UNUSED)
{
    char *argv[] = {"pipe", "-n", "uucp",    "-t", "unix", "-q", "50",
                    "-s",   "2",  "-u",      "-c", "-i",   "-o", "a = b=c",
                    "-o",   "x=", "flags=F", "-v", NULL};
    struct arena *arena = arena_new();
    struct service_args args;
    struct err err;

    assert_true(parse(argv, &args, arena, &err));
    assert_string_equal(args.name, "uucp");
    assert_string_equal(args.type, "unix");
    assert_int_equal(args.quota, 50);
    assert_int_equal(args.listener_count, 2);
    assert_true(args.drop_privilege && args.chroot && args.is_public && !args.debug);
    assert_int_equal(args.override_count, 2);
    assert_string_equal(args.overrides[0].name, "a");
    assert_string_equal(args.overrides[0].value, "b=c");
    assert_string_equal(args.overrides[1].value, "");
    assert_string_equal(args.rest[0], "flags=F");
    assert_string_equal(args.rest[1], "-v");
    assert_null(args.rest[2]);
    arena_free(arena);
}

static void expect_refused(char **argv, const char *reason)
{
    struct arena *arena = arena_new();
    struct service_args args;
    struct err err;

    assert_false(parse(argv, &args, arena, &err));
    assert_non_null(strstr(err.text, reason));
    arena_free(arena);
}

static void bad_command_lines_are_refused(void **state UNUSED)
{
    char *by_hand[] = {"smtpd", NULL};
    char *bad_count[] = {"smtpd", "-n", "x", "-t", "unix", "-s", "1x", NULL};
    char *too_many[] = {"smtpd", "-n", "x", "-t", "unix", "-s", "100000", NULL};
    char *no_value[] = {"smtpd", "-n", "x",  "-t",   "unix",
                        "-s",    "1",  "-o", "name", NULL};
    char *no_name[] = {"smtpd", "-n", "x", "-t", "unix", "-s", "1", "-o", "=v", NULL};
    char *unknown[] = {"smtpd", "-Z", NULL};

    expect_refused(by_hand, "started by the master daemon");
    expect_refused(bad_count, "-s: \"1x\"");
    expect_refused(too_many, "-s: \"100000\"");
    expect_refused(no_value, "-o: \"name\"");
    expect_refused(no_name, "-o: \"=v\"");
    expect_refused(unknown, "-Z");
}

/* -- locks -- */

static void a_lock_file_names_its_holder(void **state UNUSED)
{
    char path[] = "/tmp/service_lock_test_XXXXXX", text[64];
    int made = mkstemp(path), fd, second;
    struct err err;
    FILE *file;

    close(made);
    assert_int_equal(service_lock_holder(path), 0);
    assert_int_equal(service_lock_take(path, &fd, &err), LOCK_OK);
    assert_true(service_lock_write_pid(fd, 4711));
    assert_int_equal(service_lock_take(path, &second, &err), LOCK_BUSY);
    assert_int_equal(service_lock_holder(path), 4711);
    file = fopen(path, "r");
    assert_int_equal(fread(text, 1, sizeof text, file), 33);
    assert_memory_equal(text, "                            4711\n", 33);
    fclose(file);
    close(fd);
    assert_int_equal(service_lock_holder(path), 0);
    unlink(path);
    assert_int_equal(service_lock_holder(path), 0);
}

static void a_lock_does_not_follow_links(void **state UNUSED)
{
    char dir[] = "/tmp/service_lock_test_XXXXXX", target[64], link_path[64];
    struct err err;
    int fd;

    assert_non_null(mkdtemp(dir));
    snprintf(target, sizeof target, "%s/target", dir);
    snprintf(link_path, sizeof link_path, "%s/link", dir);
    assert_int_equal(symlink(target, link_path), 0);
    assert_int_equal(service_lock_take(link_path, &fd, &err), LOCK_FAILED);
    assert_int_not_equal(access(target, F_OK), 0);
    unlink(link_path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_files_lie_below_a_prefix),
        cmocka_unit_test(the_command_line_of_master_is_understood),
        cmocka_unit_test(bad_command_lines_are_refused),
        cmocka_unit_test(a_lock_file_names_its_holder),
        cmocka_unit_test(a_lock_does_not_follow_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
