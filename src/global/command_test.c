#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "global/command.h"

static void test_environment(void **state)
{
    const struct config cfg = {
        .dir = "/etc/mail",
        .import_environment = "TZ, LANG=C {WORDS = two words} EMPTY MISSING",
    };

    (void)state;
    clearenv();
    setenv("TZ", "UTC", 1);
    setenv("LANG", "de_DE", 1);
    setenv("EMPTY", "", 1);
    setenv("LD_PRELOAD", "/tmp/evil.so", 1);
    setenv("MAIL_CONFIG", "/tmp", 1);
    command_clean_environment(&cfg);
    assert_string_equal(getenv("TZ"), "UTC");
    assert_string_equal(getenv("LANG"), "C");
    assert_string_equal(getenv("EMPTY"), "");
    assert_string_equal(getenv("WORDS"), "two words");
    assert_string_equal(getenv("MAIL_CONFIG"), "/etc/mail");
    assert_null(getenv("LD_PRELOAD"));
    assert_null(getenv("MISSING"));
}

/* In a child, whose descriptors are not missed. */
static int child_with_closed_descriptors(void)
{
    close(0);
    close(2);
    fcntl(1, F_DUPFD, 50);
    if (!command_clean_descriptors())
        return 1;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            return 2;
    for (int fd = 3; fd < 200; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 3;
    return 0;
}

static void test_descriptors(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        _exit(child_with_closed_descriptors());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_who_may(void **state)
{
    const struct passwd *pw = getpwuid(getuid());
    struct config cfg = {.arena = arena_new()};
    const char *user, *expected;
    struct err err;

    (void)state;
    user = arena_str(cfg.arena, pw ? pw->pw_name : "unknown");
    cfg.parent_domain_matches_subdomains = "";
    assert_true(command_user_allowed(&cfg, "x", "static:anyone", "do it", &err));
    assert_true(command_user_allowed(&cfg, "x", arena_printf(cfg.arena, "a, %s", user),
                                     "do it", &err));
    assert_false(command_user_allowed(&cfg, "x", "nobody-of-this-name", "do it", &err));
    expected = arena_printf(cfg.arena, "User %s(%ld) is not allowed to do it", user,
                            (long)getuid());
    assert_string_equal(err.text, expected);
    assert_false(command_user_allowed(&cfg, "x", "", "do it", &err));
    arena_free(cfg.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_who_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
