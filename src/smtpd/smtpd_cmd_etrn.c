#include "smtpd/smtpd_policy.h"
#include "util/ipc.h"
#include "util/msg.h"

enum flush_answer { FLUSH_STARTED, FLUSH_DENIED, FLUSH_FAILED, FLUSH_NONSENSE };

/* Ask flush(8) to deliver what waits for the site. */
static enum flush_answer start_flush(struct smtpd_session *s, const char *site)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    enum flush_answer answer = FLUSH_FAILED;
    enum ipc_status status;

    if (!s->ss->flush)
        return FLUSH_DENIED;
    frame_str(&request, "request", "send_site");
    frame_str(&request, "site", site);
    status = ipc_mux_call(s->ss->flush, &request, &reply);
    if (status == IPC_OK) {
        struct frame_reader r = frame_reader(strbuf_span(&reply));
        int64_t code = frame_want_num(&r, "status");

        if (!r.missing && code >= FLUSH_STARTED && code <= FLUSH_NONSENSE)
            answer = (enum flush_answer)code;
    } else {
        msg_warn("problem talking to service %s: %s", s->cfg->flush_service_name,
                 ipc_status_text(status));
    }
    strbuf_free(&request);
    strbuf_free(&reply);
    return answer;
}

static void reply_answer(struct smtpd_session *s, const char *site,
                         enum flush_answer answer)
{
    switch (answer) {
    case FLUSH_STARTED:
        smtpd_reply(s, "250 Queuing started");
        break;
    case FLUSH_DENIED:
        msg_warn("reject: ETRN %.100s... from %s", site, s->client.namaddr);
        smtpd_errorf(s, "459 <%s>: service unavailable", site);
        break;
    case FLUSH_NONSENSE:
        smtpd_error(s, "501 Error: invalid parameter syntax");
        break;
    case FLUSH_FAILED:
        smtpd_error(s, "458 Unable to queue messages");
        break;
    }
}

static bool site_is_valid(struct span site)
{
    struct span part = site;
    struct net_addr addr;

    if (site.len > 2 && site.ptr[0] == '[' && site.ptr[site.len - 1] == ']')
        return net_addr_parse(span_of(site.ptr + 1, site.len - 2), 0, &addr);
    if (site.len == 0 || site.len > 255 || !span_is_printable(site))
        return false;
    while (part.ptr) {
        struct span label = span_cut(&part, '.');

        if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!ascii_alnum(label.ptr[i]) && label.ptr[i] != '-' &&
                label.ptr[i] != '_')
                return false;
    }
    return true;
}

/* RFC 1985. "@site" and "#queue" are tolerated as "site" and "queue". */
void smtpd_cmd_etrn(struct smtpd_session *s, struct span args)
{
    struct span site;
    const char *refusal, *name;

    if (!smtpd_helo_given(s, "503 Error: send HELO/EHLO first"))
        return;
    if (s->trans.sender) {
        smtpd_error(s, "503 Error: MAIL transaction in progress");
        return;
    }
    if (!span_token(&args, " \t", &site) || span_trim(args).len) {
        smtpd_error(s, "500 Syntax: ETRN domain");
        return;
    }
    if (site.ptr[0] == '@' || site.ptr[0] == '#')
        site = span_skip(site, 1);
    if (!site_is_valid(site)) {
        smtpd_error(s, "501 Error: invalid parameter syntax");
        return;
    }
    name = arena_span_str(s->scratch, site);
    refusal = smtpd_policy_etrn(s, name);
    if (refusal)
        smtpd_error(s, refusal);
    else
        reply_answer(s, name, start_flush(s, name));
}
