#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/file.h"
#include "util/msg.h"

/* Each test logs in a child process, whose standard error goes to the file "err"
 * of a directory of its own, and looks at what has arrived. */
static char dir[] = "/tmp/msg_test.XXXXXX";

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

static int run(void (*fn)(void))
{
    int status, fd;
    pid_t child = fork();

    if (child == 0) {
        fd = open("err", O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, STDERR_FILENO);
        fn();
        fflush(NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static char *content(const char *path)
{
    static char text[100000];
    struct strbuf sb = STRBUF_INIT;
    struct err err;

    assert_true(file_read_all(path, sizeof text - 1, &sb, &err));
    memcpy(text, sb.ptr, sb.len + 1);
    strbuf_free(&sb);
    return text;
}

/* The line without its stamp, and the pid replaced by PID. */
static void assert_log_line(const char *line, const char *want)
{
    char got[4096], *open, *close;

    assert_true(strlen(line) > 16);
    assert_true(line[3] == ' ' && line[6] == ' ' && line[9] == ':' && line[15] == ' ');
    snprintf(got, sizeof got, "%s", line + 16);
    open = strchr(got, '[');
    assert_non_null(open);
    close = strchr(open, ']');
    assert_non_null(close);
    assert_true(strspn(open + 1, "0123456789") == (size_t)(close - open - 1));
    memmove(open + 4, close, strlen(close) + 1);
    memcpy(open + 1, "PID", 3);
    assert_string_equal(got, want);
}

static void log_all_levels(void)
{
    msg_init("postfix/smtpd");
    msg_info("connect from %s", "x");
    msg_warn("w");
    msg_error("e");
    msg_debug("not shown");
    msg_verbose = 1;
    msg_debug("shown");
    msg_fatal("f");
}

static void stderr_lines_carry_the_program_name(void **state UNUSED)
{
    int status = run(log_all_levels);

    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_string_equal(content("err"),
                        "smtpd: connect from x\nsmtpd: warning: w\n"
                        "smtpd: error: e\nsmtpd: shown\nsmtpd: fatal: f\n");
}

static void log_to_file(void)
{
    msg_init("postfix/smtpd");
    msg_set_host("mx.example.com");
    msg_set_sink(MSG_SINK_FILE, "log");
    msg_warn("a\tb\r\nc\x01 caf\xC3\xA9 \xFF");
    msg_also_stderr(true);
    msg_line(MSG_ERROR, SPAN_LIT("both"));
}

static void file_lines_have_host_and_no_control_characters(void **state UNUSED)
{
    char *line, *end;

    assert_int_equal(run(log_to_file), 0);
    line = content("log");
    end = strchr(line, '\n');
    *end = '\0';
    assert_log_line(line, "mx postfix/smtpd[PID]: warning: a?b??c? caf\xC3\xA9 ?");
    line = end + 1;
    line[strlen(line) - 1] = '\0';
    assert_log_line(line, "mx postfix/smtpd[PID]: error: both");
    assert_string_equal(content("err"), "smtpd: error: both\n");
}

static void log_long(void)
{
    char text[4001];

    memset(text, 'x', sizeof text - 1);
    text[4000] = '\0';
    msg_init("t");
    msg_info("%s", text);
    msg_line(MSG_INFO, span_str(text));
    /* A character that straddles the limit goes as a whole. */
    memcpy(text + 1998, "\xE2\x82\xAC", 3);
    msg_line(MSG_INFO, span_str(text));
}

static void long_texts_are_cut(void **state UNUSED)
{
    const char *line;

    assert_int_equal(run(log_long), 0);
    line = content("err");
    assert_int_equal(strcspn(line, "\n"), 3 + 2000);
    line += 3 + 2000 + 1;
    assert_int_equal(strcspn(line, "\n"), 3 + 2000);
    line += 3 + 2000 + 1;
    assert_int_equal(strcspn(line, "\n"), 3 + 1998);
}

static void hook(void)
{
    msg_error("in the hook");
    msg_fatal("again");
}

static void die_with_hook(void)
{
    msg_init("t");
    msg_set_fatal_status(75);
    msg_on_exit(hook);
    msg_set_sink(MSG_SINK_FILE, "log");
    msg_set_batching(true);
    msg_fatal("first");
}

static void fatal_flushes_and_calls_the_hook_once(void **state UNUSED)
{
    int status = run(die_with_hook);
    const char *text;

    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 75);
    text = strstr(content("log"), ": fatal: first\n");
    assert_non_null(text);
    text = strstr(text, ": error: in the hook\n");
    assert_non_null(text);
    text = strstr(text, ": fatal: again\n");
    assert_non_null(text);
    assert_null(strstr(text + 1, "hook"));
}

static void do_panic(void)
{
    signal(SIGABRT, SIG_DFL);
    msg_init("t");
    panic("impossible: %d", 7);
}

static void panic_aborts(void **state UNUSED)
{
    int status = run(do_panic);

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_string_equal(content("err"), "t: panic: impossible: 7\n");
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    strcpy(addr.sun_path, path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static size_t count_lines(const char *text, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += text[i] == '\n';
    return count;
}

static void log_batches(void)
{
    msg_init("postfix/qmgr");
    msg_set_sink(MSG_SINK_POSTLOG, "postlog");
    msg_set_batching(true);
    for (int i = 0; i < 1000; i++)
        msg_info("line %d of a batch", i);
    if (fork() == 0) {
        msg_info("from the child");
        msg_flush();
        _exit(0);
    }
    wait(NULL);
    msg_set_batching(false);
}

static void postlog_gets_batches_of_whole_lines(void **state UNUSED)
{
    int fd = listen_at("postlog");
    size_t lines = 0, datagrams = 0, children = 0;
    char text[32768];
    ssize_t len;

    assert_int_equal(run(log_batches), 0);
    while ((len = recv(fd, text, sizeof text - 1, 0)) > 0) {
        assert_true(len <= 30 * 1024);
        assert_int_equal(text[len - 1], '\n');
        text[len] = '\0';
        lines += count_lines(text, (size_t)len);
        children += strstr(text, "from the child") != NULL;
        datagrams++;
    }
    assert_int_equal(lines, 1001);
    assert_int_equal(children, 1);
    assert_true(datagrams <= 10);
    assert_string_equal(content("err"), "");
    close(fd);
}

static void log_across_restart(void)
{
    int fd = listen_at("postlog");
    char text[200];

    msg_init("t");
    msg_set_sink(MSG_SINK_POSTLOG, "postlog");
    msg_info("one");
    close(fd);
    fd = listen_at("postlog");
    msg_info("two");
    if (recv(fd, text, sizeof text, 0) <= 0)
        _exit(2);
    close(fd);
    unlink("postlog");
    msg_info("three");
}

static void a_restarted_log_service_is_found_again(void **state UNUSED)
{
    char *line;

    assert_int_equal(run(log_across_restart), 0);
    line = content("err");
    assert_int_equal(count_lines(line, strlen(line)), 1);
    assert_non_null(strstr(line, "]: three\n"));
}

static void log_to_nobody(void)
{
    msg_init("t");
    msg_set_sink(MSG_SINK_POSTLOG, "postlog");
    for (int i = 0; i < 2000; i++)
        msg_info("line");
}

/* The queue of a socket that nobody reads fills up: one bounded wait, not one
 * for each line, and nothing is lost. */
static void a_stuck_log_service_does_not_stop_us(void **state UNUSED)
{
    int fd = listen_at("postlog");
    struct timespec start, end;
    size_t queued = 0;
    char text[200], *fallen;

    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(run(log_to_nobody), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range(end.tv_sec - start.tv_sec, 0, 5);
    while (recv(fd, text, sizeof text, 0) > 0)
        queued++;
    fallen = content("err");
    assert_true(queued > 0);
    assert_int_equal(queued + count_lines(fallen, strlen(fallen)), 2000);
    close(fd);
}

static bool write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool ok = fd >= 0 && file_write_full(fd, text, strlen(text));

    close(fd);
    return ok;
}

/* Root of a user namespace when it is not root already. */
static bool own_mounts(void)
{
    char uid_map[64], gid_map[64];

    snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)getuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getgid());
    if (unshare(CLONE_NEWNS) < 0 && (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
                                     !write_proc("/proc/self/uid_map", uid_map) ||
                                     !write_proc("/proc/self/setgroups", "deny") ||
                                     !write_proc("/proc/self/gid_map", gid_map)))
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/dev", "tmpfs", 0, "mode=0777") == 0;
}

/* /dev/log of a mount namespace of its own; exits 77 where that is forbidden. */
static void log_to_syslog(void)
{
    char text[300], want[300];
    ssize_t len;
    int fd;

    if (!own_mounts())
        _exit(77);
    fd = listen_at("/dev/log");
    msg_init("postfix/master");
    msg_set_sink(MSG_SINK_SYSLOG, "local1");
    msg_set_batching(true);
    msg_warn("one");
    msg_info("two");
    msg_flush();
    snprintf(want, sizeof want, " postfix/master[%d]: warning: one", (int)getpid());
    len = recv(fd, text, sizeof text - 1, 0);
    if (len < 20 || memcmp(text, "<140>", 5) != 0)
        _exit(2);
    text[len] = '\0';
    if (strcmp(text + 5 + 15, want) != 0)
        _exit(3);
    len = recv(fd, text, sizeof text, 0);
    if (len < 3 || memcmp(text, "<142>", 5) != 0 ||
        memcmp(text + len - 3, "two", 3) != 0)
        _exit(4);
}

static void syslog_gets_one_datagram_a_line(void **state UNUSED)
{
    int status = run(log_to_syslog);

    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void log_to_dev_full(void)
{
    msg_init("t");
    msg_set_sink(MSG_SINK_FILE, "/dev/full");
    msg_info("no space");
    msg_set_sink(MSG_SINK_FILE, "/no/such/dir/log");
    msg_info("no file");
}

static void what_a_file_does_not_take_goes_to_stderr(void **state UNUSED)
{
    char *text;

    assert_int_equal(run(log_to_dev_full), 0);
    text = content("err");
    assert_non_null(strstr(text, "]: no space\n"));
    assert_non_null(strstr(text, "]: no file\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stderr_lines_carry_the_program_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(file_lines_have_host_and_no_control_characters,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_texts_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fatal_flushes_and_calls_the_hook_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(panic_aborts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(postlog_gets_batches_of_whole_lines, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_restarted_log_service_is_found_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_stuck_log_service_does_not_stop_us, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(syslog_gets_one_datagram_a_line, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_file_does_not_take_goes_to_stderr,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
