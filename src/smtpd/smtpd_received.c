/* The trace header of RFC 5321 section 4.4. */
#include "global/addr.h"
#include "global/rec.h"
#include "smtpd/smtpd.h"
#include "util/timefmt.h"

static void line(struct strbuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line(struct strbuf *sb, const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    rec_add(sb, REC_LINE, strbuf_span(&text));
    strbuf_free(&text);
}

void smtpd_transaction_content(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct strbuf *sb = cleanup_records(trans->msg);
    struct strbuf date = STRBUF_INIT, rcpt = STRBUF_INIT;

    rec_add(sb, REC_MESSAGE, SPAN_EMPTY);
    time_rfc5322(&date, trans->arrival.tv_sec);
    line(sb, "Received: from %s (%s [%s])", s->helo ? s->helo : s->client.name,
         s->client.name, s->client.rfc_address);
    if (trans->rcpt_count == 1) {
        addr_quote(&rcpt, span_str(trans->first_rcpt));
        line(sb, "\tby %s (%s) with %s id %s", s->cfg->myhostname, s->cfg->mail_name,
             s->protocol, trans->queue_id);
        line(sb, "\tfor <%s>; %s", rcpt.ptr, date.ptr);
    } else {
        line(sb, "\tby %s (%s) with %s id %s;", s->cfg->myhostname, s->cfg->mail_name,
             s->protocol, trans->queue_id);
        line(sb, "\t%s", date.ptr);
    }
    strbuf_free(&date);
    strbuf_free(&rcpt);
}
