/* The trace header of RFC 5321 section 4.4. */
#include "global/addr.h"
#include "global/rec.h"
#include "smtpd/smtpd.h"
#include "util/timefmt.h"

static void end_line(struct strbuf *records, struct strbuf *line)
{
    rec_add(records, REC_LINE, strbuf_span(line));
    strbuf_reset(line);
}

static void add_from(const struct smtpd_session *s, struct strbuf *records,
                     struct strbuf *line)
{
    const struct smtpd_client *client = &s->client;

    if (s->cfg->smtpd_hide_client_session) {
        strbuf_add_str(line, "Received: ");
        return;
    }
    strbuf_addf(line, "Received: from %s (%s [%s])", s->helo ? s->helo : client->name,
                client->name, client->rfc_address);
    end_line(records, line);
    strbuf_add_char(line, '\t');
}

void smtpd_received(const struct smtpd_session *s, struct strbuf *records)
{
    const struct smtpd_transaction *trans = &s->trans;
    bool single = trans->rcpt_count == 1;
    struct strbuf line = STRBUF_INIT;

    add_from(s, records, &line);
    strbuf_addf(&line, "by %s (%s) with %s id %s%s", s->cfg->myhostname,
                s->cfg->mail_name, trans->smtputf8 ? "UTF8SMTP" : s->protocol,
                trans->queue_id, single ? "" : ";");
    end_line(records, &line);
    strbuf_add_char(&line, '\t');
    if (single) {
        strbuf_add_str(&line, "for <");
        addr_quote(&line, span_str(trans->first_rcpt));
        strbuf_add_str(&line, ">; ");
    }
    time_rfc5322(&line, trans->arrival.tv_sec);
    end_line(records, &line);
    strbuf_free(&line);
}
