#include "util/msg.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "util/strbuf.h"
#include "util/timefmt.h"

#define TEXT_MAX    2000  /* longer texts are cut */
#define BATCH_MAX   16384 /* flushed from here on */
#define SEND_COUNT  64    /* syslog datagrams a system call */
#define WAIT_MS     1000  /* for a log service with a full queue */
#define SYSLOG_PATH "/dev/log"

int msg_verbose;

/* The process has one log; this is its state. batch holds complete lines, each
 * ended by a newline, as the sink wants them. */
static struct msg_log {
    char ident[128];
    char host[64];
    enum msg_sink_type type;
    char target[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int facility;
    int fd;       /* -1: none */
    bool stalled; /* the last wait for room was in vain: do not wait again */
    bool batching;
    bool also_stderr;
    bool exiting;
    int fatal_status;
    void (*on_exit)(void);
    bool (*filter)(void *arg, enum msg_level level, struct span text);
    void *filter_arg;
    pid_t pid; /* to whom the batch belongs */
    time_t stamp_time;
    struct strbuf batch, stamp, line;
} msg_log = {
    .type = MSG_SINK_STDERR,
    .fd = -1,
    .fatal_status = 1,
    .batch = STRBUF_INIT,
    .stamp = STRBUF_INIT,
    .line = STRBUF_INIT,
};

static const struct level_row {
    const char *tag;
    int severity;
} levels[] = {
    [MSG_INFO] = {"", LOG_INFO},         [MSG_WARN] = {"warning: ", LOG_WARNING},
    [MSG_ERROR] = {"error: ", LOG_ERR},  [MSG_FATAL] = {"fatal: ", LOG_CRIT},
    [MSG_PANIC] = {"panic: ", LOG_CRIT},
};

static const struct facility_row {
    const char *name;
    int facility;
} facilities[] = {
    {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
    {"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"kern", LOG_KERN},
    {"lpr", LOG_LPR},       {"mail", LOG_MAIL},         {"news", LOG_NEWS},
    {"security", LOG_AUTH}, {"syslog", LOG_SYSLOG},     {"user", LOG_USER},
    {"uucp", LOG_UUCP},     {"local0", LOG_LOCAL0},     {"local1", LOG_LOCAL1},
    {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},     {"local4", LOG_LOCAL4},
    {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},     {"local7", LOG_LOCAL7},
};

static const char *program_name(void)
{
    const char *slash = strrchr(msg_log.ident, '/');

    return slash ? slash + 1 : msg_log.ident[0] ? msg_log.ident : "unknown";
}

/* -- sinks -- */

static bool write_full(int fd, struct span data)
{
    while (data.len > 0) {
        ssize_t count = write(fd, data.ptr, data.len);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        data = span_skip(data, (size_t)count);
    }
    return true;
}

/* Where lines go that the sink did not take; no second time when standard error
 * has a copy of each line anyway. */
static void fall_back(struct span lines)
{
    if (msg_log.also_stderr)
        return;
    while (lines.len > 0) {
        struct span line = span_first(lines, (size_t)span_chr(lines, '\n') + 1);

        lines = span_skip(lines, line.len);
        if (line.ptr[0] == '<')
            line = span_skip(line, (size_t)span_chr(line, '>') + 1);
        write_full(STDERR_FILENO, line);
    }
}

static void close_sink(void)
{
    if (msg_log.fd >= 0)
        close(msg_log.fd);
    msg_log.fd = -1;
    msg_log.stalled = false;
}

static bool connect_sink(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    close_sink();
    msg_log.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (msg_log.fd < 0)
        return false;
    strncpy(addr.sun_path, path, sizeof addr.sun_path - 1);
    if (connect(msg_log.fd, (struct sockaddr *)&addr, sizeof addr) == 0)
        return true;
    close_sink();
    return false;
}

static bool open_sink(void)
{
    switch (msg_log.type) {
    case MSG_SINK_SYSLOG:
        return connect_sink(SYSLOG_PATH);
    case MSG_SINK_POSTLOG:
        return connect_sink(msg_log.target);
    case MSG_SINK_FILE:
        /* Opening /dev/stdout anew fails when it is a socket or somebody else's. */
        close_sink();
        if (strcmp(msg_log.target, "/dev/stdout") == 0)
            msg_log.fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        else
            msg_log.fd =
                open(msg_log.target,
                     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
        return msg_log.fd >= 0;
    case MSG_SINK_STDERR:
        break;
    }
    return true;
}

static int64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Room in the queue of the log service is soon taken by another process, and signals
 * (of ended children) cut waits short: so the wait goes on until the deadline, which
 * the first call sets. */
static bool wait_for_room(int64_t *deadline)
{
    struct pollfd pfd = {.fd = msg_log.fd, .events = POLLOUT};
    int64_t now = clock_ms();

    if (msg_log.stalled)
        return false;
    if (*deadline == 0)
        *deadline = now + WAIT_MS;
    if (now < *deadline) {
        poll(&pfd, 1, (int)(*deadline - now));
        return true;
    }
    msg_log.stalled = true;
    return false;
}

/* Send some of count datagrams. Returns how many, 0 when the log service cannot be
 * reached: it took nothing for a while, or connecting anew, tried once, failed. */
static size_t send_some(struct mmsghdr *vec, size_t count)
{
    int64_t deadline = 0;
    bool connected = false;

    for (;;) {
        int sent = msg_log.fd < 0 ? -1
                                  : sendmmsg(msg_log.fd, vec, (unsigned)count,
                                             MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            msg_log.stalled = false;
            return (size_t)sent;
        }
        if (msg_log.fd >= 0 && errno == EINTR)
            continue;
        if (msg_log.fd >= 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            if (!wait_for_room(&deadline))
                return 0;
            continue;
        }
        if (connected || !open_sink())
            return 0;
        connected = true;
    }
}

static void flush_postlog(struct span lines)
{
    struct iovec iov = {(void *)lines.ptr, lines.len};
    struct mmsghdr vec = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};

    if (send_some(&vec, 1) == 0)
        fall_back(lines);
}

static void flush_syslog(struct span lines)
{
    struct iovec iov[SEND_COUNT];
    struct mmsghdr vec[SEND_COUNT];

    while (lines.len > 0) {
        struct span rest = lines;
        size_t count = 0, sent;

        memset(vec, 0, sizeof vec);
        for (; count < SEND_COUNT && rest.len > 0; count++) {
            struct span line = span_cut(&rest, '\n');

            iov[count] = (struct iovec){(void *)line.ptr, line.len};
            vec[count].msg_hdr.msg_iov = &iov[count];
            vec[count].msg_hdr.msg_iovlen = 1;
        }
        sent = send_some(vec, count);
        if (sent == 0) {
            fall_back(lines);
            return;
        }
        for (; sent > 0; sent--)
            span_cut(&lines, '\n');
    }
}

static void flush_file(struct span lines)
{
    if ((msg_log.fd < 0 && !open_sink()) || !write_full(msg_log.fd, lines))
        fall_back(lines);
}

void msg_flush(void)
{
    struct span lines = strbuf_span(&msg_log.batch);
    int saved_errno = errno;

    if (lines.len > 0) {
        if (msg_log.type == MSG_SINK_SYSLOG)
            flush_syslog(lines);
        else if (msg_log.type == MSG_SINK_POSTLOG)
            flush_postlog(lines);
        else
            flush_file(lines);
    }
    strbuf_reset(&msg_log.batch);
    errno = saved_errno;
}

/* -- lines -- */

static size_t plain_ascii(struct span s)
{
    size_t len = 0;

    while (len < s.len && s.ptr[len] >= 32 && s.ptr[len] < 127)
        len++;
    return len;
}

/* Cut to TEXT_MAX, between UTF-8 characters; '?' for control characters, so that
 * one line stays one line, and for what is not UTF-8. */
static void add_text(struct strbuf *sb, struct span text)
{
    size_t room = TEXT_MAX;

    while (text.len > 0 && room > 0) {
        struct span part = span_first(text, plain_ascii(text));

        if (part.len == 0)
            part = span_first(text, span_utf8_char(text));
        else
            part = span_first(part, room);
        if (part.len > room)
            return;
        if (part.len > 1 || (part.len == 1 && plain_ascii(part)))
            strbuf_add_span(sb, part);
        else
            strbuf_add_char(sb, '?');
        if (part.len == 0)
            part.len = 1;
        room -= part.len;
        text = span_skip(text, part.len);
    }
}

static void write_stderr(enum msg_level level, struct span text)
{
    struct strbuf *sb = &msg_log.line;

    strbuf_reset(sb);
    strbuf_addf(sb, "%s: %s", program_name(), levels[level].tag);
    add_text(sb, text);
    strbuf_add_char(sb, '\n');
    write_full(STDERR_FILENO, strbuf_span(sb));
}

static void add_stamp(struct strbuf *sb)
{
    time_t now = time(NULL);

    if (msg_log.stamp.len == 0 || now != msg_log.stamp_time) {
        strbuf_reset(&msg_log.stamp);
        time_syslog(&msg_log.stamp, now);
        msg_log.stamp_time = now;
    }
    strbuf_add_span(sb, strbuf_span(&msg_log.stamp));
}

/* After fork() the parent's lines are still the parent's to write. */
static void after_fork(void)
{
    strbuf_reset(&msg_log.batch);
    msg_log.pid = 0;
}

static void know_pid(void)
{
    static bool watching;

    if (!watching)
        pthread_atfork(NULL, NULL, after_fork);
    watching = true;
    if (msg_log.pid == 0)
        msg_log.pid = getpid();
}

static void add_line(enum msg_level level, struct span text)
{
    struct strbuf *sb = &msg_log.batch;

    know_pid();
    if (msg_log.type == MSG_SINK_SYSLOG)
        strbuf_addf(sb, "<%d>", msg_log.facility | levels[level].severity);
    add_stamp(sb);
    if (msg_log.type != MSG_SINK_SYSLOG)
        strbuf_addf(sb, " %s", msg_log.host);
    strbuf_addf(sb, " %s[%ld]: %s", msg_log.ident[0] ? msg_log.ident : "unknown",
                (long)msg_log.pid, levels[level].tag);
    add_text(sb, text);
    strbuf_add_char(sb, '\n');
}

void msg_line(enum msg_level level, struct span text)
{
    int saved_errno = errno;

    if (msg_log.filter && level < MSG_FATAL &&
        !msg_log.filter(msg_log.filter_arg, level, text))
        return;
    if (msg_log.type == MSG_SINK_STDERR || msg_log.also_stderr)
        write_stderr(level, text);
    if (msg_log.type != MSG_SINK_STDERR) {
        add_line(level, text);
        if (!msg_log.batching || msg_log.batch.len >= BATCH_MAX)
            msg_flush();
    }
    errno = saved_errno;
}

static void msg_format(enum msg_level level, const char *fmt, va_list ap)
{
    char text[TEXT_MAX + 8];
    int len = vsnprintf(text, sizeof text, fmt, ap);

    if (len < 0)
        len = 0;
    msg_line(level, span_first(span_of(text, (size_t)len), sizeof text - 1));
}

void msg_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    msg_format(MSG_INFO, fmt, ap);
    va_end(ap);
}

void msg_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    msg_format(MSG_WARN, fmt, ap);
    va_end(ap);
}

void msg_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    msg_format(MSG_ERROR, fmt, ap);
    va_end(ap);
}

