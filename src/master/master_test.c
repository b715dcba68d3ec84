/* Whole-daemon tests: master runs in a child process with a configuration made for
 * each test, and its services are this program under other names (probe_*). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "master/master.h"
#include "master/service.h"
#include "master/service_lock.h"
#include "util/file.h"
#include "util/ipc.h"
#include "util/msg.h"

#define WAIT_MS 8000

/* -- the services -- */

static void answer_line(struct stream *stream, struct span line)
{
    if (span_eq_str(line, "crash"))
        raise(SIGSEGV);
    if (span_eq_str(line, "note"))
        service_note_session("client[192.0.2.1]");
    if (span_eq_str(line, "sleep"))
        fiber_sleep(1000);
    stream_printf(stream, "%ld %.*s\n", (long)getpid(), SPAN_ARG(line));
}

static void line_session(struct service *svc, struct stream *stream,
                         const struct net_addr *peer UNUSED)
{
    struct span line;

    while (service_command_wait(svc, stream) &&
           stream_read_line(stream, 200, &line, NULL) == STREAM_OK)
        answer_line(stream, line);
    stream_flush(stream);
    stream_free(stream);
}

static void mux_request(struct service *svc UNUSED, struct span request,
                        struct strbuf *reply)
{
    struct frame_reader r = frame_reader(request);
    int64_t wait_ms = frame_opt_num(&r, "sleep", 0);

    if (wait_ms > 0)
        fiber_sleep(wait_ms);
    frame_span(reply, "echo", frame_want_span(&r, "text"));
}

static void log_trigger(struct service *svc, struct span bytes)
{
    msg_info("%s: trigger %.*s", svc->name, SPAN_ARG(bytes));
}

static void cannot_start(struct service *svc)
{
    msg_fatal("service %s cannot start", svc->name);
}

/* Stands in for postlogd; the descriptor is opened while the place is writable. */
static void log_open(struct service *svc)
{
    int fd = open(svc->cfg->maillog_file, O_WRONLY | O_APPEND | O_CREAT, 0644);

    svc->data = (void *)(intptr_t)fd;
    msg_set_sink(MSG_SINK_STDERR, NULL);
}

static void log_write(struct service *svc, struct span data)
{
    file_write_full((int)(intptr_t)svc->data, data.ptr, data.len);
}

static const struct service_ops probes[] = {
    {.program = "probe_line", .session = line_session},
    {.program = "probe_mux",
     .request = mux_request,
     .trigger = log_trigger,
     .solitary = true},
    {.program = "probe_bad", .session = line_session, .pre_jail = cannot_start},
    {.program = "probe_log",
     .pre_jail = log_open,
     .datagram = log_write,
     .solitary = true},
};

/* -- the scene -- */

static struct scene {
    char dir[64];
    pid_t master;
} scene;

static const char *scene_path(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", scene.dir, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(scene_path(name), "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void write_main_cf(const char *extra)
{
    char text[2048];

    snprintf(text, sizeof text,
             "queue_directory = %s/spool\ndata_directory = %s/data\n"
             "daemon_directory = %s/libexec\nmaillog_file = %s/log\n"
             "maillog_file_prefixes = /\nmail_owner = nobody\n"
             "service_process_limit = 2\ninet_interfaces = 127.0.0.1\n"
             "compatibility_level = 3.11\n%s",
             scene.dir, scene.dir, scene.dir, scene.dir, extra);
    write_text("etc/main.cf", text);
}

static void write_master_cf(const char *services)
{
    char text[2048];

    snprintf(text, sizeof text, "postlog unix-dgram n - n - 1 probe_log\n%s", services);
    write_text("etc/master.cf", text);
}

static void make_scene(void)
{
    static const char *const dirs[] = {"etc",      "spool",        "data",
                                       "libexec",  "spool/public", "spool/private",
                                       "spool/pid"};
    char self[256] = "";
    const struct passwd *owner = getpwnam("nobody");

    strcpy(scene.dir, "/tmp/master_test_XXXXXX");
    assert_non_null(mkdtemp(scene.dir));
    chmod(scene.dir, 0755);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        assert_int_equal(mkdir(scene_path(dirs[i]), 0755), 0);
        if (geteuid() == 0 && owner && strstr(dirs[i], "data"))
            assert_int_equal(chown(scene_path(dirs[i]), owner->pw_uid, -1), 0);
    }
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        char name[64];

        snprintf(name, sizeof name, "libexec/%s", probes[i].program);
        assert_int_equal(symlink(self, scene_path(name)), 0);
    }
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static bool log_has(const char *text)
{
    struct strbuf sb = STRBUF_INIT;
    struct err err;
    bool found =
        file_read_all(scene_path("log"), 1 << 20, &sb, &err) && strstr(sb.ptr, text);

    strbuf_free(&sb);
    return found;
}

