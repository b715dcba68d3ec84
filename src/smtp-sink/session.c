#include "smtp-sink/sink.h"

#include <stdlib.h>

#include "util/escape.h"
#include "util/msg.h"

#define LINE_MAX_BYTES 65536

struct session {
    struct sink *sink;
    struct stream *stream;
    struct sink_dump *dump;
    int64_t rcpts; /* accepted in this transaction */
    bool in_mail;
    bool gone;
};

static const char *const verb_names[VERB_COUNT] = {
    [VERB_CONNECT] = "connect", [VERB_HELO] = "helo",         [VERB_EHLO] = "ehlo",
    [VERB_LHLO] = "lhlo",       [VERB_MAIL] = "mail",         [VERB_RCPT] = "rcpt",
    [VERB_DATA] = "data",       [VERB_DOT] = ".",             [VERB_RSET] = "rset",
    [VERB_NOOP] = "noop",       [VERB_VRFY] = "vrfy",         [VERB_QUIT] = "quit",
    [VERB_XCLIENT] = "xclient", [VERB_XFORWARD] = "xforward", [VERB_AUTH] = "auth",
    [VERB_OTHER] = "other",
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
        (opt->delay_odds[verb] &&
         (unsigned)(random() % 100) >= opt->delay_odds[verb]))
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
        replyf(s, "421 %s Server closing connection", opt->no_enhanced ? "" : "4.0.0");
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
    if (s->sink->opt.no_enhanced)
        reply(s, "250 Ok");
    else
        replyf(s, "250 %s Ok", status);
}

static void reset(struct session *s)
{
    s->in_mail = false;
    s->rcpts = 0;
}

static void say_ehlo(struct session *s)
{
    const struct sink_options *opt = &s->sink->opt;

    replyf(s, "250-%s", opt->hostname);
    if (!opt->no_pipelining)
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
    reply(s, "250 SMTPUTF8");
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
        enum stream_status st = stream_read_line(s->stream, LINE_MAX_BYTES, &line, NULL);
        bool start = !continued;

        if (st != STREAM_OK && st != STREAM_TOO_LONG)
            return false;
        continued = st == STREAM_TOO_LONG;
        if (start && line.len > 0 && line.ptr[0] == '.') {
            if (line.len == 1)
                return true;
            line = span_skip(line, 1);
        }
        sink_dump_line(s->dump, line);
    }
}

static void accept_content(struct session *s)
{
    int64_t replies = s->sink->opt.lmtp ? s->rcpts : 1;

    for (int64_t i = 0; i < replies && !s->gone; i++)
        if (!answered_by_options(s, VERB_DOT))
            ok(s, "2.0.0");
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
        s->gone = true;
        return;
    }
    s->dump = sink_dump_open(s->sink);
    if (read_content(s))
        accept_content(s);
    else
        s->gone = true;
    sink_dump_close(s->dump);
    s->dump = NULL;
}

static void run_command(struct session *s, enum sink_verb verb)
{
    const struct sink_options *opt = &s->sink->opt;

    switch (verb) {
    case VERB_HELO:
        replyf(s, "250 %s", opt->hostname);
        reset(s);
        break;
    case VERB_EHLO:
    case VERB_LHLO:
        if (opt->no_esmtp || (verb == VERB_LHLO) != opt->lmtp) {
            reply(s, "500 5.5.1 Error: unknown command");
        } else {
            say_ehlo(s);
            reset(s);
        }
        break;
    case VERB_MAIL:
        s->in_mail = true;
        ok(s, "2.1.0");
        break;
    case VERB_RCPT:
        if (!s->in_mail) {
            reply(s, "503 5.5.1 Error: need MAIL command");
        } else {
            s->rcpts++;
            ok(s, "2.1.5");
        }
        break;
    case VERB_DATA:
        data(s);
        break;
    case VERB_RSET:
        reset(s);
        ok(s, "2.0.0");
        break;
    case VERB_AUTH:
        reply(s, "235 2.7.0 Authentication successful");
        break;
    case VERB_QUIT:
        reply(s, "221 2.0.0 Bye");
        stream_flush(s->stream);
        s->gone = true;
        break;
    case VERB_NOOP:
    case VERB_VRFY:
    case VERB_XCLIENT:
    case VERB_XFORWARD:
        ok(s, "2.0.0");
        break;
    default:
        reply(s, "500 5.5.1 Error: unknown command");
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
        reply(s, "500 5.5.2 Error: bad syntax");
        return;
    }
    verb = sink_verb_find(word);
    if (verb == VERB_CONNECT || verb == VERB_DOT)
        verb = VERB_OTHER;
    if (!answered_by_options(s, verb))
        run_command(s, verb);
}

static void greet(struct session *s)
{
    const struct sink_options *opt = &s->sink->opt;

    if (answered_by_options(s, VERB_CONNECT))
        return;
    if (opt->pix)
        reply(s, "220 ********");
    else
        replyf(s, "220 %s %s", opt->hostname, opt->no_esmtp ? "SMTP" : "ESMTP");
}

void sink_session(struct sink *sink, struct stream *stream)
{
    struct session s = {.sink = sink, .stream = stream};
    struct span line;

    stream_set_timeout(stream, sink->opt.timeout_ms);
    greet(&s);
    while (!s.gone) {
        enum stream_status st = stream_read_line(stream, LINE_MAX_BYTES, &line, NULL);

        if (st != STREAM_OK)
            break;
        command(&s, line);
    }
    stream_free(stream);
    sink_count_session_end(sink);
}
