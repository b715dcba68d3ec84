#include "global/addr.h"
#include "smtpd/smtpd_params.h"
#include "smtpd/smtpd_policy.h"
#include "util/timefmt.h"

static void begin(struct smtpd_session *s, struct span sender,
                  const struct smtpd_mail_params *params)
{
    struct smtpd_transaction *trans = &s->trans;
    int64_t now = time_now_us();

    trans->arrival.tv_sec = (time_t)(now / 1000000);
    trans->arrival.tv_usec = (suseconds_t)(now % 1000000);
    trans->sender = arena_span_str(trans->arena, sender);
    trans->declared_size = params->size;
    trans->encoding = params->encoding;
    trans->dsn_ret = params->ret;
    trans->envid = params->envid;
    trans->smtputf8 = params->smtputf8;
}

void smtpd_cmd_mail(struct smtpd_session *s, struct span args)
{
    struct smtpd_mail_params params;
    struct span sender, rest;
    const char *refusal;

    if (s->trans.sender) {
        smtpd_error(s, "503 5.5.1 Error: nested MAIL command");
        return;
    }
    if (!span_istarts(args, SPAN_LIT("FROM:"))) {
        smtpd_error(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
        return;
    }
    s->trans.arena = smtpd_arena_get(s->ss);
    if (addr_parse_path(span_ltrim(span_skip(args, 5)), s->cfg->strict_rfc821_envelopes,
                        s->trans.arena, &sender, &rest) != ADDR_PATH_OK)
        refusal = "501 5.1.7 Bad sender address syntax";
    else
        refusal = smtpd_params_mail(s, rest, &params);
    if (!refusal) {
        begin(s, sender, &params);
        refusal = smtpd_policy_mail(s);
    }
    if (refusal) {
        smtpd_transaction_reset(s);
        smtpd_error(s, refusal);
    } else {
        smtpd_reply(s, "250 2.1.0 Ok");
    }
}
