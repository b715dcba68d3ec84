/* postdrop(1): put one message from standard input into the maildrop queue. Set-gid,
 * run by anybody: nothing that the caller controls is trusted. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/cleanup_client.h"
#include "global/command.h"
#include "global/rec.h"
#include "master/service_log.h"
#include "postdrop/drop_check.h"
#include "postdrop/drop_file.h"
#include "postdrop/drop_sender.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/net.h"
#include "util/timefmt.h"

#define USAGE      "usage: postdrop [-c config_dir] [-rv]"
#define READ_BYTES 65536
#define REC_HEAD   6 /* type and length */

struct drop {
    const struct config *cfg;
    struct drop_file file;
    struct drop_check check;
    struct strbuf in, out;
    long uid;
    int status;         /* enum cleanup_status of a message that is refused */
    const char *reason; /* text to go with it, or "" */
};

/* The signal handler's only way to the file. */
static struct drop_file *file_of_process;

static void on_signal(int signo)
{
    if (file_of_process)
        drop_file_remove(file_of_process);
    signal(signo, SIG_DFL);
    raise(signo);
}

static void remove_on_exit(void)
{
    if (file_of_process)
        drop_file_remove(file_of_process);
}

static void set_signals(bool catch)
{
    static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGXCPU};
    struct sigaction sa = {.sa_handler = catch ? on_signal : SIG_IGN};

    sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(ending); i++)
        sigaction(ending[i], &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
}

/* -- answers: name NUL value NUL ... NUL -- */

static void answer(const char *const *pairs)
{
    struct strbuf text = STRBUF_INIT;

    for (; *pairs; pairs++)
        strbuf_add(&text, *pairs, strlen(*pairs) + 1);
    strbuf_add_char(&text, '\0');
    file_write_full(STDOUT_FILENO, text.ptr, text.len);
    strbuf_free(&text);
}

static int answer_status(int status, const char *reason)
{
    char number[16];
    const char *const pairs[] = {"status", number, "reason", reason, NULL};

    snprintf(number, sizeof number, "%d", status);
    answer(pairs);
    return status ? 1 : 0;
}

/* -- records -- */

static void refuse(struct drop *d, int status, const char *reason)
{
    if (d->status)
        return;
    d->status = status;
    d->reason = reason;
}

static void refuse_error(struct drop *d, int error)
{
    msg_warn("uid=%ld: %s", d->uid, strerror(error));
    refuse(d, error == EFBIG ? CLEANUP_STAT_SIZE : CLEANUP_STAT_WRITE, "");
}

static void write_out(struct drop *d, size_t more_than)
{
    int error;

    if (d->status || d->out.len <= more_than)
        return;
    error = drop_file_write(&d->file, strbuf_span(&d->out));
    if (error)
        refuse_error(d, error);
    strbuf_reset(&d->out);
}

static void keep_record(struct drop *d, int type, struct span data)
{
    const char *reason = "";

    if (type == REC_SENDER && d->check.stage == DROP_ENVELOPE) {
        switch (drop_sender_check(d->cfg, d->cfg->arena, data, &reason)) {
        case DROP_SENDER_OK:
            break;
        case DROP_SENDER_DENIED:
            refuse(d, CLEANUP_STAT_NOPERM, reason);
            break;
        case DROP_SENDER_ERROR:
            refuse(d, CLEANUP_STAT_WRITE, reason);
            break;
        }
    }
    rec_add(&d->out, type, data);
    write_out(d, READ_BYTES);
}

static void take_record(struct drop *d, int type, struct span data)
{
    switch (drop_check_record(&d->check, type, data)) {
    case DROP_KEEP:
        keep_record(d, type, data);
        break;
    case DROP_IGNORE:
        msg_warn("uid=%ld: ignoring attribute record: %.*s", d->uid,
                 SPAN_ARG(span_first(data, 200)));
        break;
    case DROP_NO_EQUALS:
        msg_warn(
            "uid=%ld: ignoring malformed record: missing '=' after attribute name: "
            "%.*s",
            d->uid, SPAN_ARG(span_first(data, 200)));
        break;
    case DROP_UNEXPECTED:
        msg_fatal("uid=%ld: unexpected record type: %d", d->uid, type);
    case DROP_TOO_LONG:
        msg_warn("stdin: illegal length %zu, record type %d", data.len, type);
        msg_fatal("uid=%ld: malformed input", d->uid);
    case DROP_MALFORMED:
        msg_warn("stdin: malformed data, record type %d", type);
        msg_fatal("uid=%ld: malformed input", d->uid);
    }
}

/* All whole records that have come in. */
static void take_records(struct drop *d)
{
    struct span rest = strbuf_span(&d->in), before = rest, data;
    int type;

    while (!d->status && d->check.stage != DROP_END) {
        before = rest;
        type = rec_next(&rest, &data);
        if (type < 0)
            break;
        take_record(d, type, data);
        before = rest;
    }
    /* What is still not whole after this many bytes never will be. */
    if (!d->status && d->check.stage != DROP_END &&
        before.len > d->check.line_limit + REC_HEAD) {
        msg_warn("stdin: illegal length, record type %d", (unsigned char)before.ptr[0]);
        msg_fatal("uid=%ld: malformed input", d->uid);
    }
    strbuf_consume(&d->in, d->in.len - before.len);
}

