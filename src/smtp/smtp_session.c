#include "smtp/smtp.h"

#include <errno.h>
#include <stdlib.h>

#include "util/msg.h"

static char *printf_dup(const char *fmt, ...) PRINTF_LIKE(1, 2);
static char *printf_dup(const char *fmt, ...)
{
    struct strbuf sb = STRBUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&sb, fmt, ap);
    va_end(ap);
    return strbuf_detach(&sb);
}

static struct smtp_session *session_new(struct smtp_agent *agent,
                                        const struct smtp_host *host)
{
    struct smtp_session *s = xcalloc(1, sizeof *s);
    bool local = host->addr.sa.sa_family == AF_UNIX;
    char addr[NET_ADDR_STRLEN];

    s->agent = agent;
    s->host = xstrdup(host->name);
    s->key = xstrdup("");
    net_addr_host(&host->addr, addr);
    s->addr = xstrdup(local ? host->addr.un.sun_path : addr);
    s->namaddr = printf_dup("%s[%s]", host->name, s->addr);
    s->relay = local ? xstrdup(s->namaddr)
                     : printf_dup("%s:%u", s->namaddr, net_addr_port(&host->addr));
    s->expires = loop_deadline(agent->p.reuse_time_limit * 1000);
    return s;
}

static void session_free(struct smtp_session *s)
{
    stream_free(s->stream);
    free(s->host);
    free(s->addr);
    free(s->namaddr);
    free(s->relay);
    free(s->key);
    free(s);
}

/* Also called from timers, so the farewell never waits to be written. */
void smtp_session_quit(struct smtp_session *s)
{
    struct span line;

    if (!s->dead && s->stream) {
        ssize_t sent =
            send(stream_fd(s->stream), "QUIT\r\n", 6, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent == 6 && !s->agent->p.skip_quit_response && fiber_self()) {
            stream_set_timeout(s->stream, s->agent->p.quit_timeout * 1000);
            stream_read_line(s->stream, 2048, &line, NULL);
        }
    }
    session_free(s);
}

static bool connect_failed(struct smtp_delivery *d, struct smtp_session *s,
                           const char *why)
{
    smtp_set_trouble(d, "4.4.1",
                     arena_printf(d->arena, "connect to %s: %s", s->relay, why));
    if (strcmp(s->relay, s->namaddr) != 0) /* not a UNIX socket */
        msg_info("%s", d->trouble.reason);
    d->connect_failed = true;
    s->dead = true;
    return false;
}

static bool bind_addr(const struct smtp_params *p, const struct net_addr *to,
                      struct net_addr *from)
{
    const char *text = to->sa.sa_family == AF_INET    ? p->bind_address
                       : to->sa.sa_family == AF_INET6 ? p->bind_address6
                                                      : "";

    return *text && net_addr_parse(span_str(text), 0, from);
}

static bool open_connection(struct smtp_delivery *d, struct smtp_session *s,
                            const struct smtp_host *host)
{
    const struct smtp_params *p = &s->agent->p;
    struct net_addr from;
    int fd = -1;

    switch (net_connect(&host->addr, bind_addr(p, &host->addr, &from) ? &from : NULL,
                        loop_deadline(p->connect_timeout * 1000), &fd)) {
    case NET_CONNECTED:
        s->stream = stream_new(fd);
        return true;
    case NET_TIMEOUT:
        return connect_failed(d, s, strerror(ETIMEDOUT));
    case NET_CANCELLED:
        return connect_failed(d, s, "delivery was cancelled");
    case NET_FAILED:
        return connect_failed(d, s, strerror(errno));
    }
    return false;
}

static bool connect_host(struct smtp_delivery *d, struct smtp_session *s,
                         const struct smtp_host *host)
{
    if (!open_connection(d, s, host))
        return false;
    d->relay = arena_str(d->arena, s->relay);
    return true;
}

static bool refused(struct smtp_delivery *d, struct smtp_session *s,
                    const struct smtp_reply *reply)
{
    smtp_said(d, s, reply, "initial server greeting", &d->trouble);
    d->trouble.reason = arena_printf(d->arena, "host %s refused to talk to me: %s",
                                     s->namaddr, reply->text);
    return false;
}

static bool read_greeting(struct smtp_delivery *d, struct smtp_session *s)
{
    struct smtp_reply reply;

    if (!smtp_read_reply(d, s, s->agent->p.helo_timeout,
                         "receiving the initial server greeting", &reply))
        return false;
    if (reply.code / 100 == 2) {
        if (strcasestr(reply.text, "ESMTP"))
            s->features |= FEATURE_ESMTP;
        s->helo_only = smtp_pix_disables_esmtp(d, s, reply.text);
        return true;
    }
    refused(d, s, &reply);
    if (reply.code / 100 == 5 && s->agent->p.skip_5xx_greeting)
        d->trouble.status[0] = '4';
    return false;
}

