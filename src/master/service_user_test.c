#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/service_user.h"
#include "util/fiber.h"

#define NOBODY 65534

/* What a test leaves for its assertions, made in a fiber. */
struct outcome {
    enum user_outcome outcome;
    int status;
    struct strbuf text;
    int64_t took_ms;
};

static const char *const test_env[] = {"PATH=/usr/bin:/bin", "GREETING=hello", NULL};

/* Root works as nobody; anybody else can only be himself. */
static struct user_ids test_ids(void)
{
    struct user_ids ids = {.uid = geteuid() == 0 ? NOBODY : geteuid(),
                           .gid = geteuid() == 0 ? NOBODY : getegid()};

    return ids;
}

static struct user_command shell(const char *text)
{
    return (struct user_command){.shell_command = text,
                                 .env = test_env,
                                 .stdin_fd = -1,
                                 .stdout_fd = -1,
                                 .time_limit_s = 10,
                                 .max_output = 1000};
}

static void expect(struct outcome *o, enum user_outcome outcome, int status,
                   const char *text)
{
    assert_int_equal(o->outcome, outcome);
    assert_int_equal(o->status, status);
    if (text)
        assert_string_equal(o->text.ptr, text);
    strbuf_free(&o->text);
}

/* -- functions -- */

static int tell_uid(void *arg, struct strbuf *result)
{
    strbuf_addf(result, "%ld %ld %d %s", (long)getuid(), (long)geteuid(),
                getuid() == 0 || seteuid(0) < 0, (const char *)arg);
    return 42;
}

static int run_tell_uid(void *arg)
{
    struct outcome *o = arg;
    struct user_ids ids = test_ids();

    o->outcome = user_run(&ids, tell_uid, "and more", 10, 1000, &o->text, &o->status);
    return 0;
}

static void a_function_runs_as_the_user_for_good(void **state UNUSED)
{
    struct outcome o = {.text = STRBUF_INIT};
    char expected[64];

    fiber_main(run_tell_uid, &o);
    snprintf(expected, sizeof expected, "%ld %ld 1 and more", (long)test_ids().uid,
             (long)test_ids().uid);
    expect(&o, USER_EXITED, 42, expected);
}

static int die(void *arg UNUSED, struct strbuf *result UNUSED)
{
    raise(SIGUSR2);
    return 0;
}

static int sleep_long(void *arg UNUSED, struct strbuf *result UNUSED)
{
    sleep(30);
    return 0;
}

static int run_die(void *arg)
{
    struct outcome *o = arg;
    struct user_ids ids = test_ids();

    o->outcome = user_run(&ids, die, NULL, 10, 1000, &o->text, &o->status);
    return 0;
}

static int run_sleep(void *arg)
{
    struct outcome *o = arg;
    struct user_ids ids = test_ids();
    int64_t start = loop_now_exact();

    o->outcome = user_run(&ids, sleep_long, NULL, 1, 1000, &o->text, &o->status);
    o->took_ms = loop_now_exact() - start;
    return 0;
}

static void a_signal_is_reported(void **state UNUSED)
{
    struct outcome o = {.text = STRBUF_INIT};

    fiber_main(run_die, &o);
    expect(&o, USER_SIGNALLED, SIGUSR2, "");
}

static void the_time_limit_kills(void **state UNUSED)
{
    struct outcome o = {.text = STRBUF_INIT};

    fiber_main(run_sleep, &o);
    assert_in_range(o.took_ms, 900, 5000);
    expect(&o, USER_TIMEOUT, 0, "");
}

/* -- commands -- */

struct command_test {
    struct outcome o;
    struct user_command command;
    struct span input;
    size_t repeat;
    bool feed;
};

static struct span more_input(void *arg)
{
    struct command_test *test = arg;

    if (test->repeat == 0)
        return SPAN_EMPTY;
    test->repeat--;
    return test->input;
}

static int run_command(void *arg)
{
    struct command_test *test = arg;
    struct user_ids ids = test_ids();
    int64_t start = loop_now_exact();

    strbuf_init(&test->o.text);
    if (test->feed)
        test->o.outcome = user_command_feed(&ids, &test->command, more_input, test,
                                            &test->o.text, &test->o.status);
    else
        test->o.outcome =
            user_command_run(&ids, &test->command, &test->o.text, &test->o.status);
    test->o.took_ms = loop_now_exact() - start;
    return 0;
}

static void expect_command(const char *text, enum user_outcome outcome, int status,
                           const char *output)
{
    struct command_test test = {.command = shell(text)};

    fiber_main(run_command, &test);
    expect(&test.o, outcome, status, output);
}

static void commands_run_with_and_without_a_shell(void **state UNUSED)
{
    expect_command("echo $GREETING; exit 3", USER_EXITED, 3, "hello\n");
    expect_command("/bin/echo plain words", USER_EXITED, 0, "plain words\n");
    expect_command("exit 75", USER_EXITED, 75, "");
    expect_command("echo to-stderr >&2", USER_EXITED, 0, "to-stderr\n");
    expect_command("kill -TERM $$", USER_SIGNALLED, SIGTERM, "");
}

static void a_missing_program_is_status_127(void **state UNUSED)
{
    expect_command("/nonexistent/program x", USER_EXITED, 127,
                   "cannot execute /nonexistent/program: No such file or directory\n");
    expect_command("/etc/passwd x", USER_EXITED, 126,
                   "cannot execute /etc/passwd: Permission denied\n");
}