/* False: the input ended before the message did. */
static bool read_more(struct drop *d)
{
    ssize_t got;

    strbuf_reserve(&d->in, READ_BYTES);
    do {
        got = read(STDIN_FILENO, d->in.ptr + d->in.len, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        msg_fatal("uid=%ld: read error: %s", d->uid, strerror(errno));
    if (got == 0)
        return false;
    d->in.len += (size_t)got;
    d->in.ptr[d->in.len] = '\0';
    return true;
}

/* Nobody may want the rest, but who sends it should get to read the answer. */
static void drain_input(void)
{
    static char waste[READ_BYTES];

    while (read(STDIN_FILENO, waste, sizeof waste) > 0)
        ;
}

/* Without waiting: a pickup that has no time to listen has work to do, and looks again
 * by itself; one that is down finds the message when it starts. */
static void wake_pickup(const struct config *cfg)
{
    struct net_addr addr;
    char path[108];
    int fd;

    snprintf(path, sizeof path, "public/%s", cfg->pickup_service_name);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !net_addr_unix(path, &addr))
        return;
    if (connect(fd, &addr.sa, addr.len) == 0)
        (void)!write(fd, "W", 1);
    else if (errno == ENOENT)
        msg_warn("unable to look up %s: %s", path, strerror(errno));
    close(fd);
}

static int finish_refused(struct drop *d)
{
    drop_file_remove(&d->file);
    drain_input();
    return answer_status(d->status, d->reason);
}

static int finish(struct drop *d)
{
    int error;

    if (!d->status && !drop_check_complete(&d->check))
        refuse(d, CLEANUP_STAT_BAD, "");
    write_out(d, 0);
    if (d->status)
        return finish_refused(d);
    set_signals(false); /* the message is about to become mail */
    error = drop_file_finish(&d->file);
    if (error) {
        refuse_error(d, error);
        return finish_refused(d);
    }
    answer_status(CLEANUP_STAT_OK, "");
    wake_pickup(d->cfg);
    return 0;
}

static int receive(struct drop *d)
{
    const char *const opened[] = {"protocol", "postdrop_protocol", "queue_id",
                                  d->file.id, NULL};
    int64_t now_us = time_now_us();

    answer(opened);
    rec_addf(&d->out, REC_TIME, "%lld %lld", (long long)(now_us / 1000000),
             (long long)(now_us % 1000000));
    while (d->check.stage != DROP_END && !d->status) {
        if (read_more(d)) {
            take_records(d);
            continue;
        }
        if (d->in.len == 0)
            return 0; /* the sender changed its mind */
        msg_warn("stdin: unexpected EOF in data, record type %d",
                 (unsigned char)d->in.ptr[0]);
        msg_fatal("uid=%ld: malformed input", d->uid);
    }
    return finish(d);
}

static void parse_options(int argc, char **argv, struct config_source *source)
{
    int option;

    while ((option = getopt(argc, argv, "+c:rv")) != -1) {
        switch (option) {
        case 'c':
            source->dir = optarg;
            break;
        case 'r':
            break;
        case 'v':
            if (getuid() == 0)
                msg_verbose++;
            break;
        default:
            msg_fatal(USAGE);
        }
    }
}

static const struct config *configure(int argc, char **argv)
{
    struct config_source source = {.program = "postdrop"};
    struct config *cfg;
    struct err err;

    parse_options(argc, argv, &source);
    cfg = config_load(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    command_clean_environment(cfg);
    service_log_open_command(cfg, "postdrop");
    msg_also_stderr(true);
    if (!command_user_allowed(cfg, "authorized_submit_users",
                              cfg->authorized_submit_users, "submit mail", &err))
        msg_fatal("%s", err.text);
    if (chdir(cfg->queue_directory) < 0)
        msg_fatal("chdir %s: %s", cfg->queue_directory, strerror(errno));
    return cfg;
}

int main(int argc, char **argv)
{
    struct drop d = {.file.fd = -1, .uid = (long)getuid(), .reason = ""};
    int error, status;

    if (!command_clean_descriptors())
        return 1;
    umask(077);
    msg_init("postdrop");
    set_signals(true);
    d.cfg = configure(argc, argv);
    d.check.line_limit = (size_t)d.cfg->line_length_limit;
    d.check.attr_limit = (size_t)d.cfg->queue_file_attribute_count_limit;
    strbuf_init(&d.in);
    strbuf_init(&d.out);
    file_of_process = &d.file;
    msg_on_exit(remove_on_exit);
    error = drop_file_create(&d.file, d.cfg);
    if (error)
        msg_fatal("create file in %s/%s: %s", d.cfg->queue_directory, QUEUE_MAILDROP,
                  strerror(error));
    status = receive(&d);
    remove_on_exit();
    strbuf_free(&d.in);
    strbuf_free(&d.out);
    return status;
}
