/* A whole SMTP session of hostile bytes, as smtpd serves it in stand-alone mode: no
 * crash; each reply has its form; each message handed on is made of whole records. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "global/rec.h"
#include "smtpd/smtpd.h"
#include "util/msg.h"

#define INPUT_MAX 65536 /* fits into a socket's buffer */

static struct smtpd_service service;
static struct arena *lists_arena; /* found by the leak check */

/* -- in place of smtpd_sink.c: look at the message -- */

struct smtpd_sink {
    struct strbuf records;
};

struct smtpd_sink *smtpd_sink_open(struct smtpd_service *ss, int flags,
                                   const char **why_out)
{
    struct smtpd_sink *sink = xcalloc(1, sizeof *sink);

    (void)ss;
    (void)flags;
    *why_out = NULL;
    strbuf_init(&sink->records);
    return sink;
}

const char *smtpd_sink_id(const struct smtpd_sink *sink)
{
    (void)sink;
    return "FUZZ";
}

struct strbuf *smtpd_sink_records(struct smtpd_sink *sink)
{
    return &sink->records;
}

bool smtpd_sink_send(struct smtpd_sink *sink, bool force)
{
    (void)sink;
    (void)force;
    return true;
}

static void check_line(struct span line)
{
    if (line.len && memchr(line.ptr, '\n', line.len))
        panic("a line record holds a newline");
}

/* Envelope with a sender and a recipient, then lines, then the end. */
static void check_message(struct span input)
{
    bool sender = false, rcpt = false, content = false;
    struct span data;
    int type;

    while ((type = rec_next(&input, &data)) != REC_END) {
        if (type < 0)
            panic("message without end, or broken record");
        sender = sender || type == REC_SENDER;
        rcpt = rcpt || type == REC_RCPT;
        content = content || type == REC_MESSAGE;
        if (type == REC_LINE || type == REC_FILTER_OR_CONT)
            check_line(data);
    }
    if (!sender || !rcpt || !content || input.len)
        panic("message without sender, recipient or content, or with a tail");
}

struct cleanup_result smtpd_sink_commit(struct smtpd_sink *sink, struct arena *arena)
{
    struct cleanup_result result = {CLEANUP_STAT_OK, "", ""};

    (void)arena;
    check_message(strbuf_span(&sink->records));
    smtpd_sink_abort(sink);
    return result;
}

void smtpd_sink_abort(struct smtpd_sink *sink)
{
    if (!sink)
        return;
    strbuf_free(&sink->records);
    free(sink);
}

/* -- the session -- */

static void session_fiber(void *arg)
{
    static const struct net_addr nobody = {.len = 0};
    int *fd = arg;

    smtpd_session_run(&service, stream_new(*fd), &nobody);
    loop_stop();
}

static void check_replies(int fd)
{
    static char text[4 * 1024 * 1024];
    size_t len = 0;
    struct span rest;
    ssize_t got;

    while (len < sizeof text && (got = read(fd, text + len, sizeof text - len)) > 0)
        len += (size_t)got;
    rest = span_of(text, len);
    while (rest.len > 0) {
        struct span line = span_cut(&rest, '\n');

        if (line.len < 5 || !span_all_digits(span_first(line, 3)) ||
            (line.ptr[3] != ' ' && line.ptr[3] != '-') ||
            line.ptr[line.len - 1] != '\r')
            panic("malformed reply: %.*s", SPAN_ARG(line));
    }
}

static void configure(void)
{
    char dir[] = "/tmp/fuzz-smtp-XXXXXX", path[64];
    const struct config_source source = {.dir = dir, .program = "smtpd"};
    struct config *cfg;
    struct err err;
    FILE *f;

    if (!mkdtemp(dir))
        abort();
    snprintf(path, sizeof path, "%s/main.cf", dir);
    f = fopen(path, "w");
    fputs("compatibility_level = 3.6\nmyhostname = mx.fuzz.test\n"
          "smtpd_error_sleep_time = 0\nsmtpd_timeout = 5s\nmessage_size_limit = 40000\n"
          "smtpd_hard_error_limit = 1000\nline_length_limit = 512\n"
          "inet_interfaces = loopback-only\n",
          f);
    fclose(f);
    cfg = config_load(&source, &err);
    if (!cfg)
        panic("%s", err.text);
    unlink(path);
    rmdir(dir);
    lists_arena = arena_new();
    smtpd_configure(&service, cfg, lists_arena);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    msg_init("fuzz");
    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    configure();
    loop_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];

    if (size > INPUT_MAX)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    if (size && write(pair[1], data, size) != (ssize_t)size)
        abort();
    shutdown(pair[1], SHUT_WR);
    fiber_spawn("session", session_fiber, &pair[0]);
    loop_run();
    check_replies(pair[1]);
    close(pair[1]);
    return 0;
}
