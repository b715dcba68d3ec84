#include "smtp-sink/sink.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/msg.h"
#include "util/net.h"

#define ACCEPTS_A_TICK  64
#define COUNTS_EVERY_MS 100

static void usage(void)
{
    msg_fatal("usage: smtp-sink [-468aAcCeEFLNpPv] [-A abort_delay] [-b soft_reply] "
              "[-B hard_reply] [-d|-D dump_template] [-f|-q|-Q|-r|-s commands] "
              "[-h hostname] [-H delay] [-m max_sessions] [-M messages] [-n count] "
              "[-R directory] [-S text] [-t timeout] [-T window] [-u user] "
              "[-w delay] [-W command:delay[:odds]] "
              "[inet:]host:port | unix:path  backlog");
}

static int64_t number(const char *text, int64_t min)
{
    int64_t value;

    if (!span_i64(span_str(text), &value) || value < min || value > INT32_MAX)
        msg_fatal("bad number: %s", text);
    return value;
}

static const char *reply_of_class(const char *text, char class)
{
    uint32_t code;

    if (text[0] != class || !span_u32(span_first(span_str(text), 3), &code))
        usage();
    return text;
}

static unsigned verbs(const char *list)
{
    struct span rest = span_str(list), word;
    unsigned set = 0;

    while (span_token(&rest, ", \t", &word)) {
        enum sink_verb verb = sink_verb_find(word);

        if (verb == VERB_OTHER)
            msg_fatal("unknown command: %.*s", SPAN_ARG(word));
        set |= 1u << verb;
    }
    return set;
}

/* command:seconds[:odds] */
static void command_delay(struct sink_options *opt, const char *text)
{
    struct span rest = span_str(text);
    enum sink_verb verb = sink_verb_find(span_cut(&rest, ':'));
    struct span seconds = span_cut(&rest, ':');
    uint32_t value, odds = 0;

    if (verb == VERB_OTHER || !span_u32(seconds, &value) || value > 86400 ||
        (rest.ptr && (!span_u32(rest, &odds) || odds > 100)))
        msg_fatal("bad command delay: %s", text);
    opt->delay_ms[verb] = (int64_t)value * 1000;
    opt->delay_odds[verb] = odds;
}

struct start {
    int family;
    const char *user, *root;
};

static void flag_option(struct sink_options *opt, struct start *start, int c)
{
    switch (c) {
    case '4':
        start->family = AF_INET;
        break;
    case '6':
        start->family = AF_INET6;
        break;
    case '8':
        opt->no_8bitmime = true;
        break;
    case 'a':
        opt->no_auth = true;
        break;
    case 'c':
        opt->counters = true;
        break;
    case 'C':
        opt->no_xclient = true;
        break;
    case 'e':
        opt->no_esmtp = true;
        break;
    case 'E':
        opt->no_enhanced = true;
        break;
    case 'F':
        opt->no_xforward = true;
        break;
    case 'L':
        opt->lmtp = true;
        break;
    case 'N':
        opt->no_dsn = true;
        break;
    case 'p':
        opt->no_pipelining = true;
        break;
    case 'P':
        opt->pix = opt->no_esmtp = true;
        break;
    case 'v':
        opt->show_chat = true;
        break;
    default:
        usage();
    }
}

static void value_option(struct sink_options *opt, struct start *start, int c,
                         const char *arg)
{
    switch (c) {
    case 'A':
        opt->abort_data = true;
        opt->abort_data_ms = number(arg, 0) * 1000;
        break;
    case 'b':
        opt->soft_reply = reply_of_class(arg, '4');
        break;
    case 'B':
        opt->hard_reply = reply_of_class(arg, '5');
        break;
    case 'd':
    case 'D':
        opt->dump_template = arg;
        opt->dump_append = c == 'D';
        break;
    case 'f':
        opt->hard |= verbs(arg);
        break;
    case 'h':
        opt->hostname = arg;
        break;
    case 'H':
        opt->read_delay_ms = number(arg, 0) * 1000;
        break;
    case 'm':
        opt->max_sessions = number(arg, 1);
        break;
    case 'M':
        opt->max_messages = number(arg, 1);
        break;
    case 'n':
        opt->quit_sessions = number(arg, 1);
        break;
    case 'q':
        opt->hang_up |= verbs(arg);
        break;
    case 'Q':
        opt->say_421 |= verbs(arg);
        break;
    case 'r':
        opt->soft |= verbs(arg);
        break;
    case 'R':
        start->root = arg;
        break;
    case 's':
        opt->log |= verbs(arg);
        break;
    case 'S':
        opt->dump_header = arg;
        break;
    case 't':
        opt->timeout_ms = number(arg, 1) * 1000;
        break;
    case 'T':
        number(arg, 1); /* TCP sizes its windows itself */
        break;
    case 'u':
        start->user = arg;
        break;
    case 'w':
        opt->delay_ms[VERB_DOT] = number(arg, 0) * 1000;
        break;
    case 'W':
        command_delay(opt, arg);
        break;
    default:
        flag_option(opt, start, c);
    }
}

static void put_counts(struct sink *sink)
{
    printf("sess=%lld quit=%lld mesg=%lld\r", (long long)sink->seen_sessions,
           (long long)sink->seen_quits, (long long)sink->seen_messages);
    fflush(stdout);
}

static void counts_due(void *arg)
{
    struct sink *sink = arg;

    sink->counts_pending = false;
    put_counts(sink);
}

