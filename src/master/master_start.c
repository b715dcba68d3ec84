#include "master/master_start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "master/service_lock.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/strbuf.h"

#define DESCRIPTORS_LOW 4096
#define USAGE                                                                          \
    "usage: master [-c config_dir] [-D] [-d] [-e exit_time] [-i] [-s] [-t] [-v] [-w]"

static int ready_fd = -1; /* of start_background, until start_ready */

void start_options(struct master *master, int argc, char **argv)
{
    struct master_options *options = &master->options;
    int64_t seconds;
    int option;

    while ((option = getopt(argc, argv, "+c:Dde:istvw")) != -1) {
        switch (option) {
        case 'c':
            if (setenv("MAIL_CONFIG", optarg, 1) < 0)
                msg_fatal("setenv: %s", strerror(errno));
            break;
        case 'D':
            options->debug = true;
            break;
        case 'd':
            options->foreground = true;
            break;
        case 'e':
            if (!span_i64(span_str(optarg), &seconds) || seconds <= 0)
                msg_fatal("bad value of option -e: \"%s\"", optarg);
            options->exit_after_s = seconds;
            break;
        case 'i':
            options->init_mode = options->keep_stdout = true;
            break;
        case 's':
            options->keep_stdout = true;
            break;
        case 't':
            options->test = true;
            break;
        case 'v':
            msg_verbose++;
            break;
        case 'w':
            options->wait = true;
            break;
        default:
            msg_fatal(USAGE);
        }
    }
    if (optind < argc)
        msg_fatal(USAGE);
    if (options->wait && (options->init_mode || options->foreground))
        msg_fatal("option -w cannot go with -d or -i");
}

/* -- environment -- */

static void keep_variable(struct span word, struct strbuf *kept)
{
    char name[256];
    const char *value;

    if (span_chr(word, '=') > 0) {
        strbuf_add_span(kept, word);
        strbuf_add_char(kept, '\0');
        return;
    }
    snprintf(name, sizeof name, "%.*s", SPAN_ARG(word));
    value = getenv(name);
    if (value)
        strbuf_addf(kept, "%s=%s%c", name, value, '\0');
}

void start_environment(const struct config *cfg)
{
    struct strbuf kept = STRBUF_INIT;
    struct span rest = span_str(cfg->import_environment), word;
    char *text;

    while (span_token_braces(&rest, ", \t\r\n", &word)) {
        if (word.len > 2 && word.ptr[0] == '{')
            word = span_trim(span_of(word.ptr + 1, word.len - 2));
        keep_variable(word, &kept);
    }
    clearenv();
    strbuf_add_char(&kept, '\0');
    text = strbuf_detach(&kept); /* putenv wants it for good */
    while (*text) {
        putenv(text);
        text += strlen(text) + 1;
    }
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 0);
    setenv("MAIL_CONFIG", cfg->dir, 1);
    if (cfg->maillog_file[0])
        setenv("POSTLOG_SERVICE", cfg->postlog_service_name, 1);
    else
        unsetenv("POSTLOG_SERVICE");
}

/* -- foreground, background -- */

void start_background(void)
{
    int fds[2];
    char byte;

    if (pipe2(fds, O_CLOEXEC) < 0)
        msg_fatal("pipe: %s", strerror(errno));
    switch (fork()) {
    case -1:
        msg_fatal("fork: %s", strerror(errno));
    case 0:
        close(fds[0]);
        ready_fd = fds[1];
        return;
    }
    close(fds[1]);
    while (read(fds[0], &byte, 1) != 1) {
        if (errno != EINTR)
            _exit(1);
        errno = 0;
    }
    _exit(0);
}

static void drop_terminal(const struct master_options *options)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd < 0)
        msg_fatal("open /dev/null: %s", strerror(errno));
    dup2(null_fd, STDIN_FILENO);
    if (!options->keep_stdout)
        dup2(null_fd, STDOUT_FILENO);
    dup2(null_fd, STDERR_FILENO);
    if (null_fd > STDERR_FILENO)
        close(null_fd);
}

void start_ready(struct master *master)
{
    if (!master->options.foreground)
        msg_also_stderr(false);
    if (!master->options.foreground && !master->options.init_mode)
        drop_terminal(&master->options);
    if (ready_fd < 0)
        return;
    if (write(ready_fd, "", 1) != 1)
        msg_warn("the process that started us is gone");
    close(ready_fd);
    ready_fd = -1;
}

/* -- locks -- */

static const char *pid_path(const struct config *cfg)
{
    return arena_printf(cfg->arena, "%s/master.pid", cfg->process_id_directory);
}

static int take_lock(const char *path)
{
    struct err err;
    int fd;

    switch (service_lock_take(path, &fd, &err)) {
    case LOCK_OK:
        break;
    case LOCK_BUSY:
        msg_fatal("open lock file %s: the mail system is already running", path);
    default:
        msg_fatal("%s", err.text);
    }
    if (!service_lock_write_pid(fd, getpid()))
        msg_fatal("write %s: %s", path, strerror(errno));
    return fd;
}

/* The data directory belongs to mail_owner: do as that user does there. */
void start_locks(struct master *master, const struct config *cfg)
{
    take_lock(pid_path(cfg));
    if (!master->rootless &&
        (setegid(master->owner_gid) < 0 || seteuid(master->owner_uid) < 0))
        msg_fatal("become user %s: %s", cfg->mail_owner, strerror(errno));
    take_lock(arena_printf(cfg->arena, "%s/master.lock", cfg->data_directory));
    if (!master->rootless && (seteuid(0) < 0 || setegid(0) < 0))
        msg_fatal("become root again: %s", strerror(errno));
}

_Noreturn void start_test(const struct config *cfg)
{
    exit(service_lock_holder(pid_path(cfg)) == 0 ? 0 : 1);
}

/* -- limits -- */

/* As far as the kernel and our rights allow; limit is what holds then. */
static void raise_hard_limit(struct rlimit *limit, size_t needed)
{
    struct rlimit higher = {limit->rlim_cur, needed};
    struct strbuf text = STRBUF_INIT;
    struct err err;
    uint64_t most;

    if (file_read_all("/proc/sys/fs/nr_open", 64, &text, &err) &&
        span_u64(span_trim(strbuf_span(&text)), &most) && most < needed)
        higher.rlim_max = most;
    strbuf_free(&text);
    if (higher.rlim_max > limit->rlim_max && setrlimit(RLIMIT_NOFILE, &higher) == 0)
        *limit = higher;
}

void start_limits(const struct master_set *set)
{
    struct rlimit limit;
    size_t quota = 0, needed;

    list_each(link, &set->services)
    {
        const struct master_service *service =
            list_entry(link, struct master_service, link);

        if (plan_quota(&service->plan, 0) > quota)
            quota = plan_quota(&service->plan, 0);
    }
    needed = plan_descriptors(quota);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed)
        raise_hard_limit(&limit, needed);
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? needed : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < DESCRIPTORS_LOW)
        msg_warn("only %lu open files are allowed: many sessions will be refused",
                 (unsigned long)limit.rlim_cur);
}