static void wait_for_log(const char *text)
{
    for (int waited = 0; waited < WAIT_MS; waited += 20) {
        if (log_has(text))
            return;
        sleep_ms(20);
    }
    fail_msg("the log has no \"%s\"", text);
}

static pid_t run_master(void)
{
    char *argv[] = {"master", "-s", NULL};
    pid_t pid = fork();

    if (pid == 0) {
        setenv("MAIL_CONFIG", scene_path("etc"), 1);
        dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
        optind = 1;
        _exit(master_main(2, argv));
    }
    return pid;
}

static void start(const char *main_cf, const char *master_cf)
{
    make_scene();
    write_main_cf(main_cf);
    write_master_cf(master_cf);
    scene.master = run_master();
    wait_for_log("daemon started -- version ");
}

static int end_status(pid_t pid)
{
    int status;

    for (int waited = 0; waited < 2 * WAIT_MS; waited += 20) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        sleep_ms(20);
    }
    fail_msg("process %ld does not end", (long)pid);
    return -1;
}

static int teardown(void **state UNUSED)
{
    char command[128];

    if (scene.master > 0) {
        kill(scene.master, SIGTERM);
        end_status(scene.master);
        scene.master = 0;
    }
    snprintf(command, sizeof command, "rm -rf %s", scene.dir);
    return system(command);
}

/* -- clients -- */

static int dial(const char *name)
{
    struct timeval limit = {WAIT_MS / 1000, 0};
    char path[128];
    int fd;

    snprintf(path, sizeof path, "spool/%s", name);
    fd = net_connect_unix_blocking(scene_path(path), 5);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void say(int fd, const char *line)
{
    assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
    assert_int_equal(send(fd, "\n", 1, MSG_NOSIGNAL), 1);
}

/* The pid that answers; 0 when the connection has ended. */
static long hear(int fd, const char *line)
{
    char buf[256], *end;
    size_t len = 0;
    long pid;

    while (len < sizeof buf - 1 && recv(fd, buf + len, 1, 0) == 1) {
        if (buf[len++] == '\n')
            break;
    }
    buf[len] = '\0';
    if (len == 0)
        return 0;
    buf[len - 1] = '\0';
    pid = strtol(buf, &end, 10);
    assert_string_equal(end + 1, line);
    return pid;
}

static long ask(int fd, const char *line)
{
    say(fd, line);
    return hear(fd, line);
}

static bool is_silent(int fd, int ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, ms) == 0;
}

static void reload(void)
{
    kill(scene.master, SIGHUP);
}

/* -- tests -- */

static void sessions_are_limited_and_spread(void **state UNUSED)
{
    int fds[5];
    long pids[4];

    start("", "line unix n - n - 4 probe_line\n");
    for (size_t i = 0; i < 5; i++)
        fds[i] = dial("public/line");
    for (size_t i = 0; i < 4; i++)
        say(fds[i], "x");
    say(fds[4], "late");
    for (size_t i = 0; i < 4; i++)
        pids[i] = hear(fds[i], "x");
    for (size_t i = 0; i < 4; i++) {
        size_t same = 0;

        for (size_t k = 0; k < 4; k++)
            same += pids[k] == pids[i];
        assert_int_equal(same, 2);
    }
    assert_true(is_silent(fds[4], 400));
    close(fds[0]);
    assert_true(hear(fds[4], "late") > 0);
    for (size_t i = 1; i < 5; i++)
        close(fds[i]);
}

static void a_session_limit_of_one_isolates_sessions(void **state UNUSED)
{
    int a, b;

    start("", "line unix n - n - 10 probe_line -o service_session_limit=1\n");
    a = dial("public/line");
    b = dial("public/line");
    assert_int_not_equal(ask(a, "x"), ask(b, "x"));
    close(a);
    close(b);
}

static void a_reload_keeps_sessions_and_limits(void **state UNUSED)
{
    int a, b, c;
    long old, new;

    start("", "line unix n - n - 2 probe_line -o service_process_limit=1\n");
    a = dial("public/line");
    b = dial("public/line");
    old = ask(a, "x");
    assert_int_equal(ask(b, "x"), old);
    reload();
    wait_for_log("reload -- version ");
    assert_int_equal(ask(a, "again"), old);
    c = dial("public/line");
    say(c, "new");
    assert_true(is_silent(c, 300)); /* two sessions are the limit, old or new */
    close(a);
    new = hear(c, "new");
    assert_true(new > 0 && new != old);
    assert_int_equal(ask(b, "still"), old);
    close(b);
    close(c);
    sleep_ms(300);
    assert_false(log_has("exit status")); /* the old process has ended without leaks */
}