static const struct {
    const char *word;
    unsigned feature;
} keywords[] = {
    {"PIPELINING", FEATURE_PIPELINING},
    {"SIZE", FEATURE_SIZE},
    {"8BITMIME", FEATURE_8BITMIME},
    {"DSN", FEATURE_DSN},
    {"ENHANCEDSTATUSCODES", FEATURE_ENHANCED},
    {"SMTPUTF8", FEATURE_SMTPUTF8},
};

static bool is_discarded(const struct smtp_session *s, struct span word)
{
    const struct config *cfg = s->agent->cfg;
    struct span rest = span_str(s->agent->p.lmtp ? cfg->lmtp_discard_lhlo_keywords
                                                 : cfg->smtp_discard_ehlo_keywords);
    struct span item;

    while (span_token(&rest, ", \t\r\n", &item))
        if (span_ieq(item, word))
            return true;
    return false;
}

/* SIZE without a number, or 0, means that there is no fixed limit (RFC 1870, 4). */
static void note_size(struct smtp_session *s, struct span value)
{
    uint64_t size;

    if (!span_u64(value, &size) || size > INT64_MAX) {
        msg_warn("bad %s SIZE limit \"%.*s\" from %s",
                 s->agent->p.lmtp ? "LHLO" : "EHLO", SPAN_ARG(value), s->relay);
        return;
    }
    s->size_limit = (int64_t)size;
}

static void note_keyword(struct smtp_session *s, struct span line,
                         struct strbuf *dropped)
{
    struct span rest = line, word, value;

    if (!span_token(&rest, " =\t", &word))
        return;
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
        if (!span_ieq_str(word, keywords[i].word))
            continue;
        if (is_discarded(s, word)) {
            strbuf_addf(dropped, " %s", keywords[i].word);
            return;
        }
        s->features |= keywords[i].feature;
    }
    if (span_ieq_str(word, "SIZE") && span_token(&rest, " \t", &value))
        note_size(s, value);
}

/* The joined reply text is "250-host 250-WORD args 250 WORD": a code starts a line. */
static void note_keywords(struct smtp_session *s, const char *text)
{
    struct span rest = span_str(text), word, line = SPAN_EMPTY;
    struct strbuf dropped = STRBUF_INIT;
    bool first = true;

    while (span_token(&rest, " ", &word)) {
        bool starts = word.len >= 3 && span_starts(word, SPAN_LIT("250")) &&
                      (word.len == 3 || word.ptr[3] == '-');

        if (starts) {
            if (!first)
                note_keyword(s, line, &dropped);
            first = line.ptr == NULL;
            line = span_skip(word, word.len > 3 ? 4 : 3);
        } else if (line.ptr) {
            line.len = (size_t)(word.ptr + word.len - line.ptr);
        }
    }
    if (line.ptr && !first)
        note_keyword(s, span_trim(line), &dropped);
    if (dropped.len > 0)
        msg_info("discarding %s keywords:%s", s->agent->p.lmtp ? "LHLO" : "EHLO",
                 dropped.ptr);
    strbuf_free(&dropped);
}

static bool hello(struct smtp_delivery *d, struct smtp_session *s, const char *verb,
                  struct smtp_reply *reply)
{
    const struct smtp_params *p = &s->agent->p;

    stream_printf(s->stream, "%s %s\r\n", verb, p->helo_name);
    return smtp_read_reply(d, s, p->helo_timeout,
                           arena_printf(d->arena, "performing the %s handshake", verb),
                           reply);
}

static bool say_hello(struct smtp_delivery *d, struct smtp_session *s)
{
    const struct smtp_params *p = &s->agent->p;
    struct smtp_reply reply;

    if (p->lmtp || (!s->helo_only && !p->never_ehlo &&
                    (p->always_ehlo || s->features & FEATURE_ESMTP))) {
        if (!hello(d, s, p->lmtp ? "LHLO" : "EHLO", &reply))
            return false;
        if (reply.code / 100 == 2) {
            s->features |= FEATURE_ESMTP;
            note_keywords(s, reply.text);
            return true;
        }
        if (p->lmtp || s->ending)
            return refused(d, s, &reply);
    }
    s->features = 0;
    if (!hello(d, s, "HELO", &reply))
        return false;
    return reply.code / 100 == 2 || refused(d, s, &reply);
}

struct smtp_session *smtp_session_open(struct smtp_delivery *d,
                                       const struct smtp_host *host)
{
    struct smtp_session *s = session_new(d->agent, host);

    d->connect_failed = false;
    d->relay = "none";
    if (connect_host(d, s, host) && read_greeting(d, s) && say_hello(d, s)) {
        d->got_through = true;
        return s;
    }
    smtp_session_quit(s);
    return NULL;
}
