#include "smtpd/smtpd_policy.h"
#include "util/escape.h"

/* A new greeting ends the transaction (RFC 5321 section 4.1.4). */
static bool greet(struct smtpd_session *s, struct span args, const char *syntax,
                  const char *protocol)
{
    struct span name;
    const char *refusal;
    struct strbuf clean = STRBUF_INIT;

    if (!span_token(&args, " \t", &name)) {
        smtpd_error(s, syntax);
        return false;
    }
    smtpd_transaction_reset(s);
    escape_printable(&clean, name, '?', false);
    s->helo = arena_span_str(s->arena, strbuf_span(&clean));
    strbuf_free(&clean);
    s->protocol = protocol;
    refusal = smtpd_policy_helo(s);
    if (refusal)
        smtpd_error(s, refusal);
    return !refusal;
}

void smtpd_cmd_helo(struct smtpd_session *s, struct span args)
{
    if (!greet(s, args, "501 Syntax: HELO hostname", "SMTP"))
        return;
    s->pipelining = false;
    smtpd_replyf(s, "250 %s", s->cfg->myhostname);
}

static void add_line(struct smtpd_session *s, const char *text)
{
    stream_write_str(s->stream, "250-");
    stream_write_str(s->stream, text);
    stream_write_str(s->stream, "\r\n");
}

void smtpd_cmd_ehlo(struct smtpd_session *s, struct span args)
{
    if (!greet(s, args, "501 Syntax: EHLO hostname", "ESMTP"))
        return;
    s->pipelining = true;
    add_line(s, s->cfg->myhostname);
    add_line(s, "PIPELINING");
    stream_printf(s->stream, "250-SIZE %lld\r\n", (long long)s->cfg->message_size_limit);
    add_line(s, "ENHANCEDSTATUSCODES");
    add_line(s, "8BITMIME");
    smtpd_reply(s, "250 DSN");
}
