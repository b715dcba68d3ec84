#include "sendmail/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "global/cleanup_client.h"
#include "util/file.h"
#include "util/msg.h"

#define ANSWER_MAX  4096
#define VERBOSE_MAX 3

extern char **environ;

static bool spawn(struct submit *s, int to_read, int from_write, unsigned verbose)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *argv[VERBOSE_MAX + 3] = {(char *)s->command, "-r"};
    sigset_t defaults;
    int error;

    for (unsigned i = 0; i < verbose && i < VERBOSE_MAX; i++)
        argv[2 + i] = "-v";
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, to_read, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from_write, STDOUT_FILENO);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    error = posix_spawn(&s->pid, s->command, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    errno = error;
    return error == 0;
}

bool submit_start(struct submit *s, const char *command, unsigned verbose)
{
    int to[2], from[2], error;
    bool ok;

    *s = (struct submit){.command = command, .to = -1, .from = -1};
    if (pipe2(to, O_CLOEXEC) < 0)
        return false;
    if (pipe2(from, O_CLOEXEC) < 0) {
        close(to[0]);
        close(to[1]);
        return false;
    }
    ok = spawn(s, to[0], from[1], verbose);
    error = errno;
    close(to[0]);
    close(from[1]);
    s->to = to[1];
    s->from = from[0];
    if (!ok) {
        close(s->to);
        close(s->from);
    }
    errno = error;
    return ok;
}

bool submit_write(void *s, struct span records)
{
    return file_write_full(((struct submit *)s)->to, records.ptr, records.len);
}

static void read_answer(struct submit *s, struct strbuf *answer)
{
    ssize_t got;

    do {
        strbuf_reserve(answer, ANSWER_MAX);
        got = read(s->from, answer->ptr + answer->len, ANSWER_MAX);
        if (got > 0)
            answer->len += (size_t)got;
        answer->ptr[answer->len] = '\0';
    } while ((got > 0 && answer->len < ANSWER_MAX) || (got < 0 && errno == EINTR));
}

/* "name NUL value NUL ... NUL", one list or more. The last value counts. */
static bool answer_value(struct span answer, const char *name, struct span *value_out)
{
    bool found = false;

    while (answer.ptr && answer.len > 0) {
        struct span key = span_cut(&answer, '\0'), value;

        if (key.len == 0)
            continue; /* end of a list */
        value = span_cut(&answer, '\0');
        if (span_eq_str(key, name)) {
            *value_out = value;
            found = true;
        }
    }
    return found;
}

static void explain(int status, struct span reason, struct strbuf *reason_out)
{
    const char *text = "internal protocol error";

    if (reason.len > 0) {
        strbuf_add_span(reason_out, reason);
        return;
    }
    if (status & CLEANUP_STAT_SIZE)
        text = "message file too big";
    else if (!(status & CLEANUP_STAT_BAD))
        text = "queue file write error";
    strbuf_add_str(reason_out, text);
}

static enum submit_result judge(struct span answer, int wait_status,
                                struct strbuf *reason_out)
{
    struct span status, reason = SPAN_EMPTY, id;
    uint32_t bits;

    if (!answer_value(answer, "queue_id", &id))
        return SUBMIT_NOT_RUN;
    if (!answer_value(answer, "status", &status) || !span_u32(status, &bits)) {
        if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
            return SUBMIT_ABORTED;
        explain(CLEANUP_STAT_WRITE, reason, reason_out);
        return SUBMIT_REFUSED;
    }
    if (bits == CLEANUP_STAT_OK)
        return SUBMIT_OK;
    answer_value(answer, "reason", &reason);
    explain((int)bits, reason, reason_out);
    return SUBMIT_REFUSED;
}

static void warn_end(const struct submit *s, int wait_status)
{
    if (WIFSIGNALED(wait_status))
        msg_warn("command \"%s -r\" killed by signal %d", s->command,
                 WTERMSIG(wait_status));
    else
        msg_warn("command \"%s -r\" exited with status %d", s->command,
                 WEXITSTATUS(wait_status));
}

enum submit_result submit_finish(struct submit *s, struct strbuf *reason_out)
{
    struct strbuf answer = STRBUF_INIT;
    enum submit_result result;
    int wait_status = 0;

    close(s->to);
    read_answer(s, &answer);
    close(s->from);
    while (waitpid(s->pid, &wait_status, 0) < 0 && errno == EINTR)
        ;
    result = judge(strbuf_span(&answer), wait_status, reason_out);
    if (result == SUBMIT_NOT_RUN)
        warn_end(s, wait_status);
    strbuf_free(&answer);
    return result;
}
