#include "smtpd/smtpd_address.h"
#include "smtpd/smtpd_params.h"
#include "smtpd/smtpd_policy.h"

/* Beyond the limit clients are told to send the rest later; those who go on all the
 * same are not serious. */
static bool over_limit(struct smtpd_session *s)
{
    static const char reply[] = "452 4.5.3 Error: too many recipients";
    struct smtpd_transaction *trans = &s->trans;

    if (trans->rcpt_count < s->cfg->smtpd_recipient_limit)
        return false;
    if (trans->rcpt_overshoot++ >= s->cfg->smtpd_recipient_overshoot_limit) {
        smtpd_error(s, reply);
    } else {
        smtpd_reply(s, reply);
        s->failed = false;
    }
    return true;
}

static void accept_rcpt(struct smtpd_session *s, const char *address,
                        const struct smtpd_rcpt_params *params)
{
    if (!s->trans.msg && !smtpd_transaction_open(s))
        return;
    smtpd_transaction_rcpt(s, address, params->notify, params->orcpt);
    smtpd_reply(s, "250 2.1.5 Ok");
}

static void take_recipient(struct smtpd_session *s, struct span text)
{
    struct smtpd_rcpt_params params;
    struct span path, rest;
    const char *refusal, *address;

    if (!smtpd_address_parse(s, text, false, s->scratch, &path, &rest)) {
        smtpd_error(s, "501 5.1.3 Bad recipient address syntax");
        return;
    }
    refusal = smtpd_params_rcpt(s, rest, &params);
    if (!refusal)
        refusal = smtpd_address_charset(s, path, s->trans.smtputf8);
    if (!refusal && over_limit(s))
        return;
    address = arena_span_str(s->scratch, path);
    if (!refusal)
        refusal = smtpd_policy_rcpt(s, address);
    if (refusal)
        smtpd_error(s, refusal);
    else
        accept_rcpt(s, address, &params);
}

void smtpd_cmd_rcpt(struct smtpd_session *s, struct span args)
{
    struct span text;

    if (!s->trans.sender) {
        smtpd_error(s, "503 5.5.1 Error: need MAIL command");
        return;
    }
    if (s->trans.chunks) {
        smtpd_error(s, "503 5.5.1 Error: RCPT after BDAT");
        return;
    }
    if (!smtpd_address_argument(args, SPAN_LIT("TO:"), &text)) {
        smtpd_error(s, "501 5.5.4 Syntax: RCPT TO:<address>");
        return;
    }
    if (smtpd_limit_rcpt(s))
        take_recipient(s, text);
}
