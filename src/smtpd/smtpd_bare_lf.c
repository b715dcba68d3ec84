/* Bare newlines: lines that end in LF instead of CR LF. They let a sender and a relay
 * disagree about where a message ends. smtpd_forbid_bare_newline says what to do:
 *   no         accept, as of old
 *   normalize  accept as line ends, but never around the final dot (also "yes")
 *   note       like no, and say so when the client disconnects
 *   reject     refuse the command or message */
#include "smtpd/smtpd.h"
#include "util/msg.h"

enum smtpd_bare_lf smtpd_bare_lf_parse(const char *text)
{
    static const struct {
        const char *name;
        enum smtpd_bare_lf mode;
    } modes[] = {
        {"no", SMTPD_BARE_LF_ALLOW},      {"normalize", SMTPD_BARE_LF_NORMALIZE},
        {"yes", SMTPD_BARE_LF_NORMALIZE}, {"note", SMTPD_BARE_LF_NOTE},
        {"reject", SMTPD_BARE_LF_REJECT},
    };

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (span_ieq_str(span_str(text), modes[i].name))
            return modes[i].mode;
    msg_fatal("bad configuration: smtpd_forbid_bare_newline = %s", text);
}

enum smtpd_bare_lf smtpd_bare_lf_mode(const struct smtpd_session *s)
{
    return s->client.may_send_bare_lf ? SMTPD_BARE_LF_ALLOW : s->ss->bare_lf;
}

bool smtpd_bare_lf_allowed(struct smtpd_session *s)
{
    enum smtpd_bare_lf mode = smtpd_bare_lf_mode(s);

    if (mode == SMTPD_BARE_LF_NOTE)
        s->bare_lf_noted = true;
    return mode != SMTPD_BARE_LF_REJECT;
}

void smtpd_bare_lf_refused(struct smtpd_session *s, const char *where)
{
    struct event_context ctx =
        smtpd_context(s, s->trans.rcpt_count == 1 ? s->trans.first_rcpt : NULL);

    smtpd_errorf(s, "%d 5.5.2 %s Error: bare <LF> received",
                 (int)s->cfg->smtpd_forbid_bare_newline_reject_code,
                 s->cfg->myhostname);
    event_policy(s->trans.queue_id, "reject", where, s->client.namaddr,
                 "bare <LF> received", &ctx);
}
