#include "smtpd/smtpd_drop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/msg.h"
#include "util/stream.h"

#define SEND_BYTES (32 * 1024)
#define ANSWER_MAX 4096
#define TIMEOUT_MS (3600 * 1000)

extern char **environ;

struct smtpd_drop {
    pid_t pid;
    struct stream *to, *from;
    struct strbuf records, answer;
    char id[QUEUE_ID_MAX];
};

static pid_t spawn(const char *command, int to_read, int from_write)
{
    posix_spawn_file_actions_t actions;
    char *argv[] = {(char *)command, "-r", NULL};
    pid_t pid = -1;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to_read, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from_write, STDOUT_FILENO);
    errno = posix_spawn(&pid, command, &actions, NULL, argv, environ);
    if (errno) {
        msg_warn("unable to execute %s: %s", command, strerror(errno));
        pid = -1;
    }
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* False: nothing runs, nothing is left open. */
static bool start(struct smtpd_drop *drop, const char *command)
{
    int to[2], from[2];

    if (pipe2(to, O_CLOEXEC) < 0)
        return false;
    if (pipe2(from, O_CLOEXEC) < 0) {
        close(to[0]);
        close(to[1]);
        return false;
    }
    drop->pid = spawn(command, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    if (drop->pid < 0) {
        close(to[1]);
        close(from[0]);
        return false;
    }
    drop->to = stream_new(to[1]);
    drop->from = stream_new(from[0]);
    stream_set_timeout(drop->to, TIMEOUT_MS);
    stream_set_timeout(drop->from, TIMEOUT_MS);
    return true;
}

/* A list "name NUL value NUL ... NUL" at the start of text: the value of name.
 * *used_out is its length, 0 while it is not complete. */
static struct span list_value(struct span text, const char *name, size_t *used_out)
{
    struct span rest = text, found = SPAN_EMPTY;

    *used_out = 0;
    while (rest.len > 0) {
        struct span key = span_cut(&rest, '\0'), value;

        if (key.len == 0 && rest.ptr) {
            *used_out = (size_t)(rest.ptr - text.ptr);
            return found;
        }
        if (!rest.ptr)
            break;
        value = span_cut(&rest, '\0');
        if (!rest.ptr)
            break;
        if (span_eq_str(key, name))
            found = value;
    }
    return SPAN_EMPTY;
}

/* The next list that postdrop prints; false: it ended, or talks nonsense. */
static bool read_list(struct smtpd_drop *drop, size_t *used_out)
{
    for (;;) {
        struct span data;

        list_value(strbuf_span(&drop->answer), "", used_out);
        if (*used_out)
            return true;
        if (drop->answer.len > ANSWER_MAX ||
            stream_read_some(drop->from, ANSWER_MAX, &data) != STREAM_OK)
            return false;
        strbuf_add_span(&drop->answer, data);
    }
}

static bool read_id(struct smtpd_drop *drop)
{
    struct span id;
    size_t used;

    if (!read_list(drop, &used))
        return false;
    id = list_value(strbuf_span(&drop->answer), "queue_id", &used);
    if (!queue_id_valid(id) || id.len >= sizeof drop->id)
        return false;
    memcpy(drop->id, id.ptr, id.len);
    drop->id[id.len] = '\0';
    strbuf_consume(&drop->answer, used);
    return true;
}

static void finish(struct smtpd_drop *drop)
{
    int status;

    stream_free(drop->to);
    stream_free(drop->from);
    while (waitpid(drop->pid, &status, 0) < 0 && errno == EINTR)
        ;
    strbuf_free(&drop->records);
    strbuf_free(&drop->answer);
    free(drop);
}

struct smtpd_drop *smtpd_drop_open(const struct config *cfg, const char **why_out)
{
    struct smtpd_drop *drop = xcalloc(1, sizeof *drop);
    struct strbuf command = STRBUF_INIT;
    bool started;

    strbuf_init(&drop->records);
    strbuf_init(&drop->answer);
    strbuf_addf(&command, "%s/postdrop", cfg->command_directory);
    started = start(drop, command.ptr);
    strbuf_free(&command);
    if (!started) {
        *why_out = "cannot run postdrop";
        free(drop);
        return NULL;
    }
    if (read_id(drop))
        return drop;
    *why_out = "postdrop does not accept mail";
    finish(drop);
    return NULL;
}

const char *smtpd_drop_id(const struct smtpd_drop *drop)
{
    return drop->id;
}

struct strbuf *smtpd_drop_records(struct smtpd_drop *drop)
{
    return &drop->records;
}

bool smtpd_drop_send(struct smtpd_drop *drop, bool force)
{
    if (drop->records.len < SEND_BYTES && !force)
        return true;
    stream_write_span(drop->to, strbuf_span(&drop->records));
    strbuf_reset(&drop->records);
    return stream_flush(drop->to) == STREAM_OK;
}

struct cleanup_result smtpd_drop_commit(struct smtpd_drop *drop, struct arena *arena)
{
    struct cleanup_result result = {CLEANUP_STAT_WRITE, "", ""};
    struct span status, reason;
    uint32_t bits;
    size_t used;

    smtpd_drop_send(drop, true);
    if (read_list(drop, &used)) {
        status = list_value(strbuf_span(&drop->answer), "status", &used);
        reason = list_value(strbuf_span(&drop->answer), "reason", &used);
        result.status = span_u32(status, &bits) ? (int)bits : CLEANUP_STAT_BAD;
        result.reason = arena_span_str(arena, reason);
    }
    finish(drop);
    return result;
}

/* It must not see the end of a message: closing its input would tell it that the
 * sender changed its mind, but only between two records. */
void smtpd_drop_abort(struct smtpd_drop *drop)
{
    kill(drop->pid, SIGTERM);
    finish(drop);
}
