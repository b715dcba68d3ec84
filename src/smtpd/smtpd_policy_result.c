#include <stdarg.h>
#include <stdlib.h>

#include "smtpd/smtpd_policy.h"
#include "util/escape.h"
#include "util/msg.h"

static const char *const class_names[] = {
    [SMTPD_CLASS_CLIENT] = "Client host",    [SMTPD_CLASS_HELO] = "Helo command",
    [SMTPD_CLASS_SENDER] = "Sender address", [SMTPD_CLASS_RCPT] = "Recipient address",
    [SMTPD_CLASS_DATA] = "Data command",     [SMTPD_CLASS_EOD] = "End-of-data",
    [SMTPD_CLASS_ETRN] = "Etrn command",
};

const char *smtpd_class_name(enum smtpd_class class)
{
    return class_names[class];
}

/* RFC 3463, X.1.N: some details are about senders, some about recipients. */
static char fitting_detail(enum smtpd_class class, char detail)
{
    static const char for_sender[] = "0787707780", for_recipient[] = "0123456320";

    if (!ascii_digit(detail))
        return '0';
    return (class == SMTPD_CLASS_SENDER ? for_sender : for_recipient)[detail - '0'];
}

/* The status as it fits the reply code and the subject. */
static void fit_status(enum smtpd_class class, int code, const char *dsn,
                       char out[DSN_STATUS_LEN])
{
    bool is_address = class == SMTPD_CLASS_SENDER || class == SMTPD_CLASS_RCPT;

    if (!dsn_status_parse(span_str(dsn), out))
        memcpy(out, "5.7.1", sizeof "5.7.1");
    out[0] = (char)('0' + code / 100);
    if (strncmp(out + 1, ".1.", 3) != 0 || strlen(out) != 5)
        return;
    char given = out[4];
    if (is_address)
        out[4] = fitting_detail(class, given);
    else
        memcpy(out + 1, ".0.0", sizeof ".0.0");
    if (is_address ? out[4] != given : true)
        msg_info("mapping DSN status %c.1.%c into %s status %s", out[0], given,
                 class_names[class], out);
}

static const char *with_prefix(struct smtpd_eval *ev, enum smtpd_class class,
                               const char *what, const char *text)
{
    struct strbuf sb = STRBUF_INIT;
    const char *full;

    strbuf_add_char(&sb, '<');
    escape_printable(&sb, span_str(what), '?', true);
    strbuf_addf(&sb, ">: %s rejected: ", class_names[class]);
    escape_printable(&sb, span_str(text), '?', true);
    full = arena_str(ev->s->scratch, sb.ptr);
    strbuf_free(&sb);
    return full;
}

static enum smtpd_verdict refuse(struct smtpd_eval *ev, const char *reply)
{
    struct smtpd_session *s = ev->s;
    struct event_context ctx = smtpd_context(s, ev->recipient);

    event_policy(s->trans.queue_id, ev->warn_only ? "reject_warning" : "reject",
                 ev->where, s->client.namaddr, reply, &ctx);
    if (ev->warn_only)
        return SMTPD_DUNNO;
    ev->reply = reply;
    return SMTPD_REJECT;
}

static enum smtpd_verdict refuse_or_defer(struct smtpd_eval *ev, int code,
                                          const char *status, const char *text)
{
    bool soften = code >= 500 && ev->s->cfg->soft_bounce;

    if (code >= 500 && ev->if_reject && !ev->warn_only)
        return refuse(ev, ev->if_permit ? ev->if_permit : ev->if_reject);
    return refuse(ev,
                  arena_printf(ev->s->scratch, "%d %c%s %s", soften ? code - 100 : code,
                               soften ? '4' : status[0], status + 1, text));
}

enum smtpd_verdict smtpd_refuse_about(struct smtpd_eval *ev, enum smtpd_class class,
                                      const char *what, int code, const char *dsn,
                                      const char *text)
{
    char status[DSN_STATUS_LEN];

    fit_status(class, code, dsn, status);
    return refuse_or_defer(ev, code, status, with_prefix(ev, class, what, text));
}

enum smtpd_verdict smtpd_refuse(struct smtpd_eval *ev, int code, const char *dsn,
                                const char *text)
{
    return smtpd_refuse_about(ev, ev->class, ev->what, code, dsn, text);
}

enum smtpd_verdict smtpd_refuse_plain(struct smtpd_eval *ev, int code, const char *dsn,
                                      const char *text)
{
    struct strbuf sb = STRBUF_INIT;
    enum smtpd_verdict verdict;
    char status[DSN_STATUS_LEN];

    if (!dsn_status_parse(span_str(dsn), status))
        panic("smtpd_refuse_plain: bad status %s", dsn);
    status[0] = (char)('0' + code / 100);
    escape_printable(&sb, span_str(text), '?', true);
    verdict = refuse_or_defer(ev, code, status, sb.ptr);
    strbuf_free(&sb);
    return verdict;
}

static enum smtpd_verdict defer_if(struct smtpd_eval *ev, const char **slot, int code,
                                   const char *dsn, const char *text)
{
    char status[DSN_STATUS_LEN];
    const char *reply;

    if (*slot)
        return SMTPD_DUNNO;
    fit_status(ev->class, code, dsn, status);
    reply = arena_printf(ev->s->scratch, "%d %s %s", code, status,
                         with_prefix(ev, ev->class, ev->what, text));
    if (ev->warn_only)
        return refuse(ev, reply);
    *slot = reply;
    return SMTPD_DUNNO;
}

enum smtpd_verdict smtpd_defer_if_permit(struct smtpd_eval *ev, int code,
                                         const char *dsn, const char *text)
{
    return defer_if(ev, &ev->if_permit, code, dsn, text);
}

enum smtpd_verdict smtpd_defer_if_reject(struct smtpd_eval *ev, int code,
                                         const char *dsn, const char *text)
{
    return defer_if(ev, &ev->if_reject, code, dsn, text);
}

enum smtpd_verdict smtpd_refuse_deferred(struct smtpd_eval *ev)
{
    return refuse(ev, ev->if_permit);
}

enum smtpd_verdict smtpd_server_error(struct smtpd_eval *ev)
{
    return smtpd_refuse_plain(ev, 451, "4.3.5", "Server configuration error");
}

void smtpd_note(struct smtpd_eval *ev, const char *verb, const char *text)
{
    struct smtpd_session *s = ev->s;
    struct event_context ctx = smtpd_context(s, ev->recipient);

    event_policy(s->trans.queue_id, verb, ev->where, s->client.namaddr, text, &ctx);
}
