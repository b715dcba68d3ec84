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

#define PAYLOAD_LINE     80
#define REPLY_MAX        2048
#define CONNECT_MS       (60 * 1000)
#define CONNECT_WAIT     1000 /* before the next attempt to connect */
#define REPLY_MS         (300 * 1000)
#define MESSAGE_FILE_MAX (512u * 1024 * 1024)

struct source {
    struct net_addr *addrs; /* of the server, to be tried in turn */
    size_t addr_count;
    const char *unix_path;
    const char *sender, *rcpt, *helo, *subject;
    int64_t messages, sessions, rcpts, length, connect_tries;
    int64_t fixed_delay_ms, random_delay_ms;
    bool lmtp, keep_open, bare, tolerant, counter, number_all, verbose;
    struct strbuf head;    /* From: to Date: of each message */
    struct strbuf content; /* the rest of it: dot-stuffed, with the final dot */
    int64_t started, sent;
    int64_t rcpt_number;
    int family;
};

struct session {
    struct source *src;
    struct stream *stream;
    int fd;
};

static void usage(void)
{
    msg_fatal("usage: smtp-source [-46AcdLNov] [-C tries] [-f sender] [-F file] "
              "[-l length] [-m messages] [-M helo] [-r recipients] [-R delay] "
              "[-s sessions] [-S subject] [-t recipient] [-T window] [-w delay] "
              "[inet:]host[:port] | unix:path");
}

/* The steps of a session, as they are told when they fail. */
struct step {
    char class; /* first digit of the reply that is wanted */
    const char *rejected, *lost;
};

static const struct step step_greeting = {'2', "rejected at server banner",
                                          "reading server greeting"};
static const struct step step_helo = {'2', "HELO rejected", "sending HELO"};
static const struct step step_mail = {'2', "sender rejected", "sending sender"};
static const struct step step_rcpt = {'2', "recipient rejected", "sending recipient"};
static const struct step step_data = {'3', "data rejected", "sending DATA command"};
static const struct step step_end = {'2', "end of data rejected", "sending message"};

/* One reply, all its lines; the last one is borrowed from the stream. False: the
 * server is gone. */
static bool read_reply(struct session *s, struct span *line)
{
    do {
        if (stream_read_line(s->stream, REPLY_MAX, line, NULL) != STREAM_OK)
            return false;
        if (s->src->verbose)
            msg_info("<<< %.*s", SPAN_ARG(*line));
    } while (line->len > 3 && line->ptr[3] == '-');
    return true;
}

/* True when the reply has the class that is wanted. Others end the program; with -A
 * they are told and false is returned. */
static bool expect(struct session *s, const struct step *step)
{
    struct span line;
    uint32_t code;
    bool is_code;

    if (!read_reply(s, &line))
        msg_fatal("lost connection while %s", step->lost);
    is_code = span_u32(span_first(line, 3), &code);
    if (is_code && line.ptr[0] == step->class)
        return true;
    if (s->src->tolerant)
        msg_warn("%s: %s%.*s", step->rejected, is_code ? "" : "0 ", SPAN_ARG(line));
    else
        msg_fatal("%s: %s%.*s", step->rejected, is_code ? "" : "0 ", SPAN_ARG(line));
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
        msg_info("%s", sb.ptr);
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
    for (size_t i = 0; i < src->addr_count; i++)
        if (net_connect(&src->addrs[i], NULL, deadline, fd) == NET_CONNECTED)
            return true;
    return false;
}

/* With -A one goes on as if a refusal had not been. */
static void open_session(struct session *s)
{
    struct source *src = s->src;
    int fd = -1;

    for (int64_t tries = 1; !try_connect(s, &fd); tries++) {
        if (tries >= src->connect_tries)
            msg_fatal("connect: %s", strerror(errno));
        fiber_sleep(CONNECT_WAIT);
    }
    s->fd = fd;
    s->stream = stream_new(fd);
    stream_set_timeout(s->stream, REPLY_MS);
    stream_set_bufsize(s->stream, 16384);
    expect(s, &step_greeting);
    if (src->bare)
        return;
    command(s, "%s %s", src->lmtp ? "LHLO" : "HELO", src->helo);
    expect(s, &step_helo);
}

static void close_session(struct session *s)
{
    struct span line;

    if (!s->stream)
        return;
    command(s, "QUIT");
    stream_flush(s->stream);
    if (!read_reply(s, &line))
        msg_fatal("lost connection while %s", step_end.lost);
    stream_free(s->stream);
    s->stream = NULL;
}

/* How many were accepted. Counts down, and the last one has no number, so that one
 * recipient is as it was given. */
static int64_t send_rcpts(struct session *s)
{
    struct source *src = s->src;
    int64_t accepted = 0;

    for (int64_t i = src->rcpts; i >= 1; i--) {
        if (src->number_all)
            command(s, "RCPT TO:<%lld%s>", (long long)++src->rcpt_number, src->rcpt);
        else if (i > 1)
            command(s, "RCPT TO:<%lld%s>", (long long)i, src->rcpt);
        else
            command(s, "RCPT TO:<%s>", src->rcpt);
        accepted += expect(s, &step_rcpt);
    }
    return accepted;
}

