#include <stdio.h>

#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

static void content_broken(struct smtpd_session *s, int64_t size)
{
    s->failed = true;
    s->where = arena_printf(s->arena, "DATA (%lld bytes)", (long long)size);
}

static void reply_result(struct smtpd_session *s, const struct cleanup_result *result,
                         const char *queue_id)
{
    const struct cleanup_status_detail *detail;

    if (result->status == CLEANUP_STAT_OK) {
        s->errors = s->junk = 0;
        smtpd_replyf(s, "250 2.0.0 Ok: queued as %s", queue_id);
        return;
    }
    detail = cleanup_status_detail(result->status);
    smtpd_errorf(s, "%d %s %s", detail->smtp_code,
                 result->dsn[0] ? result->dsn : detail->dsn,
                 result->reason[0] ? result->reason : detail->text);
}

static void finish(struct smtpd_session *s)
{
    struct smtpd_transaction *trans = &s->trans;
    struct cleanup_result result;
    const char *refusal;

    if (trans->bare_lf && smtpd_bare_lf_mode(s) == SMTPD_BARE_LF_REJECT) {
        smtpd_bare_lf_refused(s, "END-OF-MESSAGE");
        return;
    }
    if (trans->write_failed) {
        smtpd_error(s, "451 4.3.0 Error: queue file write error");
        return;
    }
    refusal = smtpd_policy_eod(s);
    if (refusal) {
        smtpd_error(s, refusal);
        return;
    }
    smtpd_transaction_end(s);
    result = cleanup_commit(trans->msg, s->scratch);
    trans->msg = NULL;
    reply_result(s, &result, trans->queue_id);
}

static void receive(struct smtpd_session *s)
{
    int64_t size;

    smtpd_reply(s, "354 End data with <CR><LF>.<CR><LF>");
    smtpd_transaction_content(s);
    switch (smtpd_content_copy(s, &size)) {
    case SMTPD_CONTENT_ENDED:
        content_broken(s, size);
        return; /* the log still wants the queue id */
    case SMTPD_CONTENT_TOO_BIG:
        msg_warn("%s: queue file size limit exceeded", s->trans.queue_id);
        smtpd_error(s, "552 5.3.4 Error: message file too big");
        break;
    case SMTPD_CONTENT_OK:
        finish(s);
        break;
    }
    smtpd_transaction_reset(s);
}

void smtpd_cmd_data(struct smtpd_session *s, struct span args)
{
    const char *refusal;

    if (s->trans.rcpt_count == 0) {
        smtpd_error(s, s->trans.sender ? "554 5.5.1 Error: no valid recipients"
                                       : "503 5.5.1 Error: need RCPT command");
        return;
    }
    if (args.len) {
        smtpd_error(s, "501 5.5.4 Syntax: DATA");
        return;
    }
    refusal = smtpd_policy_data(s);
    if (refusal)
        smtpd_error(s, refusal);
    else
        receive(s);
}