static void a_reload_adds_and_removes_services(void **state UNUSED)
{
    int fd;

    start("", "one unix n - n - 2 probe_line\n");
    write_master_cf("two unix n - n - 2 probe_line\n");
    reload();
    wait_for_log("reload -- version ");
    assert_int_not_equal(access(scene_path("spool/public/one"), F_OK), 0);
    fd = dial("public/two");
    assert_true(ask(fd, "x") > 0);
    close(fd);
}

static void a_broken_configuration_is_not_loaded(void **state UNUSED)
{
    int fd;

    start("", "line unix n - n - 2 probe_line\n");
    write_main_cf("max_use = many\n");
    reload();
    wait_for_log("error: reload refused");
    assert_true(log_has("main.cf, line 10: "));
    fd = dial("public/line"); /* a new process, with the configuration as it was */
    assert_true(ask(fd, "x") > 0);
    close(fd);
    write_main_cf("");
    write_master_cf("line unix n - n - many probe_line\n");
    unlink(scene_path("log"));
    kill(scene.master, SIGHUP);
    sleep_ms(200);
    fd = dial("public/line");
    assert_true(ask(fd, "x") > 0);
    close(fd);
}

static void a_service_that_cannot_start_is_throttled(void **state UNUSED)
{
    int fd;

    start("", "bad unix n - n - 2 probe_bad\n");
    fd = dial("public/bad");
    wait_for_log("fatal: service bad cannot start");
    wait_for_log("probe_bad pid ");
    wait_for_log("exit status 1");
    wait_for_log("probe_bad: bad command startup -- throttling");
    close(fd);
}

static void a_missing_program_is_reported(void **state UNUSED)
{
    int fd;

    start("", "none unix n - n - 2 no_such_program\n");
    fd = dial("public/none");
    wait_for_log("no_such_program: No such file or directory");
    wait_for_log("no_such_program: bad command startup -- throttling");
    close(fd);
}

static void a_killed_service_is_replaced(void **state UNUSED)
{
    int fd;
    long pid;

    start("", "line unix n - n - 1 probe_line\n");
    fd = dial("public/line");
    pid = ask(fd, "x");
    kill((pid_t)pid, SIGKILL);
    assert_int_equal(hear(fd, ""), 0);
    close(fd);
    wait_for_log("killed by signal 9");
    fd = dial("public/line");
    assert_int_not_equal(ask(fd, "x"), pid);
    assert_false(log_has("throttling"));
    close(fd);
}

static void a_crash_names_the_session(void **state UNUSED)
{
    int fd;

    start("", "line unix n - n - 1 probe_line\n");
    fd = dial("public/line");
    ask(fd, "note");
    say(fd, "crash");
    assert_int_equal(hear(fd, ""), 0);
    close(fd);
#if !defined(__SANITIZE_ADDRESS__)
    wait_for_log("(session: client[192.0.2.1])");
#endif
    wait_for_log("warning: process ");
}

static void a_wakeup_timer_rings_at_once_and_again(void **state UNUSED)
{
    start("", "mux unix n - n 1 1 probe_mux\nunused unix n - n 1? 1 probe_mux\n");
    wait_for_log("mux: trigger W");
    assert_int_equal(truncate(scene_path("log"), 0), 0);
    wait_for_log("mux: trigger W");
    assert_false(log_has("unused: trigger"));
}

static void triggers_and_frames_share_a_socket(void **state UNUSED)
{
    struct strbuf out = STRBUF_INIT;
    char in[200];
    size_t mark, len = 0, used;
    struct frame frame;
    struct span echo;
    int fd;

    start("", "mux unix n - n - 1 probe_mux\nf fifo n - n - 1 probe_mux\n");
    fd = dial("public/mux");
    assert_int_equal(send(fd, "D", 1, 0), 1);
    assert_int_equal(recv(fd, in, 1, 0), 0); /* closed once it was read */
    close(fd);
    wait_for_log("mux: trigger D");

    fd = open(scene_path("spool/public/f"), O_WRONLY | O_NONBLOCK);
    assert_int_equal(write(fd, "FI", 2), 2);
    close(fd);
    wait_for_log("f: trigger FI");

    /* The slow request is answered after the fast one. */
    strbuf_add_str(&out, FRAME_PREAMBLE);
    mark = frame_begin(&out, 7);
    frame_str(&out, "text", "slow");
    frame_num(&out, "sleep", 300);
    frame_end(&out, mark);
    mark = frame_begin(&out, 8);
    frame_str(&out, "text", "fast");
    frame_end(&out, mark);
    fd = dial("public/mux");
    assert_int_equal(send(fd, out.ptr, out.len, 0), (ssize_t)out.len);
    strbuf_free(&out);
    for (uint32_t id = 8; id >= 7; id--) {
        while (frame_parse(span_of(in, len), &frame, &used) == FRAME_PARTIAL) {
            ssize_t got = recv(fd, in + len, sizeof in - len, 0);

            assert_true(got > 0);
            len += (size_t)got;
        }
        assert_int_equal(frame.id, id);
        assert_true(frame_get(frame.body, "echo", &echo));
        assert_true(span_eq_str(echo, id == 8 ? "fast" : "slow"));
        memmove(in, in + used, len - used);
        len -= used;
    }
    close(fd);
}

