#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/service_user_child.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/net.h"

#define ARGS_MAX 64 /* words of a shell setting */

extern char **environ;

static enum user_outcome cannot(struct strbuf *output, const char *what, int error)
{
    if (output)
        strbuf_addf(output, "%s: %s", what, strerror(error));
    return USER_FAILED;
}

static bool allowed(const struct user_ids *ids, struct strbuf *output)
{
    if (user_switch_possible() || user_is_self(ids))
        return true;
    if (output)
        strbuf_addf(output,
                    "cannot become uid %ld: the mail system was not started by root",
                    (long)ids->uid);
    return false;
}

/* -- a function -- */

_Noreturn static void run_function(const struct user_ids *ids,
                                   int (*fn)(void *arg, struct strbuf *result),
                                   void *arg, size_t max_result, int result_fd)
{
    struct strbuf result = STRBUF_INIT;
    int status;

    user_child_detach();
    if (!user_become(ids, NULL)) {
        msg_warn("cannot become uid %ld: %s", (long)ids->uid, strerror(errno));
        _exit(126);
    }
    status = fn(arg, &result);
    if (result.len > max_result)
        result.len = max_result;
    if (!file_write_full(result_fd, result.ptr, result.len))
        status = status ? status : 126;
    msg_flush();
    _exit(status);
}

enum user_outcome user_run(const struct user_ids *ids,
                           int (*fn)(void *arg, struct strbuf *result), void *arg,
                           int64_t time_limit_s, size_t max_result,
                           struct strbuf *result_out, int *status_out)
{
    struct user_child *child;
    int fds[2];

    *status_out = 0;
    if (!allowed(ids, result_out))
        return USER_FAILED;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return cannot(result_out, "make pipe", errno);
    child = user_child_fork();
    if (!child) {
        int error = errno;

        close(fds[0]);
        close(fds[1]);
        return cannot(result_out, "fork", error);
    }
    if (child->pid == 0)
        run_function(ids, fn, arg, max_result, fds[1]);
    close(fds[1]);
    net_set_nonblocking(fds[0], true);
    evfd_init(&child->out, fds[0]);
    child->output = result_out;
    child->output_room = max_result;
    return user_child_supervise(child, time_limit_s, status_out);
}

/* -- a command -- */

/* What makes a command line need a shell; a plain name may be a built-in. */
static bool needs_shell(const char *command)
{
    const char *word = command + strspn(command, " \t");

    return strpbrk(command, "~`!#$^&*()={}[]|\\:;\"'<>?\r\n%") ||
           !memchr(word, '/', strcspn(word, " \t"));
}

static void split_words(char *text, const char **argv, size_t *argc)
{
    char *save, *word;

    for (word = strtok_r(text, " \t", &save); word && *argc < ARGS_MAX;
         word = strtok_r(NULL, " \t", &save))
        argv[(*argc)++] = word;
}

/* In the child. argv points into memory that lives until exec. Returns what to
 * execute. */
static const char *shell_argv(const struct user_command *command, const char **argv)
{
    const char *program = NULL;
    size_t argc = 0;

    if (command->shell && *command->shell) {
        split_words(xstrdup(command->shell), argv, &argc);
        argv[argc++] = command->shell_command;
    } else if (needs_shell(command->shell_command)) {
        program = "/bin/sh";
        argv[argc++] = "sh";
        argv[argc++] = "-c";
        argv[argc++] = command->shell_command;
    } else {
        split_words(xstrdup(command->shell_command), argv, &argc);
    }
    argv[argc] = NULL;
    return program ? program : argv[0];
}

