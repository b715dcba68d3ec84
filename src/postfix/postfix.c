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

/* A command that gets by with a broken main.cf: it reports what is wrong, or needs
 * little more than to know where things are. */
#define TOLERANT true

static const struct command_row {
    const char *name;
    int (*fn)(struct postfix *pf);
    bool tolerant;
    const char *options; /* after the command, for getopt; NULL: it looks at them */
} commands[] = {
    {"start", control_start, TOLERANT, "+f"},
    {"start-fg", control_start_foreground, TOLERANT, "+f"},
    {"stop", control_stop, TOLERANT, "+"},
    {"quick-stop", control_quick_stop, TOLERANT, "+"},
    {"abort", control_abort, TOLERANT, "+"},
    {"drain", control_drain, TOLERANT, "+"},
    {"reload", control_reload, TOLERANT, "+f"},
    {"status", status_command, TOLERANT, "+j"},
    {"flush", control_flush, TOLERANT, "+"},
    {"check", check_command, TOLERANT, "+j"},
    {"logrotate", logrotate, false, "+"},
};

static _Noreturn void unknown_command(const char *name)
{
    msg_also_stderr(true);
    msg_fatal(
        "unknown command: '%s'. Usage: postfix start (or stop, reload, abort, "
        "flush, check, status, set-permissions, upgrade-configuration, logrotate)",
        name);
}

static const struct command_row *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Further words are ignored, as operators' scripts may have some. */
static void parse_command_options(struct postfix *pf, const struct command_row *row)
{
    int option;

    optind = 0; /* begin anew: argv is another one */
    while (row->options && (option = getopt(pf->argc, pf->argv, row->options)) != -1) {
        switch (option) {
        case 'f':
            pf->force = true;
            break;
        case 'j':
            pf->json = true;
            break;
        default:
            msg_fatal("usage: postfix %s%s", row->name,
                      strchr(row->options, 'f')   ? " [-f]"
                      : strchr(row->options, 'j') ? " [-j]"
                                                  : "");
        }
    }
}

/* check has better words for what the library warns of. */
static bool hush(void *arg UNUSED, enum msg_level level UNUSED, struct span text UNUSED)
{
    return false;
}

static void load_configuration(struct postfix *pf, const struct command_row *row)
{
    struct err err;

    if (row && row->fn == check_command)
        msg_set_filter(hush, NULL);
    pf->cfg = load_main_cf(&pf->load, &err);
    msg_set_filter(NULL, NULL);
    if (!pf->cfg ||
        (!(row && row->tolerant) && load_first_error(pf->load, pf->cfg, &err)))
        msg_fatal("%s", err.text);
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

/* Let the wrapper (postmulti) do this for all instances. It runs us again for each of
 * them, then with MAIL_CONFIG, which means that instance alone. */
static _Noreturn void run_wrapper(struct postfix *pf)
{
    struct span rest = span_str(pf->cfg->multi_instance_wrapper), word;
    char **argv =
        arena_alloc(pf->cfg->arena, (rest.len + (size_t)pf->argc + 1) * sizeof *argv);
    size_t count = 0;

    while (span_token(&rest, " \t\r\n", &word))
        argv[count++] = arena_span_str(pf->cfg->arena, word);
    memcpy(argv + count, pf->argv, (size_t)pf->argc * sizeof *argv);
    msg_flush();
    execvp(argv[0], argv);
    msg_also_stderr(true);
    msg_fatal("multi_instance_wrapper: execute %s: %s", argv[0], strerror(errno));
}

int main(int argc, char **argv)
{
    const struct command_row *row;
    struct postfix pf = {0};
    bool whole_host;
    int status;

    secure_descriptors();
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    msg_init("postfix");
    parse_options(&pf, argc, argv);
    whole_host = !getenv("MAIL_CONFIG"); /* -c sets it */
    pf.argc = argc - optind;
    pf.argv = argv + optind;
    row = find_command(pf.argc > 0 ? pf.argv[0] : "");
    if (row)
        parse_command_options(&pf, row);
    load_configuration(&pf, row);
    check_rights(&pf);
    setenv("MAIL_CONFIG", pf.cfg->dir, 1);
    service_log_open_command(pf.cfg, "postfix-script");
    msg_also_stderr(isatty(STDERR_FILENO));
    if (whole_host && pf.argc > 0 && pf.cfg->multi_instance_wrapper[0] &&
        pf.cfg->multi_instance_directories[0])
        run_wrapper(&pf);
    if (!row)
        unknown_command(pf.argc > 0 ? pf.argv[0] : "");
    status = row->fn(&pf);
    msg_flush();
    load_free(pf.load);
    config_free(pf.cfg);
    return status;
}
