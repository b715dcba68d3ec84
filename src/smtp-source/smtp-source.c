/* smtp-source: an SMTP or LMTP load generator. A fiber a session; sessions share one
 * count of messages to send. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/arena.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/net.h"
#include "util/stream.h"
#include "util/timefmt.h"

#define REPLY_MAX    2048
#define CONNECT_MS   (60 * 1000)
#define CONNECT_WAIT 1000 /* before the next attempt to connect */
#define REPLY_MS     (300 * 1000)
#define MESSAGE_FILE_MAX (512u * 1024 * 1024)

struct source {
    struct net_addr addr;
    const char *unix_path;
    const char *sender, *rcpt, *helo, *subject;
    int64_t messages, sessions, rcpts, length, connect_tries;
    int64_t fixed_delay_ms, random_delay_ms;
    bool lmtp, keep_open, bare, tolerant, counter, number_all, verbose;
    struct strbuf content;  /* of each message: dot-stuffed, with the final dot */
    int64_t started, sent;
    int64_t rcpt_number;
    int family;
    int exit_status;
};

struct session {
    struct source *src;
    struct stream *stream;
};

static void usage(void)
{
    msg_fatal("usage: smtp-source [-46AcdLNov] [-C tries] [-f sender] [-F file] "
              "[-l length] [-m messages] [-M helo] [-r recipients] [-R delay] "
              "[-s sessions] [-S subject] [-t recipient] [-T window] [-w delay] "
              "[inet:]host[:port] | unix:path");
}

/* One reply, all its lines; the code, or -1 when the server is gone. */
static int read_reply(struct session *s)
{
    struct span line;
    uint32_t code;

    do {
        if (stream_read_line(s->stream, REPLY_MAX, &line, NULL) != STREAM_OK)
            return -1;
        if (s->src->verbose)
            msg_info("< %.*s", SPAN_ARG(line));
    } while (line.len > 3 && line.ptr[3] == '-');
    return span_u32(span_first(line, 3), &code) ? (int)code : -1;
}

/* True when the reply has the class that is wanted. Others end the program, or with
 * -A the transaction. */
static bool expect(struct session *s, char class, const char *doing)
{
    int code = read_reply(s);

    if (code / 100 == class - '0')
        return true;
    if (code < 0) {
        msg_warn("lost connection while %s", doing);
        s->src->exit_status = 1;
        return false;
    }
    if (!s->src->tolerant)
        msg_fatal("%s: unexpected reply %d", doing, code);
    return false;
}

static void command(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void command(struct session *s, const char *fmt, ...)
{
    struct strbuf sb = STRBUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&sb, fmt, ap);
    va_end(ap);
    if (s->src->verbose)
        msg_info("> %s", sb.ptr);
    strbuf_add_str(&sb, "\r\n");
    stream_write_span(s->stream, strbuf_span(&sb));
    strbuf_free(&sb);
}

static bool try_connect(struct session *s, int *fd)
{
    const struct source *src = s->src;
    int64_t deadline = loop_deadline(CONNECT_MS);

    if (src->unix_path)
        return net_connect_unix(src->unix_path, deadline, fd) == NET_CONNECTED;
    return net_connect(&src->addr, NULL, deadline, fd) == NET_CONNECTED;
}

static bool open_session(struct session *s)
{
    struct source *src = s->src;
    int fd = -1;

    for (int64_t tries = 1; !try_connect(s, &fd); tries++) {
        if (tries >= src->connect_tries)
            msg_fatal("connect: %s", strerror(errno));
        fiber_sleep(CONNECT_WAIT);
    }
    s->stream = stream_new(fd);
    stream_set_timeout(s->stream, REPLY_MS);
    stream_set_bufsize(s->stream, 16384);
    if (!expect(s, '2', "receiving the greeting"))
        return false;
    if (src->bare && !src->lmtp)
        return true;
    command(s, "%s %s", src->lmtp ? "LHLO" : "HELO", src->helo);
    return expect(s, '2', "sending HELO");
}

