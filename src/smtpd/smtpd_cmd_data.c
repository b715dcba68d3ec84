#include <stdio.h>

#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

static void content_broken(struct smtpd_session *s, int64_t size)
{
    s->failed = true;
    s->where = arena_printf(s->arena, "DATA (%lld bytes)", (long long)size);
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
        s->where = SMTPD_END_OF_MESSAGE;
        msg_warn("%s: queue file size limit exceeded", s->trans.queue_id);
        smtpd_error(s, "552 5.3.4 Error: message file too big");
        break;
    case SMTPD_CONTENT_OK:
        s->where = SMTPD_END_OF_MESSAGE;
        smtpd_transaction_finish(s, false);
        break;
    }
    smtpd_transaction_reset(s);
}

void smtpd_cmd_data(struct smtpd_session *s, struct span args)
{
    const char *refusal;

    if (s->trans.chunks || s->bdat_failed) {
        smtpd_error(s, "503 5.5.1 Error: DATA after BDAT");
        return;
    }
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