static void before_exit(void)
{
    void (*fn)(void) = msg_log.on_exit;

    msg_log.on_exit = NULL;
    msg_log.batching = false;
    msg_flush();
    if (fn)
        fn();
}

_Noreturn void msg_fatal(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    msg_format(MSG_FATAL, fmt, ap);
    va_end(ap);
    before_exit();
    /* exit() twice, from a hook or an atexit function, is undefined. */
    if (msg_log.exiting)
        _exit(msg_log.fatal_status);
    msg_log.exiting = true;
    exit(msg_log.fatal_status);
}

_Noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    msg_format(MSG_PANIC, fmt, ap);
    va_end(ap);
    before_exit();
    abort();
}

/* -- set-up -- */

void msg_set_filter(bool (*fn)(void *arg, enum msg_level level, struct span text),
                    void *arg)
{
    msg_log.filter = fn;
    msg_log.filter_arg = arg;
}

void msg_set_host(const char *name)
{
    struct utsname system;

    if (!name) {
        if (uname(&system) < 0)
            strcpy(system.nodename, "localhost");
        name = system.nodename;
    }
    snprintf(msg_log.host, sizeof msg_log.host, "%.*s", (int)strcspn(name, "."), name);
}

void msg_init(const char *ident)
{
    snprintf(msg_log.ident, sizeof msg_log.ident, "%s", ident);
    if (!msg_log.host[0])
        msg_set_host(NULL);
    /* While the time zone files can still be read. */
    tzset();
}

const char *msg_ident(void)
{
    return msg_log.ident;
}

static int facility_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(facilities); i++)
        if (span_ieq_str(span_str(name), facilities[i].name))
            return facilities[i].facility;
    return -1;
}

void msg_set_sink(enum msg_sink_type type, const char *target)
{
    msg_flush();
    close_sink();
    if (!msg_log.host[0])
        msg_set_host(NULL);
    msg_log.type = type;
    snprintf(msg_log.target, sizeof msg_log.target, "%s", target ? target : "");
    if (type == MSG_SINK_SYSLOG) {
        int facility = facility_find(msg_log.target);

        msg_log.facility = facility < 0 ? LOG_MAIL : facility;
        if (facility < 0)
            msg_warn("unknown syslog facility \"%s\", using \"mail\"", msg_log.target);
    }
    /* Now, because later may be inside a chroot. */
    open_sink();
}

void msg_also_stderr(bool on)
{
    msg_log.also_stderr = on;
}

void msg_set_batching(bool on)
{
    if (!on)
        msg_flush();
    msg_log.batching = on;
}

void msg_on_exit(void (*fn)(void))
{
    msg_log.on_exit = fn;
}

void msg_set_fatal_status(int status)
{
    msg_log.fatal_status = status;
}
