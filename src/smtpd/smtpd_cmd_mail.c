#include "global/addr.h"
#include "smtpd/smtpd_address.h"
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

static const char *start_transaction(struct smtpd_session *s, struct span text)
{
    static const char bad[] = "501 5.1.7 Bad sender address syntax";
    struct smtpd_mail_params params;
    struct span sender, rest;
    const char *refusal;

    if (!smtpd_address_parse(s, text, true, s->trans.arena, &sender, &rest))
        return bad;
    refusal = smtpd_params_mail(s, rest, &params);
    if (!refusal)
        refusal = smtpd_address_charset(s, sender, params.smtputf8);
    if (!refusal)
        refusal = smtpd_size_space(s);
    if (refusal)
        return refusal;
    begin(s, sender, &params);
    refusal = smtpd_size_declared(s, params.size);
    return refusal ? refusal : smtpd_policy_mail(s);
}

void smtpd_cmd_mail(struct smtpd_session *s, struct span args)
{
    const char *refusal;
    struct span text;

    if (!smtpd_helo_given(s, "503 5.5.1 Error: send HELO/EHLO first"))
        return;
    if (s->trans.sender) {
        smtpd_error(s, "503 5.5.1 Error: nested MAIL command");
        return;
    }
    if (s->bdat_failed) {
        smtpd_error(s, "503 5.5.1 Error: MAIL after BDAT");
        return;
    }
    if (!smtpd_address_argument(args, SPAN_LIT("FROM:"), &text)) {
        smtpd_error(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
        return;
    }
    if (!smtpd_limit_mail(s))
        return;
    s->trans.arena = smtpd_arena_get(s->ss);
    refusal = start_transaction(s, text);
    if (refusal) {
        smtpd_transaction_reset(s);
        smtpd_error(s, refusal);
    } else if (!s->cfg->smtpd_delay_open_until_valid_rcpt &&
               !smtpd_transaction_open(s)) {
        smtpd_transaction_reset(s); /* it has replied */
    } else {
        smtpd_reply(s, "250 2.1.0 Ok");
    }
}