static void send_content(struct session *s, int64_t number)
{
    struct source *src = s->src;
    char id[320];

    if (src->head.len > 0) {
        stream_write_span(s->stream, strbuf_span(&src->head));
        snprintf(id, sizeof id, "Message-Id: <%04x.%04x.%04llx@%s>\r\n",
                 (unsigned)getpid(), (unsigned)s->fd, (unsigned long long)number,
                 src->helo);
        stream_write_str(s->stream, id);
    }
    stream_write_span(s->stream, strbuf_span(&src->content));
}

/* False: refused before the content. */
static bool send_envelope(struct session *s, int64_t *accepted)
{
    command(s, "MAIL FROM:<%s>", s->src->sender);
    if (!expect(s, &step_mail))
        return false;
    *accepted = send_rcpts(s);
    if (*accepted == 0)
        return false;
    command(s, "DATA");
    return expect(s, &step_data);
}

static void send_message(struct session *s, int64_t number)
{
    struct source *src = s->src;
    struct span line;
    int64_t accepted;

    if (!send_envelope(s, &accepted)) {
        command(s, "RSET");
        if (!read_reply(s, &line))
            msg_fatal("lost connection while %s", step_mail.lost);
        return;
    }
    send_content(s, number);
    for (int64_t i = 0; i < (src->lmtp ? accepted : 1); i++)
        expect(s, &step_end);
    src->sent++;
    if (src->counter) {
        printf("%lld\r", (long long)src->sent);
        fflush(stdout);
    }
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
        int64_t number = src->messages - ++src->started;

        if (!s.stream)
            open_session(&s);
        send_message(&s, number);
        if (!src->keep_open)
            close_session(&s);
        wait_before_next(src);
    }
    close_session(&s);
    if (--src->sessions == 0)
        loop_stop();
}

static void make_head(struct source *src)
{
    struct strbuf date = STRBUF_INIT;

    time_rfc5322(&date, time_now());
    strbuf_addf(&src->head, "From: <%s>\r\nTo: <%s>\r\nDate: %s\r\n", src->sender,
                src->rcpt, date.ptr);
    strbuf_free(&date);
}

/* length bytes in numbered lines; line ends counted, but for the last one. */
static void add_payload(struct strbuf *sb, int64_t length)
{
    for (int number = 1; length > 0; number++) {
        bool full = length > PAYLOAD_LINE;

        for (int64_t i = 0; i < (full ? PAYLOAD_LINE - 2 : length); i++)
            strbuf_add_char(sb, full && i == 0 ? (char)('0' + number % 10) : 'X');
        strbuf_add_str(sb, "\r\n");
        length -= full ? PAYLOAD_LINE : length;
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
    strbuf_init(&src->head);
    strbuf_init(&src->content);
    if (path) {
        add_file(&src->content, path);
    } else {
        if (!src->bare) {
            make_head(src);
            if (src->subject)
                strbuf_addf(&src->content, "Subject: %s\r\n", src->subject);
            strbuf_add_str(&src->content, "\r\n");
        }
        if (src->length > 0)
            add_payload(&src->content, src->length);
        for (int i = 1; src->length == 0 && i <= 4; i++)
            strbuf_addf(&src->content, "La de da de da %d.\r\n", i);
    }
    strbuf_add_str(&src->content, ".\r\n");
}

static void parse_target(struct source *src, const char *text)
{
    struct span target = span_str(text), host, port;
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
    error = net_name_to_addrs(name, src->family, &src->addrs, &src->addr_count);
    if (error != 0 || src->addr_count == 0)
        msg_fatal("host not found: %s", name);
    for (size_t i = 0; i < src->addr_count; i++)
        net_addr_set_port(&src->addrs[i], number);
    free(name);
}

static int64_t number(const char *text, const char *what)
{
    int64_t value;

    if (!span_i64(span_str(text), &value) || value < 1 || value > INT32_MAX)
        msg_fatal("bad %s: %s", what, text);
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
        src->connect_tries = number(arg, "connection count");
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
        src->length = number(arg, "message length");
        break;
    case 'L':
        src->lmtp = true;
        break;
    case 'm':
        src->messages = number(arg, "message count");
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
        src->rcpts = number(arg, "recipient count");
        break;
    case 'R':
        src->random_delay_ms = number(arg, "random delay") * 1000;
        break;
    case 's':
        src->sessions = number(arg, "session count");
        break;
    case 'S':
        src->subject = arg;
        break;
    case 't':
        src->rcpt = arg;
        break;
    case 'T':
        number(arg, "TCP window size"); /* TCP sizes its windows itself */
        break;
    case 'v':
        src->verbose = true;
        break;
    case 'w':
        src->fixed_delay_ms = number(arg, "fixed delay") * 1000;
        break;
    default:
        usage();
    }
}

int main(int argc, char **argv)
{
    static char hostname[256], default_addr[300];
    static struct source src = {.messages = 1,
                                .sessions = 1,
                                .rcpts = 1,
                                .connect_tries = 1,
                                .helo = hostname,
                                .sender = default_addr,
                                .rcpt = default_addr};
    const char *file = NULL;
    int c;

    msg_init("smtp-source");
    gethostname(hostname, sizeof hostname - 1);
    while ((c = getopt(argc, argv, "+46AcC:df:F:l:Lm:M:Nor:R:s:S:t:T:vw:")) != -1)
        option(&src, c, optarg, &file);
    if (argc - optind != 1)
        usage();
    snprintf(default_addr, sizeof default_addr, "foo@%s", src.helo);
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
    free(src.addrs);
    return 0;
}