static void close_session(struct session *s)
{
    if (!s->stream)
        return;
    if (stream_write_status(s->stream) == STREAM_OK) {
        command(s, "QUIT");
        stream_flush(s->stream);
        read_reply(s);
    }
    stream_free(s->stream);
    s->stream = NULL;
}

static bool send_rcpts(struct session *s)
{
    struct source *src = s->src;

    for (int64_t i = 1; i <= src->rcpts; i++) {
        if (src->number_all)
            command(s, "RCPT TO:<%lld%s>", (long long)++src->rcpt_number, src->rcpt);
        else if (src->rcpts > 1)
            command(s, "RCPT TO:<%lld%s>", (long long)i, src->rcpt);
        else
            command(s, "RCPT TO:<%s>", src->rcpt);
        if (!expect(s, '2', "sending RCPT TO"))
            return false;
    }
    return true;
}

static bool send_message(struct session *s)
{
    struct source *src = s->src;
    int64_t replies = src->lmtp ? src->rcpts : 1;

    command(s, "MAIL FROM:<%s>", src->sender);
    if (!expect(s, '2', "sending MAIL FROM") || !send_rcpts(s))
        return false;
    command(s, "DATA");
    if (!expect(s, '3', "sending DATA"))
        return false;
    stream_write_span(s->stream, strbuf_span(&src->content));
    for (int64_t i = 0; i < replies; i++)
        if (!expect(s, '2', "sending the message"))
            return false;
    src->sent++;
    if (src->counter) {
        printf("%lld\r", (long long)src->sent);
        fflush(stdout);
    }
    return true;
}

static void wait_before_next(const struct source *src)
{
    int64_t delay = src->fixed_delay_ms;

    if (src->random_delay_ms > 0)
        delay += random() % src->random_delay_ms;
    if (delay > 0)
        fiber_sleep(delay);
}

static void session_fiber(void *arg)
{
    struct session s = {.src = arg};
    struct source *src = s.src;

    while (src->started < src->messages) {
        src->started++;
        if (!s.stream && !open_session(&s)) {
            close_session(&s);
            continue;
        }
        if (!send_message(&s) || !src->keep_open)
            close_session(&s);
        wait_before_next(src);
    }
    close_session(&s);
    if (--src->sessions == 0)
        loop_stop();
}

static void add_headers(struct source *src, struct strbuf *sb)
{
    struct strbuf date = STRBUF_INIT;

    time_rfc5322(&date, time_now());
    strbuf_addf(sb, "From: <%s>\r\nTo: <%s>\r\nDate: %s\r\n", src->sender, src->rcpt,
                date.ptr);
    strbuf_addf(sb, "Message-Id: <%llx.%x@%s>\r\n", (unsigned long long)time_now_us(),
                (unsigned)getpid(), src->helo);
    if (src->subject)
        strbuf_addf(sb, "Subject: %s\r\n", src->subject);
    strbuf_add_str(sb, "\r\n");
    strbuf_free(&date);
}

/* length bytes in lines of 80, as the payload that is asked for. */
static void add_payload(struct strbuf *sb, int64_t length)
{
    while (length > 0) {
        int64_t line = length > 80 ? 78 : length > 2 ? length - 2 : 0;

        for (int64_t i = 0; i < line; i++)
            strbuf_add_char(sb, 'X');
        strbuf_add_str(sb, "\r\n");
        length -= line + 2;
    }
}

static void add_file(struct strbuf *sb, const char *path)
{
    struct strbuf text = STRBUF_INIT;
    struct span rest;
    struct err err;

    if (!file_read_all(path, MESSAGE_FILE_MAX, &text, &err))
        msg_fatal("%s", err.text);
    rest = strbuf_span(&text);
    while (rest.len > 0) {
        struct span line = span_cut(&rest, '\n');

        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len > 0 && line.ptr[0] == '.')
            strbuf_add_char(sb, '.');
        strbuf_add_span(sb, line);
        strbuf_add_str(sb, "\r\n");
    }
    strbuf_free(&text);
}

