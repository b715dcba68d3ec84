/* A service for tests of the master daemon and the service frame. By program name:
 * probe: a line service (pid, crash, sleep N, note TEXT, user CMD, anything: echo);
 * probe_mux: requests and triggers, solitary; probe_bad: cannot start. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/service.h"
#include "master/service_user.h"
#include "util/msg.h"

static void crash(void)
{
    raise(SIGSEGV);
}

static int whoami(void *arg, struct strbuf *result)
{
    (void)arg;
    strbuf_addf(result, "uid %ld gid %ld", (long)getuid(), (long)getgid());
    return 7;
}

static void answer_user(struct stream *stream, const char *command)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct user_ids ids = {.uid = geteuid() == 0 || user_switch_possible() ? 65534
                                                                           : geteuid(),
                           .gid = geteuid() == 0 || user_switch_possible() ? 65534
                                                                           : getegid()};
    struct user_command cmd = {.shell_command = command, .env = env, .cwd = "/",
                               .stdin_fd = -1, .stdout_fd = -1, .time_limit_s = 2,
                               .max_output = 100};
    struct strbuf out = STRBUF_INIT;
    int status, outcome;

    if (*command)
        outcome = user_command_run(&ids, &cmd, &out, &status);
    else
        outcome = user_run(&ids, whoami, NULL, 2, 100, &out, &status);
    stream_printf(stream, "outcome %d status %d: %s\n", outcome, status, out.ptr);
    strbuf_free(&out);
}

static void answer(struct stream *stream, struct span line)
{
    char text[200];
    int seconds;

    snprintf(text, sizeof text, "%.*s", SPAN_ARG(line));
    if (strcmp(text, "crash") == 0)
        crash();
    else if (sscanf(text, "sleep %d", &seconds) == 1)
        fiber_sleep(seconds * 1000);
    else if (strncmp(text, "note ", 5) == 0)
        service_note_session(text + 5);
    else if (strncmp(text, "user", 4) == 0)
        answer_user(stream, text[4] ? text + 5 : "");
    stream_printf(stream, "%ld %ld %s\n", (long)getpid(), (long)geteuid(), text);
}

static void probe_session(struct service *svc, struct stream *stream,
                          const struct net_addr *peer)
{
    struct span line;

    (void)peer;
    while (service_session_wait(svc, stream) &&
           stream_read_line(stream, 200, &line, NULL) == STREAM_OK)
        answer(stream, line);
    stream_flush(stream);
    stream_free(stream);
}

static void mux_request(struct service *svc, struct span request, struct strbuf *reply)
{
    struct frame_reader r = frame_reader(request);
    int64_t wait_ms = frame_opt_num(&r, "sleep", 0);

    (void)svc;
    if (wait_ms > 0)
        fiber_sleep(wait_ms);
    frame_span(reply, "echo", frame_want_span(&r, "text"));
    frame_num(reply, "pid", getpid());
}

static void mux_trigger(struct service *svc, struct span bytes)
{
    (void)svc;
    msg_info("trigger \"%.*s\"", SPAN_ARG(bytes));
}

static void bad_start(struct service *svc)
{
    msg_fatal("service %s cannot start", svc->name);
}

int main(int argc, char **argv)
{
    static const struct service_ops probe = {.program = "probe", .session = probe_session};
    static const struct service_ops priv = {
        .program = "probe_priv", .session = probe_session, .privileged = true};
    static const struct service_ops mux = {.program = "probe_mux",
                                           .request = mux_request,
                                           .trigger = mux_trigger,
                                           .solitary = true};
    static const struct service_ops bad = {
        .program = "probe_bad", .session = probe_session, .pre_jail = bad_start};
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

    if (strcmp(name, "probe_mux") == 0)
        return service_main(argc, argv, &mux);
    if (strcmp(name, "probe_bad") == 0)
        return service_main(argc, argv, &bad);
    if (strcmp(name, "probe_priv") == 0)
        return service_main(argc, argv, &priv);
    return service_main(argc, argv, &probe);
}
