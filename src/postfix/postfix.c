#include "postfix/postfix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master/service_log.h"
#include "util/msg.h"

#define USAGE "usage: postfix [-c config_dir] [-Dv] command"

static int run_check(struct postfix *pf)
{
    return check_system(pf) ? 0 : 1;
}

static const struct command_row {
    const char *name;
    int (*fn)(struct postfix *pf);
} commands[] = {
    {"start", control_start},   {"start-fg", control_start_foreground},
    {"stop", control_stop},     {"quick-stop", control_quick_stop},
    {"abort", control_abort},   {"drain", control_drain},
    {"reload", control_reload}, {"status", control_status},
    {"flush", control_flush},   {"check", run_check},
    {"logrotate", logrotate},
};

static _Noreturn void unknown_command(const char *name)
{
    msg_also_stderr(true);
    msg_fatal("unknown command: '%s'. Usage: postfix start (or start-fg, stop, "
              "quick-stop, drain, abort, reload, status, flush, check, logrotate)",
              name);
}

static void parse_options(struct postfix *pf, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "+c:Dv")) != -1) {
        switch (option) {
        case 'c':
            if (optarg[0] != '/')
                msg_fatal("-c: configuration directory must be an absolute path: %s",
                          optarg);
            setenv("MAIL_CONFIG", optarg, 1);
            break;
        case 'D':
            pf->debug = true;
            setenv("MAIL_DEBUG", "", 1);
            break;
        case 'v':
            pf->verbose++;
            setenv("MAIL_VERBOSE", "", 1);
            break;
        default:
            msg_fatal(USAGE);
        }
    }
}

/* Root, or the user who owns the whole instance. */
static void check_rights(struct postfix *pf)
{
    struct stat st;

    pf->rootless = geteuid() != 0;
    if (!pf->rootless)
        return;
    if (stat(pf->cfg->queue_directory, &st) < 0 ? errno == ENOENT
                                                : st.st_uid == geteuid())
        return;
    msg_fatal("the postfix command is reserved for the superuser, or for the owner of "
              "queue_directory %s",
              pf->cfg->queue_directory);
}

/* Standard descriptors must be open, or files that we open would take their place. */
static void secure_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        struct stat st;

        if (fstat(fd, &st) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(1);
    }
}

int run_program(char *const *argv)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        msg_fatal("fork: %s", strerror(errno));
    if (pid == 0) {
        execvp(argv[0], argv);
        msg_error("execute %s: %s", argv[0], strerror(errno));
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            msg_fatal("waitpid: %s", strerror(errno));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    const struct config_source source = {.program = "postfix"};
    struct postfix pf = {0};
    const char *name;
    struct err err;

    secure_descriptors();
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    msg_init("postfix");
    parse_options(&pf, argc, argv);
    name = optind < argc ? argv[optind] : "";
    pf.cfg = config_load(&source, &err);
    if (!pf.cfg)
        msg_fatal("%s", err.text);
    check_rights(&pf);
    setenv("MAIL_CONFIG", pf.cfg->dir, 1);
    service_log_open_command(pf.cfg, "postfix-script");
    msg_also_stderr(isatty(STDERR_FILENO));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            int status = commands[i].fn(&pf);

            msg_flush();
            return status;
        }
    }
    unknown_command(name);
}
