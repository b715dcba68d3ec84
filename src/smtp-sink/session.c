#include "smtp-sink/sink.h"

#include <stdlib.h>

#include "util/escape.h"
#include "util/msg.h"

#define LINE_MAX_BYTES 65536

struct session {
    struct sink *sink;
    struct stream *stream;
    struct sink_dump *dump;
    struct sink_envelope env;
    int64_t rcpts; /* accepted in this transaction */
    bool in_mail;
    bool gone;
};

static const char *const verb_names[VERB_COUNT] = {
    [VERB_CONNECT] = "connect", [VERB_HELO] = "helo",
    [VERB_EHLO] = "ehlo",       [VERB_LHLO] = "lhlo",
    [VERB_MAIL] = "mail",       [VERB_RCPT] = "rcpt",
    [VERB_DATA] = "data",       [VERB_DOT] = ".",
    [VERB_RSET] = "rset",       [VERB_NOOP] = "noop",
    [VERB_VRFY] = "vrfy",       [VERB_QUIT] = "quit",
    [VERB_XCLIENT] = "xclient", [VERB_XFORWARD] = "xforward",
    [VERB_AUTH] = "auth",       [VERB_OTHER] = "other",
};

const char *sink_verb_name(enum sink_verb verb)
{
    return verb_names[verb];
}

enum sink_verb sink_verb_find(struct span name)
{
    for (int v = 0; v < VERB_OTHER; v++)
        if (span_ieq_str(name, verb_names[v]))
            return (enum sink_verb)v;
    return VERB_OTHER;
}

static void reply(struct session *s, const char *text)
{
    if (s->sink->opt.show_chat)
        msg_info("> %s", text);
    stream_write_str(s->stream, text);
    stream_write(s->stream, "\r\n", 2);
}

static void replyf(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void replyf(struct session *s, const char *fmt, ...)
{
    struct strbuf sb = STRBUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&sb, fmt, ap);
    va_end(ap);
    reply(s, sb.ptr);
    strbuf_free(&sb);
}

static bool has(unsigned set, enum sink_verb verb)
{
    return set & (1u << verb);
}

static void delay(struct session *s, enum sink_verb verb)
{
    const struct sink_options *opt = &s->sink->opt;

    if (opt->delay_ms[verb] <= 0 ||
        (opt->delay_odds[verb] && (unsigned)(random() % 100) >= opt->delay_odds[verb]))
        return;
    stream_flush(s->stream);
    if (fiber_sleep(opt->delay_ms[verb]) == WAIT_CANCELLED)
        s->gone = true;
}

/* What the options say about a command; true when that was the answer. */
static bool answered_by_options(struct session *s, enum sink_verb verb)
{
    const struct sink_options *opt = &s->sink->opt;

    delay(s, verb);
    if (has(opt->log, verb))
        msg_info("%s", sink_verb_name(verb));
    if (has(opt->hang_up, verb)) {
        s->gone = true;
    } else if (has(opt->say_421, verb)) {
        reply(s, "421 4.0.0 Server closing connection");
        stream_flush(s->stream);
        s->gone = true;
    } else if (has(opt->hard, verb)) {
        reply(s, opt->hard_reply);
    } else if (has(opt->soft, verb)) {
        reply(s, opt->soft_reply);
    } else {
        return false;
    }
    return true;
}

static void ok(struct session *s, const char *status)
{
    replyf(s, "250 %s Ok", status);
}

static void unknown(struct session *s)
{
    reply(s, "500 5.5.1 Error: unknown command");
}

static void reset(struct session *s)
{
    s->in_mail = false;
    s->rcpts = 0;
    strbuf_reset(&s->env.mail);
    strbuf_reset(&s->env.rcpts);
}

/* Commands that are answered in an odd way would confuse a pipelining client. */
static bool offers_pipelining(const struct sink_options *opt)
{
    return !opt->no_pipelining && !(opt->hard | opt->soft);
}