static void inet_services_listen(void **state UNUSED)
{
    struct net_addr addr;
    socklen_t len = sizeof addr.ss;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char services[100];
    uint16_t port;

    net_addr_parse(SPAN_LIT("127.0.0.1"), 0, &addr);
    assert_int_equal(bind(fd, &addr.sa, addr.len), 0);
    getsockname(fd, &addr.sa, &len);
    port = net_addr_port(&addr);
    close(fd);
    snprintf(services, sizeof services, "%u inet n - n - 2 probe_line\n", port);
    start("", services);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    net_addr_parse(SPAN_LIT("127.0.0.1"), port, &addr);
    assert_int_equal(connect(fd, &addr.sa, addr.len), 0);
    assert_true(ask(fd, "x") > 0);
    close(fd);
}

static void only_one_master_runs(void **state UNUSED)
{
    pid_t second;
    int status, fd;

    start("", "line unix n - n - 2 probe_line\n");
    second = run_master();
    status = end_status(second);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    fd = dial("public/line"); /* which the second one has not disturbed */
    assert_true(ask(fd, "x") > 0);
    close(fd);
    assert_int_equal(service_lock_holder(scene_path("spool/pid/master.pid")),
                     scene.master);
}

static void stopping_lets_work_end(void **state UNUSED)
{
    int busy, idle, status;

    start("", "line unix n - n - 2 probe_line\n");
    busy = dial("public/line");
    idle = dial("public/line");
    ask(idle, "x");
    say(busy, "sleep");
    sleep_ms(200);
    kill(scene.master, SIGTERM);
    assert_int_equal(hear(idle, ""), 0);
    assert_true(hear(busy, "sleep") > 0);
    status = end_status(scene.master);
    scene.master = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(log_has("terminating on signal 15"));
    assert_int_equal(service_lock_holder(scene_path("spool/pid/master.pid")), 0);
    close(busy);
    close(idle);
}

static void services_end_when_master_is_killed(void **state UNUSED)
{
    int busy;
    long pid;

    start("", "line unix n - n - 2 probe_line\n");
    busy = dial("public/line");
    pid = ask(busy, "x");
    say(busy, "sleep");
    sleep_ms(200);
    kill(scene.master, SIGKILL);
    end_status(scene.master);
    scene.master = 0;
    assert_int_equal(hear(busy, "sleep"), pid); /* what was begun is finished */
    assert_int_equal(hear(busy, ""), 0);
    close(busy);
}

#define SCENE_TEST(fn) cmocka_unit_test_teardown(fn, teardown)

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    const struct CMUnitTest tests[] = {
        SCENE_TEST(sessions_are_limited_and_spread),
        SCENE_TEST(a_session_limit_of_one_isolates_sessions),
        SCENE_TEST(a_reload_keeps_sessions_and_limits),
        SCENE_TEST(a_reload_adds_and_removes_services),
        SCENE_TEST(a_broken_configuration_is_not_loaded),
        SCENE_TEST(a_service_that_cannot_start_is_throttled),
        SCENE_TEST(a_missing_program_is_reported),
        SCENE_TEST(a_killed_service_is_replaced),
        SCENE_TEST(a_crash_names_the_session),
        SCENE_TEST(a_wakeup_timer_rings_at_once_and_again),
        SCENE_TEST(triggers_and_frames_share_a_socket),
        SCENE_TEST(inet_services_listen),
        SCENE_TEST(only_one_master_runs),
        SCENE_TEST(stopping_lets_work_end),
        SCENE_TEST(services_end_when_master_is_killed),
    };

    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        if (strcmp(name, probes[i].program) == 0)
            return service_main(argc, argv, &probes[i]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