_Noreturn static void child_failed(const char *what, const char *name)
{
    int error = errno;

    dprintf(STDERR_FILENO, "%s %s: %s\n", what, name, strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

static void place_fd(int fd, int target)
{
    if (fd == target)
        fcntl(fd, F_SETFD, 0);
    else
        dup2(fd, target);
}

/* Sources are moved above 2 first, so that none is overwritten before its turn. */
static void place_descriptors(int in_fd, int out_fd, int err_fd)
{
    int in = in_fd >= 0 ? fcntl(in_fd, F_DUPFD_CLOEXEC, 10)
                        : open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = fcntl(out_fd, F_DUPFD_CLOEXEC, 10);
    int err = fcntl(err_fd, F_DUPFD_CLOEXEC, 10);

    net_set_nonblocking(in, false);
    place_fd(in, STDIN_FILENO);
    place_fd(out, STDOUT_FILENO);
    place_fd(err, STDERR_FILENO);
}

_Noreturn static void run_program(const struct user_ids *ids,
                                  const struct user_command *command, int in_fd,
                                  int capture_fd)
{
    const char *shell_words[ARGS_MAX + 4];
    const char *const *argv = command->argv;
    const char *program = argv ? argv[0] : NULL;

    place_descriptors(in_fd, command->stdout_fd >= 0 ? command->stdout_fd : capture_fd,
                      capture_fd);
    user_child_detach();
    if (!user_become(ids, command->chroot))
        child_failed("cannot take the rights of", "user");
    if (command->cwd && chdir(command->cwd) < 0)
        child_failed("cannot change directory to", command->cwd);
    if (command->shell_command) {
        program = shell_argv(command, shell_words);
        argv = shell_words;
    }
    if (!program) {
        errno = ENOENT;
        child_failed("cannot execute", "an empty command");
    }
    close_range(3, ~0U, 0);
    environ = (char **)command->env;
    execvp(program, (char *const *)argv);
    child_failed("cannot execute", program);
}

struct command_pipes {
    int out[2], in[2]; /* -1: not made */
};

static bool open_pipes(struct command_pipes *pipes, bool with_input)
{
    pipes->in[0] = pipes->in[1] = -1;
    if (pipe2(pipes->out, O_CLOEXEC) < 0)
        return false;
    if (!with_input || pipe2(pipes->in, O_CLOEXEC) == 0)
        return true;
    close(pipes->out[0]);
    close(pipes->out[1]);
    return false;
}

static void close_pair(int fds[2])
{
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
}

static enum user_outcome command_start(const struct user_ids *ids,
                                       const struct user_command *command,
                                       struct span (*more)(void *arg), void *arg,
                                       struct strbuf *output, int *status_out)
{
    struct command_pipes pipes;
    struct user_child *child;

    *status_out = 0;
    if (!allowed(ids, output))
        return USER_FAILED;
    if (!open_pipes(&pipes, more != NULL))
        return cannot(output, "make pipe", errno);
    child = user_child_fork();
    if (!child) {
        int error = errno;

        close_pair(pipes.out);
        close_pair(pipes.in);
        return cannot(output, "fork", error);
    }
    if (child->pid == 0)
        run_program(ids, command, more ? pipes.in[0] : command->stdin_fd, pipes.out[1]);
    close(pipes.out[1]);
    net_set_nonblocking(pipes.out[0], true);
    evfd_init(&child->out, pipes.out[0]);
    child->output = output;
    child->output_room = command->max_output;
    if (more) {
        close(pipes.in[0]);
        net_set_nonblocking(pipes.in[1], true);
        evfd_init(&child->in, pipes.in[1]);
        child->more = more;
        child->more_arg = arg;
    }
    return user_child_supervise(child, command->time_limit_s, status_out);
}

enum user_outcome user_command_run(const struct user_ids *ids,
                                   const struct user_command *command,
                                   struct strbuf *output_out, int *status_out)
{
    return command_start(ids, command, NULL, NULL, output_out, status_out);
}

enum user_outcome user_command_feed(const struct user_ids *ids,
                                    const struct user_command *command,
                                    struct span (*more)(void *arg), void *arg,
                                    struct strbuf *output_out, int *status_out)
{
    return command_start(ids, command, more, arg, output_out, status_out);
}