/* Often enough for a person; a write for each event would slow the sink down. */
static void show_counts(struct sink *sink)
{
    if (!sink->opt.counters || sink->counts_pending)
        return;
    sink->counts_pending = true;
    loop_timer_set(&sink->counts_timer, COUNTS_EVERY_MS, counts_due, sink);
}

static void finish(struct sink *sink)
{
    if (sink->opt.counters) {
        put_counts(sink);
        printf("\n");
    }
    loop_stop();
}

void sink_count_message(struct sink *sink)
{
    sink->seen_messages++;
    show_counts(sink);
    if (sink->opt.max_messages && sink->seen_messages >= sink->opt.max_messages)
        finish(sink);
}

static void accept_some(struct evfd *ev, void *arg);

void sink_count_session_end(struct sink *sink)
{
    sink->sessions--;
    sink->seen_quits++;
    show_counts(sink);
    if (sink->opt.quit_sessions && sink->seen_quits >= sink->opt.quit_sessions)
        finish(sink);
    if (!sink->listening) {
        sink->listening = true;
        evfd_watch_listener(&sink->listener, accept_some, sink);
    }
}

struct accepted {
    struct sink *sink;
    int fd;
};

static void session_fiber(void *arg)
{
    struct accepted a = *(struct accepted *)arg;

    free(arg);
    sink_session(a.sink, stream_new(a.fd), a.fd);
}

static void accept_some(struct evfd *ev, void *arg)
{
    struct sink *sink = arg;

    for (int i = 0; i < ACCEPTS_A_TICK; i++) {
        struct accepted *a;
        int fd;

        if (sink->sessions >= sink->opt.max_sessions) {
            evfd_forget(ev);
            sink->listening = false;
            return;
        }
        fd = accept4(ev->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        sink->sessions++;
        sink->seen_sessions++;
        show_counts(sink);
        a = xmalloc(sizeof *a);
        *a = (struct accepted){sink, fd};
        fiber_spawn("session", session_fiber, a);
    }
}

/* One address is listened on: that of IPv4 when there is a choice. */
static struct net_addr address_of_name(struct span host, int family, uint16_t port)
{
    char *name = xstrndup(host.ptr, host.len);
    struct net_addr *list, addr;
    size_t count;

    if (net_name_to_addrs(name, family, &list, &count) != 0 || count == 0)
        msg_fatal("host not found: %s", name);
    addr = list[0];
    for (size_t i = count; i-- > 0;)
        if (list[i].sa.sa_family == AF_INET)
            addr = list[i];
    net_addr_set_port(&addr, port);
    free(list);
    free(name);
    return addr;
}

static int open_listener(const struct start *start, const char *target, int backlog)
{
    struct span text = span_str(target), host, port;
    struct net_addr addr;
    uint16_t number_of_port;
    struct err err = {""};
    int fd = -1;

    if (span_starts(text, SPAN_LIT("unix:"))) {
        fd = net_listen_unix(target + 5, 0666, SOCK_STREAM, &err);
    } else {
        if (span_starts(text, SPAN_LIT("inet:")))
            text = span_skip(text, 5);
        if (!net_split_hostport(text, &host, &port))
            usage();
        if (port.len == 0) {
            port = host;
            host = SPAN_EMPTY;
        }
        if (!net_port_lookup(port, &number_of_port))
            msg_fatal("unknown service: %.*s", SPAN_ARG(port));
        if (host.len == 0)
            host = start->family == AF_INET6 ? SPAN_LIT("::") : SPAN_LIT("0.0.0.0");
        if (!net_addr_parse(host, number_of_port, &addr))
            addr = address_of_name(host, start->family, number_of_port);
        fd = net_listen(&addr, backlog, &err);
    }
    if (fd < 0)
        msg_fatal("%s", err.text);
    return fd;
}

static void drop_privileges(const struct start *start)
{
    const struct passwd *pw = start->user ? getpwnam(start->user) : NULL;

    if (start->user && !pw)
        msg_fatal("unknown user: %s", start->user);
    if (pw && initgroups(pw->pw_name, pw->pw_gid) < 0)
        msg_fatal("initgroups: %s", strerror(errno));
    if (start->root && (chroot(start->root) < 0 || chdir("/") < 0))
        msg_fatal("chroot %s: %s", start->root, strerror(errno));
    if (pw && (setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0))
        msg_fatal("setuid %s: %s", start->user, strerror(errno));
}

int main(int argc, char **argv)
{
    static struct sink sink = {.opt = {.hostname = "smtp-sink",
                                       .soft_reply = "450 4.3.0 Error: command failed",
                                       .hard_reply = "500 5.3.0 Error: command failed",
                                       .timeout_ms = 100 * 1000,
                                       .max_sessions = 256}};
    struct start start = {.family = AF_UNSPEC};
    int c, fd;

    msg_init("smtp-sink");
    while ((c = getopt(argc, argv,
                       "+468aA:b:B:cCd:D:eEf:Fh:H:Lm:M:n:NpPq:Q:r:R:s:S:"
                       "t:T:u:vw:W:")) != -1)
        value_option(&sink.opt, &start, c, optarg);
    if (argc - optind != 2)
        usage();
    srandom((unsigned)getpid());
    loop_init();
    fd = open_listener(&start, argv[optind], (int)number(argv[optind + 1], 1));
    drop_privileges(&start);
    evfd_init(&sink.listener, fd);
    sink.listening = true;
    evfd_watch_listener(&sink.listener, accept_some, &sink);
    loop_run();
    return 0;
}