static void say_ehlo(struct session *s)
{
    const struct sink_options *opt = &s->sink->opt;

    replyf(s, "250-%s", opt->hostname);
    if (offers_pipelining(opt))
        reply(s, "250-PIPELINING");
    if (!opt->no_8bitmime)
        reply(s, "250-8BITMIME");
    if (!opt->no_auth)
        reply(s, "250-AUTH PLAIN LOGIN");
    if (!opt->no_xclient)
        reply(s, "250-XCLIENT NAME HELO");
    if (!opt->no_xforward)
        reply(s, "250-XFORWARD NAME ADDR PROTO HELO");
    if (!opt->no_enhanced)
        reply(s, "250-ENHANCEDSTATUSCODES");
    if (!opt->no_dsn)
        reply(s, "250-DSN");
    reply(s, "250 ");
}

/* Until the lone dot. False: the client went away. */
static bool read_content(struct session *s)
{
    const struct sink_options *opt = &s->sink->opt;
    bool continued = false;
    struct span line;

    if (opt->read_delay_ms > 0)
        fiber_sleep(opt->read_delay_ms);
    for (;;) {
        enum stream_status st =
            stream_read_line(s->stream, LINE_MAX_BYTES, &line, NULL);
        bool start = !continued;

        if (st != STREAM_OK && st != STREAM_TOO_LONG)
            return false;
        continued = st == STREAM_TOO_LONG;
        if (start && line.len > 0 && line.ptr[0] == '.') {
            if (line.len == 1)
                return true;
            line = span_skip(line, 1);
        }
        sink_dump_line(s->dump, line, !continued);
    }
}

static void accept_content(struct session *s)
{
    int64_t replies = s->sink->opt.lmtp ? s->rcpts : 1;

    for (int64_t i = 0; i < replies && !s->gone; i++)
        if (!answered_by_options(s, VERB_DOT))
            ok(s, s->sink->opt.lmtp ? "2.2.0" : "2.0.0");
    sink_count_message(s->sink);
    reset(s);
}

static void data(struct session *s)
{
    if (s->rcpts == 0) {
        reply(s, "503 5.5.1 Error: need RCPT command");
        return;
    }
    reply(s, "354 End data with <CR><LF>.<CR><LF>");
    if (s->sink->opt.abort_data) {
        stream_flush(s->stream);
        fiber_sleep(s->sink->opt.abort_data_ms);
        reply(s, "550 This violates SMTP");
        stream_flush(s->stream);
        s->gone = true;
        return;
    }
    s->dump = sink_dump_open(s->sink, &s->env);
    if (read_content(s))
        accept_content(s);
    else
        s->gone = true;
    sink_dump_close(s->dump);
    s->dump = NULL;
}

static void hello(struct session *s, enum sink_verb verb, struct span args)
{
    const struct sink_options *opt = &s->sink->opt;

    if ((verb == VERB_LHLO) != opt->lmtp || (verb == VERB_EHLO && opt->no_esmtp)) {
        unknown(s);
        return;
    }
    if (verb == VERB_HELO)
        replyf(s, "250 %s", opt->hostname);
    else
        say_ehlo(s);
    reset(s);
    s->env.proto = verb == VERB_HELO ? "SMTP" : verb == VERB_EHLO ? "ESMTP" : "LMTP";
    strbuf_reset(&s->env.helo);
    escape_printable(&s->env.helo, args, '?', true);
}

/* What follows "FROM:" or "TO:". */
static struct span path_args(struct span args)
{
    struct span rest = args;

    span_cut(&rest, ':');
    return rest.ptr ? span_trim(rest) : args;
}

static void mail(struct session *s, struct span args)
{
    if (s->in_mail) {
        reply(s, "503 5.5.1 Error: nested MAIL command");
        return;
    }
    s->in_mail = true;
    strbuf_add_span(&s->env.mail, path_args(args));
    ok(s, "2.1.0");
}

