#include "smtpd/smtpd_standalone.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "global/command.h"
#include "master/service_log.h"
#include "smtpd/smtpd_lists.h"
#include "util/file.h"
#include "util/msg.h"

#define COPY_BYTES 16384

/* The two processes that carry bytes between the socket pair of the session and
 * standard input and output, which may be files, pipes or a terminal. */
struct carriers {
    pid_t in, out;
};

bool smtpd_standalone_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-S") == 0)
            return true;
    return false;
}

static void copy_bytes(int from, int to)
{
    char buf[COPY_BYTES];
    ssize_t got;

    while ((got = read(from, buf, sizeof buf)) > 0 || (got < 0 && errno == EINTR))
        if (got > 0 && !file_write_full(to, buf, (size_t)got))
            return;
}

static pid_t start_carrier(int from, int to, int unused)
{
    pid_t pid = fork();

    if (pid < 0)
        msg_fatal("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    signal(SIGPIPE, SIG_IGN);
    close(unused);
    copy_bytes(from, to);
    shutdown(to, SHUT_WR);
    _exit(0);
}

static bool is_one_socket(void)
{
    struct stat in, out;

    return fstat(STDIN_FILENO, &in) == 0 && fstat(STDOUT_FILENO, &out) == 0 &&
           S_ISSOCK(in.st_mode) && in.st_ino == out.st_ino && in.st_dev == out.st_dev;
}

/* A socket for the session. */
static int connect_session(struct carriers *carriers)
{
    int pair[2];

    if (is_one_socket())
        return dup(STDIN_FILENO);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        msg_fatal("socketpair: %s", strerror(errno));
    carriers->in = start_carrier(STDIN_FILENO, pair[1], pair[0]);
    carriers->out = start_carrier(pair[1], STDOUT_FILENO, pair[0]);
    close(pair[1]);
    return pair[0];
}

/* What was said is still to be written; nobody reads on. */
static void end_carriers(const struct carriers *carriers)
{
    int status;

    if (carriers->out > 0)
        waitpid(carriers->out, &status, 0);
    if (carriers->in > 0) {
        kill(carriers->in, SIGTERM);
        waitpid(carriers->in, &status, 0);
    }
}

struct standalone {
    struct smtpd_service ss;
    int fd;
};

static int serve(void *arg)
{
    static const struct net_addr nobody = {.len = 0};
    struct standalone *sa = arg;

    smtpd_session_run(&sa->ss, stream_new(sa->fd), &nobody);
    return 0;
}

static const struct config *configure(void)
{
    const struct config_source source = {.program = "smtpd"};
    struct config *cfg;
    struct err err;

    cfg = config_load(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    service_log_open_command(cfg, "smtpd");
    if (!command_user_allowed(cfg, "authorized_submit_users",
                              cfg->authorized_submit_users, "submit mail", &err))
        msg_fatal("%s", err.text);
    if (chdir(cfg->queue_directory) < 0)
        msg_fatal("chdir %s: %s", cfg->queue_directory, strerror(errno));
    return cfg;
}

_Noreturn void smtpd_standalone(void)
{
    struct carriers carriers = {0, 0};
    struct standalone sa = {.fd = -1};
    int status;

    msg_init("smtpd");
    signal(SIGPIPE, SIG_IGN);
    smtpd_configure(&sa.ss, configure(), arena_new());
    sa.fd = connect_session(&carriers);
    status = fiber_main(serve, &sa);
    end_carriers(&carriers);
    msg_flush();
    _exit(status); /* what lives as long as the process is freed with it */
}