static void make_content(struct source *src, const char *path)
{
    strbuf_init(&src->content);
    if (path) {
        add_file(&src->content, path);
    } else {
        if (!src->bare)
            add_headers(src, &src->content);
        if (src->length > 0)
            add_payload(&src->content, src->length);
        else
            strbuf_add_str(&src->content, "A test message.\r\n");
    }
    strbuf_add_str(&src->content, ".\r\n");
}

static void parse_target(struct source *src, const char *text)
{
    struct span target = span_str(text), host, port;
    struct net_addr *list;
    size_t count;
    uint16_t number;
    int error;

    if (span_starts(target, SPAN_LIT("unix:"))) {
        src->unix_path = text + 5;
        return;
    }
    if (span_starts(target, SPAN_LIT("inet:")))
        target = span_skip(target, 5);
    if (!net_split_hostport(target, &host, &port) || host.len == 0)
        usage();
    if (!net_port_lookup(port.len ? port : SPAN_LIT("smtp"), &number))
        msg_fatal("unknown service: %.*s", SPAN_ARG(port));
    char *name = xstrndup(host.ptr, host.len);
    error = net_name_to_addrs(name, src->family, &list, &count);
    if (error != 0 || count == 0)
        msg_fatal("host not found: %s", name);
    src->addr = list[0];
    net_addr_set_port(&src->addr, number);
    free(list);
    free(name);
}

static int64_t number(const char *text, int64_t min)
{
    int64_t value;

    if (!span_i64(span_str(text), &value) || value < min || value > INT32_MAX)
        msg_fatal("bad number: %s", text);
    return value;
}

static void option(struct source *src, int c, const char *arg, const char **file)
{
    switch (c) {
    case '4':
        src->family = AF_INET;
        break;
    case '6':
        src->family = AF_INET6;
        break;
    case 'A':
        src->tolerant = true;
        break;
    case 'c':
        src->counter = true;
        break;
    case 'C':
        src->connect_tries = number(arg, 1);
        break;
    case 'd':
        src->keep_open = true;
        break;
    case 'f':
        src->sender = arg;
        break;
    case 'F':
        *file = arg;
        break;
    case 'l':
        src->length = number(arg, 1);
        break;
    case 'L':
        src->lmtp = true;
        break;
    case 'm':
        src->messages = number(arg, 1);
        break;
    case 'M':
        src->helo = arg;
        break;
    case 'N':
        src->number_all = true;
        break;
    case 'o':
        src->bare = true;
        break;
    case 'r':
        src->rcpts = number(arg, 1);
        break;
    case 'R':
        src->random_delay_ms = number(arg, 0) * 1000;
        break;
    case 's':
        src->sessions = number(arg, 1);
        break;
    case 'S':
        src->subject = arg;
        break;
    case 't':
        src->rcpt = arg;
        break;
    case 'T':
        number(arg, 1); /* TCP sizes its windows itself */
        break;
    case 'v':
        src->verbose = true;
        break;
    case 'w':
        src->fixed_delay_ms = number(arg, 0) * 1000;
        break;
    default:
        usage();
    }
}

int main(int argc, char **argv)
{
    static char hostname[256], default_addr[300];
    static struct source src = {.messages = 1, .sessions = 1, .rcpts = 1,
                                .connect_tries = 1, .helo = hostname,
                                .sender = default_addr, .rcpt = default_addr};
    const char *file = NULL;
    int c;

    msg_init("smtp-source");
    gethostname(hostname, sizeof hostname - 1);
    snprintf(default_addr, sizeof default_addr, "foo@%s", hostname);
    while ((c = getopt(argc, argv, "46AcC:df:F:l:Lm:M:Nor:R:s:S:t:T:vw:")) != -1)
        option(&src, c, optarg, &file);
    if (argc - optind != 1)
        usage();
    srandom((unsigned)getpid());
    parse_target(&src, argv[optind]);
    make_content(&src, file);
    if (src.sessions > src.messages)
        src.sessions = src.messages;
    loop_init();
    for (int64_t i = src.sessions; i > 0; i--)
        fiber_spawn("session", session_fiber, &src);
    loop_run();
    if (src.counter)
        printf("\n");
    return src.exit_status;
}