static void rcpt(struct session *s, struct span args)
{
    if (!s->in_mail) {
        reply(s, "503 5.5.1 Error: need MAIL command");
        return;
    }
    s->rcpts++;
    if (s->sink->opt.dump_template) {
        strbuf_add_span(&s->env.rcpts, path_args(args));
        strbuf_add_char(&s->env.rcpts, '\n');
    }
    ok(s, "2.1.5");
}

static void quit(struct session *s)
{
    reply(s, "221 Bye");
    stream_flush(s->stream);
    s->gone = true;
}

static void run_command(struct session *s, enum sink_verb verb, struct span args)
{
    const struct sink_options *opt = &s->sink->opt;

    switch (verb) {
    case VERB_HELO:
    case VERB_EHLO:
    case VERB_LHLO:
        hello(s, verb, args);
        break;
    case VERB_MAIL:
        mail(s, args);
        break;
    case VERB_RCPT:
        rcpt(s, args);
        break;
    case VERB_DATA:
        data(s);
        break;
    case VERB_RSET:
        reset(s);
        ok(s, "2.1.0");
        break;
    case VERB_QUIT:
        quit(s);
        break;
    case VERB_NOOP:
    case VERB_VRFY:
    case VERB_AUTH:
    case VERB_DOT:
        ok(s, "2.0.0");
        break;
    case VERB_XCLIENT:
    case VERB_XFORWARD:
        if (verb == VERB_XCLIENT ? opt->no_xclient : opt->no_xforward)
            unknown(s);
        else
            ok(s, "2.0.0");
        break;
    default:
        unknown(s);
    }
}

static void command(struct session *s, struct span line)
{
    struct span rest = line, word = SPAN_EMPTY;
    enum sink_verb verb;

    if (s->sink->opt.show_chat) {
        struct strbuf sb = STRBUF_INIT;

        escape_printable(&sb, line, '?', true);
        msg_info("< %s", sb.ptr);
        strbuf_free(&sb);
    }
    if (!span_token(&rest, " \t", &word)) {
        reply(s, "500 5.5.2 Error: unknown command");
        return;
    }
    verb = sink_verb_find(word);
    if (verb == VERB_CONNECT)
        verb = VERB_OTHER;
    if (!answered_by_options(s, verb))
        run_command(s, verb, span_trim(rest));
}

static void greet(struct session *s)
{
    const struct sink_options *opt = &s->sink->opt;

    if (answered_by_options(s, VERB_CONNECT))
        return;
    if (opt->pix)
        reply(s, "220 ********");
    else
        replyf(s, "220 %s%s", opt->hostname, opt->no_esmtp ? "" : " ESMTP");
}

/* Nobody for a UNIX socket. */
static void name_client(struct session *s, int fd)
{
    struct net_addr addr = {.len = sizeof addr.ss};

    if (getpeername(fd, &addr.sa, &addr.len) == 0 && addr.sa.sa_family != AF_UNIX)
        net_addr_host(&addr, s->env.client);
}

void sink_session(struct sink *sink, struct stream *stream, int fd)
{
    struct session s = {.sink = sink, .stream = stream, .env = {.proto = "SMTP"}};
    struct span line;

    strbuf_init(&s.env.helo);
    strbuf_init(&s.env.mail);
    strbuf_init(&s.env.rcpts);
    name_client(&s, fd);
    stream_set_timeout(stream, sink->opt.timeout_ms);
    greet(&s);
    while (!s.gone) {
        enum stream_status st = stream_read_line(stream, LINE_MAX_BYTES, &line, NULL);

        if (st != STREAM_OK)
            break;
        command(&s, line);
    }
    stream_free(stream);
    strbuf_free(&s.env.helo);
    strbuf_free(&s.env.mail);
    strbuf_free(&s.env.rcpts);
    sink_count_session_end(sink);
}
