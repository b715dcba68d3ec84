/* Writes the log lines of all programs to maillog_file or standard output. Lines
 * arrive complete (time, host, program) in datagrams, several in one; what arrives
 * in one tick is written at once. The file is opened before privileges are dropped:
 * a new file (logrotate) means a new process, which "postfix reload" brings. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/service.h"
#include "master/service_log.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/timefmt.h"

#define BUFFER_MAX (1024 * 1024) /* written early from here on */

struct postlogd {
    int fd;
    const char *path;
    struct strbuf lines;
    struct loop_task flush;
    size_t lost; /* datagrams, since the file could last be written */
};

static mode_t file_mode(const struct config *cfg)
{
    static const char *const allowed[] = {"0600", "0640", "0644"};

    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        struct span text = span_str(cfg->maillog_file_permissions);

        if (span_eq_str(text, allowed[i]) || span_eq_str(text, allowed[i] + 1))
            return (mode_t)strtol(allowed[i], NULL, 8);
    }
    msg_fatal("parameter maillog_file_permissions: \"%s\" is none of 0600, 0640, 0644",
              cfg->maillog_file_permissions);
}

static int open_log(const struct config *cfg)
{
    mode_t old_mask;
    struct err err;
    int fd;

    if (strcmp(cfg->maillog_file, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    old_mask = umask(0);
    fd = file_open_safe(cfg->maillog_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                        file_mode(cfg), (uid_t)-1, (gid_t)-1, NULL, &err);
    umask(old_mask);
    if (fd < 0)
        msg_fatal("%s", err.text);
    return fd;
}

/* Its own messages cannot go through itself. */
static void use_other_log(const struct config *cfg)
{
    if (strcmp(cfg->maillog_file, "/dev/stdout") == 0)
        msg_set_sink(MSG_SINK_FILE, cfg->maillog_file);
    else
        msg_set_sink(MSG_SINK_SYSLOG, cfg->syslog_facility);
}

static void pre_jail(struct service *svc)
{
    const struct config *cfg = svc->cfg;
    struct postlogd *state = xcalloc(1, sizeof *state);

    use_other_log(cfg);
    if (!cfg->maillog_file[0]) {
        msg_warn("maillog_file is empty: log lines go to syslog");
        state->fd = -1;
    } else if (!service_log_file_allowed(cfg)) {
        msg_fatal(
            "maillog_file \"%s\" is not below one of maillog_file_prefixes \"%s\"",
            cfg->maillog_file, cfg->maillog_file_prefixes);
    } else {
        state->fd = open_log(cfg);
    }
    state->path = cfg->maillog_file;
    strbuf_init(&state->lines);
    svc->data = state;
}

static void note_losses(struct postlogd *state, const char *reason)
{
    if (state->lost++ == 0)
        msg_error("write %s: %s -- log lines are lost", state->path, reason);
}

static void to_syslog(const struct strbuf *lines)
{
    struct span rest = strbuf_span(lines);

    while (rest.len > 0)
        msg_line(MSG_INFO, span_cut(&rest, '\n'));
}

static void flush_lines(void *arg)
{
    struct postlogd *state = arg;

    if (state->lines.len == 0)
        return;
    if (state->fd < 0) {
        to_syslog(&state->lines);
    } else if (!file_write_full(state->fd, state->lines.ptr, state->lines.len)) {
        note_losses(state, strerror(errno));
    } else if (state->lost > 0) {
        msg_error("%s can be written again; %zu batches of lines were lost",
                  state->path, state->lost);
        state->lost = 0;
    }
    strbuf_reset(&state->lines);
}

/* A line stays one line on a terminal, whoever sent it. */
static void add_lines(struct strbuf *sb, struct span data)
{
    for (size_t i = 0; i < data.len; i++) {
        unsigned char c = (unsigned char)data.ptr[i];

        strbuf_add_char(sb, (c < 32 && c != '\n') || c == 127 ? '?' : (char)c);
    }
    if (data.len > 0 && data.ptr[data.len - 1] != '\n')
        strbuf_add_char(sb, '\n');
}

static void datagram(struct service *svc, struct span data)
{
    struct postlogd *state = svc->data;

    add_lines(&state->lines, data);
    if (state->lines.len >= BUFFER_MAX)
        flush_lines(state);
    else
        loop_defer(&state->flush, flush_lines, state);
}

static void on_exit_flush(struct service *svc)
{
    flush_lines(svc->data);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "postlogd",
        .pre_jail = pre_jail,
        .datagram = datagram,
        .on_exit = on_exit_flush,
        .solitary = true,
        .no_chroot = true,
    };

    return service_main(argc, argv, &ops);
}
