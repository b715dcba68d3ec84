#include <stdarg.h>
#include <stdlib.h>

#include "global/addr.h"
#include "smtpd/smtpd_policy.h"
#include "util/escape.h"

static const char *const class_names[] = {
    [SMTPD_CLASS_CLIENT] = "Client host",     [SMTPD_CLASS_HELO] = "Helo command",
    [SMTPD_CLASS_SENDER] = "Sender address",  [SMTPD_CLASS_RCPT] = "Recipient address",
    [SMTPD_CLASS_DATA] = "Data command",      [SMTPD_CLASS_EOD] = "End-of-data",
    [SMTPD_CLASS_ETRN] = "Etrn command",
};

const char *smtpd_refusal_prefix(struct smtpd_eval *ev, enum smtpd_class class,
                                 const char *what)
{
    struct strbuf sb = STRBUF_INIT;
    const char *text;

    strbuf_add_char(&sb, '<');
    escape_printable(&sb, span_str(what), '?', false);
    text = arena_printf(ev->s->scratch, "%s>: %s rejected: ", sb.ptr,
                        class_names[class]);
    strbuf_free(&sb);
    return text;
}

enum smtpd_verdict smtpd_refuse(struct smtpd_eval *ev, enum smtpd_class class, int code,
                                const char *dsn, const char *text)
{
    struct smtpd_session *s = ev->s;
    struct event_context ctx = smtpd_context(s, ev->recipient);
    const char *reply;

    (void)class;
    if (s->cfg->soft_bounce && code >= 500)
        code -= 100;
    reply = arena_printf(s->scratch, "%d %d%s %s", code, code / 100, dsn + 1, text);
    event_policy(s->trans.queue_id, ev->warn_only ? "reject_warning" : "reject",
                 ev->where, s->client.namaddr, reply, &ctx);
    if (ev->warn_only)
        return SMTPD_DUNNO;
    ev->reply = reply;
    return SMTPD_REJECT;
}

enum smtpd_verdict smtpd_refusef(struct smtpd_eval *ev, enum smtpd_class class, int code,
                                 const char *dsn, const char *fmt, ...)
{
    struct strbuf sb = STRBUF_INIT;
    enum smtpd_verdict verdict;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&sb, fmt, ap);
    va_end(ap);
    verdict = smtpd_refuse(ev, class, code, dsn, sb.ptr);
    strbuf_free(&sb);
    return verdict;
}

enum smtpd_verdict smtpd_server_error(struct smtpd_eval *ev)
{
    return smtpd_refuse(ev, SMTPD_CLASS_CLIENT, 451, "4.3.5",
                        "Server configuration error");
}
