#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "util/msg.h"

#define ALT_STACK_SIZE (64 * 1024)
#define LINE_MAX_LEN   512

/* Everything that a signal handler needs, prepared in advance: it must not
 * allocate, format with stdio, or look anything up. */
static struct crash_state {
    int fd; /* connected log socket, or standard error */
    bool is_syslog;
    char ident[160];  /* "host postfix/smtpd" or, for syslog, "postfix/smtpd" */
    long zone_offset; /* seconds east of UTC */
} crash = {.fd = STDERR_FILENO};

struct line {
    char text[LINE_MAX_LEN];
    size_t len;
};

static void add_text(struct line *line, const char *text)
{
    while (*text && line->len < sizeof line->text - 1)
        line->text[line->len++] = *text++;
}

static void add_number(struct line *line, unsigned long value, int width)
{
    char digits[24];
    int count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (int i = count; i < width; i++)
        add_text(line, "0");
    while (count > 0) {
        char one[2] = {digits[--count], '\0'};

        add_text(line, one);
    }
}

/* localtime() is not for signal handlers: days to month and day by arithmetic on a
 * year that starts in March. */
static void add_stamp(struct line *line)
{
    static const char months[12][5] = {"Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ",
                                       "Sep ", "Oct ", "Nov ", "Dec ", "Jan ", "Feb "};
    long now = (long)time(NULL) + crash.zone_offset;
    long days = now / 86400, second = now % 86400;
    long era_day = (days + 719468) % 146097;
    long year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    long year_day = era_day - (365 * year + year / 4 - year / 100);
    long month = (5 * year_day + 2) / 153;
    long day = year_day - (153 * month + 2) / 5 + 1;

    add_text(line, months[month]);
    if (day < 10)
        add_text(line, " ");
    add_number(line, (unsigned long)day, 0);
    add_text(line, " ");
    add_number(line, (unsigned long)(second / 3600), 2);
    add_text(line, ":");
    add_number(line, (unsigned long)(second / 60 % 60), 2);
    add_text(line, ":");
    add_number(line, (unsigned long)(second % 60), 2);
    add_text(line, " ");
}

static const char *session_note(void)
{
    struct service_frame *frame = frame_of_process();
    struct fiber *self = fiber_self();

    if (!frame || !self)
        return NULL;
    list_each(link, &frame->sessions)
    {
        struct service_session *session =
            list_entry(link, struct service_session, link);

        if (session->fiber == self)
            return session->note[0] ? session->note : NULL;
    }
    return NULL;
}

void crash_say(const char *what)
{
    struct line line = {.len = 0};
    const char *note = session_note();
    ssize_t unused;

    if (crash.is_syslog) {
        add_text(&line, "<");
        add_number(&line, LOG_MAIL | LOG_CRIT, 0);
        add_text(&line, ">");
    }
    add_stamp(&line);
    add_text(&line, crash.ident);
    add_text(&line, "[");
    add_number(&line, (unsigned long)getpid(), 0);
    add_text(&line, "]: ");
    add_text(&line, what);
    if (note) {
        add_text(&line, " (session: ");
        add_text(&line, note);
        add_text(&line, ")");
    }
    if (!crash.is_syslog)
        add_text(&line, "\n");
    unused = write(crash.fd, line.text, line.len);
    (void)unused;
}

static const char *signal_text(int signo)
{
    switch (signo) {
    case SIGSEGV:
        return "panic: invalid memory access, or stack exhausted";
    case SIGBUS:
        return "panic: bus error";
    case SIGFPE:
        return "panic: arithmetic error";
    case SIGILL:
        return "panic: illegal instruction";
    }
    return "panic: aborted";
}

static void on_crash(int signo)
{
    crash_say(signal_text(signo));
    raise(signo); /* the handler is reset: this ends the process, with a core */
}

static UNUSED void install_handlers(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash,
                               .sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER};
    /* A fiber that ran out of its stack cannot run a handler on it. */
    stack_t stack = {.ss_sp = xmalloc(ALT_STACK_SIZE), .ss_size = ALT_STACK_SIZE};

    if (sigaltstack(&stack, NULL) < 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &action, NULL);
}

/* A socket of its own, connected while the log can still be reached: the message
 * module's descriptor may be in the middle of a change when the crash comes. */
static void open_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return;
    strncpy(addr.sun_path, path, sizeof addr.sun_path - 1);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
        crash.fd = fd;
    else
        close(fd);
}

void crash_init(struct service_frame *frame)
{
    const struct config *cfg = frame->svc.cfg;
    time_t now = time(NULL);
    struct tm tm;
    char host[64] = "localhost";

    crash.is_syslog = !cfg->maillog_file[0];
    if (crash.is_syslog) {
        snprintf(crash.ident, sizeof crash.ident, "%s", msg_ident());
        open_socket("/dev/log");
    } else {
        gethostname(host, sizeof host - 1);
        host[strcspn(host, ".")] = '\0';
        snprintf(crash.ident, sizeof crash.ident, "%s %s", host, msg_ident());
        open_socket(
            arena_printf(frame->svc.arena, "public/%s", cfg->postlog_service_name));
    }
    crash.is_syslog = crash.is_syslog && crash.fd != STDERR_FILENO;
    if (localtime_r(&now, &tm))
        crash.zone_offset = tm.tm_gmtoff;
#if !defined(__SANITIZE_ADDRESS__)
    install_handlers(); /* the sanitizer's own report is better */
#endif
}
