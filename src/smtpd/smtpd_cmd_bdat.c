/* RFC 3030: content in chunks. The bytes of a chunk follow its command at once, so
 * those of a refused one must be taken as well. */
#include "smtpd/smtpd_ehlo.h"
#include "smtpd/smtpd_policy.h"
#include "util/escape.h"
#include "util/msg.h"

#define DIGITS_MAX 18

static const char *id_for_log(const struct smtpd_session *s)
{
    return s->trans.queue_id ? s->trans.queue_id : "NOQUEUE";
}

static bool parse(struct span args, int64_t *count_out, bool *last_out)
{
    struct span word;
    uint64_t count;

    if (!span_token(&args, " \t", &word) || word.len > DIGITS_MAX ||
        !span_u64(word, &count))
        return false;
    *count_out = (int64_t)count;
    *last_out = span_token(&args, " \t", &word);
    if (*last_out && !span_ieq_str(word, "LAST"))
        return false;
    return span_trim(args).len == 0;
}

/* Where the next command would begin is anybody's guess. */
static void refuse_syntax(struct smtpd_session *s, struct span args)
{
    struct strbuf text = STRBUF_INIT;

    escape_printable(&text, span_first(args, 100), '?', true);
    msg_warn("%s: malformed BDAT command syntax from %s: BDAT%s%s", id_for_log(s),
             s->client.namaddr, text.len ? " " : "", text.ptr);
    strbuf_free(&text);
    smtpd_error(s, "521 5.5.4 Syntax: BDAT count [LAST]");
}

static bool exceeds_limit(const struct smtpd_session *s, int64_t count)
{
    int64_t limit = s->cfg->message_size_limit;
    int64_t have = s->trans.chunks ? smtpd_chunks_size(s->trans.chunks) : 0;

    return limit > 0 && (have > limit || count > limit - have);
}

/* NULL, or why this chunk is not taken. */
static const char *find_refusal(struct smtpd_session *s, int64_t count, bool last)
{
    if (s->bdat_failed)
        return arena_printf(s->scratch,
                            "551 5.0.0 Discarded %lld bytes after earlier error",
                            (long long)count);
    if (s->trans.rcpt_count == 0)
        return s->trans.sender ? "554 5.5.1 Error: no valid recipients"
                               : "503 5.5.1 Error: need RCPT command";
    if (count == 0 && !last) {
        msg_warn("%s: null BDAT request from %s", id_for_log(s), s->client.namaddr);
        return "551 5.7.1 Null BDAT request";
    }
    if (exceeds_limit(s, count)) {
        msg_warn("%s: BDAT request from %s exceeds message size limit", id_for_log(s),
                 s->client.namaddr);
        return "552 5.3.4 Chunk exceeds message size limit";
    }
    return s->trans.chunks ? NULL : smtpd_policy_data(s);
}

static void skip_chunk(struct smtpd_session *s, int64_t count, const char *refusal)
{
    if (!smtpd_chunk_copy(s, NULL, count)) {
        s->failed = true;
        return;
    }
    smtpd_transaction_reset(s);
    s->bdat_failed = true;
    smtpd_error(s, refusal);
}

static void end_content(struct smtpd_session *s)
{
    smtpd_chunks_end(s->trans.chunks);
    s->where = SMTPD_END_OF_MESSAGE;
}

static void take_chunk(struct smtpd_session *s, int64_t count, bool last)
{
    if (!s->trans.chunks) {
        smtpd_transaction_content(s);
        s->trans.chunks = smtpd_chunks_new(s);
    }
    if (!smtpd_chunk_copy(s, s->trans.chunks, count)) {
        s->failed = true;
        return;
    }
    if (last)
        end_content(s);
    if (smtpd_chunks_too_big(s->trans.chunks)) {
        msg_warn("%s: queue file size limit exceeded", s->trans.queue_id);
        smtpd_transaction_reset(s);
        s->bdat_failed = !last;
        smtpd_error(s, "552 5.3.4 Error: message file too big");
        return;
    }
    if (!last) {
        smtpd_replyf(s, "250 2.0.0 Ok: %lld bytes", (long long)count);
        return;
    }
    smtpd_transaction_finish(s, true);
    smtpd_transaction_reset(s);
}

void smtpd_cmd_bdat(struct smtpd_session *s, struct span args)
{
    const char *refusal;
    int64_t count;
    bool last;

    if (s->ehlo_hidden & SMTPD_EHLO_CHUNKING) {
        smtpd_error(s, "521 5.5.1 Error: command not implemented");
        return;
    }
    if (!parse(args, &count, &last)) {
        refuse_syntax(s, args);
        return;
    }
    refusal = find_refusal(s, count, last);
    if (refusal)
        skip_chunk(s, count, refusal);
    else
        take_chunk(s, count, last);
}