static void output_is_bounded_but_read_to_its_end(void **state UNUSED)
{
    struct command_test test = {.command = shell("yes | head -c 1000000; echo end")};

    test.command.max_output = 10;
    fiber_main(run_command, &test);
    assert_int_equal(test.o.text.len, 10);
    expect(&test.o, USER_EXITED, 0, "y\ny\ny\ny\ny\n");
}

static void a_command_left_in_the_background_is_not_waited_for(void **state UNUSED)
{
    struct command_test test = {.command = shell("sleep 5 & echo started")};

    fiber_main(run_command, &test);
    assert_true(test.o.took_ms < 3000);
    expect(&test.o, USER_EXITED, 0, "started\n");
}

static void a_command_over_its_time_is_killed(void **state UNUSED)
{
    struct command_test test = {.command = shell("echo begun; sleep 30")};

    test.command.time_limit_s = 1;
    fiber_main(run_command, &test);
    assert_in_range(test.o.took_ms, 900, 5000);
    expect(&test.o, USER_TIMEOUT, 0, "begun\n");
}

static void input_is_fed_in_pieces(void **state UNUSED)
{
    struct command_test test = {
        .command = shell("wc -c"), .feed = true, .repeat = 20000};

    test.input = SPAN_LIT("0123456789");
    fiber_main(run_command, &test);
    expect(&test.o, USER_EXITED, 0, "200000\n");
}

static void a_command_may_leave_its_input_unread(void **state UNUSED)
{
    struct command_test test = {
        .command = shell("exec true"), .feed = true, .repeat = 100000};

    test.input = SPAN_LIT("0123456789");
    fiber_main(run_command, &test);
    expect(&test.o, USER_EXITED, 0, "");
}

static void the_working_directory_is_set(void **state UNUSED)
{
    struct command_test test = {.command = shell("pwd")};

    test.command.cwd = "/usr";
    fiber_main(run_command, &test);
    expect(&test.o, USER_EXITED, 0, "/usr\n");
    test.command.cwd = "/nonexistent";
    fiber_main(run_command, &test);
    assert_int_equal(test.o.status, 127);
    strbuf_free(&test.o.text);
}

static void groups_and_descriptors_are_the_users_own(void **state UNUSED)
{
    struct command_test test = {.command = shell("ls /proc/self/fd | wc -l; id -G")};
    char expected[64];

    if (geteuid() != 0)
        skip();
    fiber_main(run_command, &test);
    /* 0, 1, 2 and the directory itself */
    snprintf(expected, sizeof expected, "4\n%d\n", NOBODY);
    expect(&test.o, USER_EXITED, 0, expected);
}

/* -- ids in this process -- */

static void note_ids(void *arg)
{
    struct user_ids *seen = arg;

    seen->uid = geteuid();
    seen->gid = getegid();
    seen->group_count = (size_t)getgroups(0, NULL);
}

static void user_do_takes_and_gives_back_rights(void **state UNUSED)
{
    struct user_ids ids = test_ids(), seen = {0};
    uid_t before = geteuid();

    assert_true(user_do(&ids, note_ids, &seen));
    assert_int_equal(seen.uid, ids.uid);
    assert_int_equal(seen.gid, ids.gid);
    assert_int_equal(geteuid(), before);
}

static int run_lookup(void *arg UNUSED)
{
    struct user_ids ids;
    struct err err;
    bool retry;

    assert_true(user_ids_lookup("root", &ids, &retry, &err));
    assert_int_equal(ids.uid, 0);
    assert_true(ids.group_count >= 1);
    user_ids_free(&ids);
    assert_false(user_ids_lookup("no-such-user-here", &ids, &retry, &err));
    assert_false(retry);
    assert_string_equal(err.text, "unknown user \"no-such-user-here\"");
    return 0;
}

static void users_are_looked_up(void **state UNUSED)
{
    fiber_main(run_lookup, NULL);
}

static int run_as_other(void *arg)
{
    struct outcome *o = arg;
    struct user_ids ids = {.uid = geteuid() + 1, .gid = getegid()};

    o->outcome = user_run(&ids, tell_uid, "", 10, 100, &o->text, &o->status);
    return 0;
}

static void without_root_nobody_else_can_be_taken_on(void **state UNUSED)
{
    struct outcome o = {.text = STRBUF_INIT};

    if (user_switch_possible())
        skip();
    fiber_main(run_as_other, &o);
    expect(&o, USER_FAILED, 0, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_runs_as_the_user_for_good),
        cmocka_unit_test(a_signal_is_reported),
        cmocka_unit_test(the_time_limit_kills),
        cmocka_unit_test(commands_run_with_and_without_a_shell),
        cmocka_unit_test(a_missing_program_is_status_127),
        cmocka_unit_test(output_is_bounded_but_read_to_its_end),
        cmocka_unit_test(a_command_left_in_the_background_is_not_waited_for),
        cmocka_unit_test(a_command_over_its_time_is_killed),
        cmocka_unit_test(input_is_fed_in_pieces),
        cmocka_unit_test(a_command_may_leave_its_input_unread),
        cmocka_unit_test(the_working_directory_is_set),
        cmocka_unit_test(groups_and_descriptors_are_the_users_own),
        cmocka_unit_test(user_do_takes_and_gives_back_rights),
        cmocka_unit_test(users_are_looked_up),
        cmocka_unit_test(without_root_nobody_else_can_be_taken_on),
    };

    loop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
