#include "global/post_mail.h"

#include <stdlib.h>

#include "global/rec.h"
#include "util/timefmt.h"

struct post_mail {
    struct cleanup_message *msg;
    const struct config *cfg;
    bool lost;
};

static void put_envelope(struct post_mail *pm, const struct post_mail_envelope *env)
{
    struct strbuf *sb = cleanup_records(pm->msg);
    int64_t now = time_now_us();

    rec_addf(sb, REC_TIME, "%lld %lld", (long long)(now / 1000000),
             (long long)(now % 1000000));
    rec_add_attr(sb, "rewrite_context", SPAN_LIT("local"));
    if (env->sendopts)
        rec_addf(sb, REC_ATTR, "sendopts=%d", env->sendopts);
    rec_add_str(sb, REC_SENDER, env->sender);
    if (*env->encoding)
        rec_add_attr(sb, "encoding", span_str(env->encoding));
    rec_add_attr(sb, "log_message_origin", SPAN_LIT("local"));
    rec_add_str(sb, REC_RCPT, env->recipient);
    rec_add(sb, REC_MESSAGE, SPAN_EMPTY);
}

struct post_mail *post_mail_open(struct cleanup_client *cc, const struct config *cfg,
                                 const struct post_mail_envelope *env,
                                 const char **why_out)
{
    struct cleanup_message *msg = cleanup_open(cc, env->cleanup_flags, why_out);
    struct strbuf date = STRBUF_INIT;
    struct post_mail *pm;

    if (!msg)
        return NULL;
    pm = xcalloc(1, sizeof *pm);
    pm->msg = msg;
    pm->cfg = cfg;
    put_envelope(pm, env);
    time_rfc5322(&date, time_now());
    post_mail_linef(pm, "Received: by %s (%s)", cfg->myhostname, cfg->mail_name);
    post_mail_linef(pm, "\tid %s; %s", cleanup_message_id(msg), date.ptr);
    post_mail_linef(pm, "Date: %s", date.ptr);
    strbuf_free(&date);
    return pm;
}

const char *post_mail_id(const struct post_mail *pm)
{
    return cleanup_message_id(pm->msg);
}

void post_mail_line(struct post_mail *pm, struct span line)
{
    if (pm->lost)
        return;
    rec_add_line(cleanup_records(pm->msg), line, (size_t)pm->cfg->line_length_limit);
    pm->lost = cleanup_send(pm->msg, false) != IPC_OK;
}

void post_mail_linef(struct post_mail *pm, const char *fmt, ...)
{
    struct strbuf sb = STRBUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&sb, fmt, ap);
    va_end(ap);
    post_mail_line(pm, strbuf_span(&sb));
    strbuf_free(&sb);
}

struct cleanup_result post_mail_commit(struct post_mail *pm, struct arena *arena)
{
    struct strbuf *sb = cleanup_records(pm->msg);
    struct cleanup_result result;

    rec_add(sb, REC_EXTRACTED, SPAN_EMPTY);
    rec_add(sb, REC_END, SPAN_EMPTY);
    result = cleanup_commit(pm->msg, arena);
    free(pm);
    return result;
}

void post_mail_abort(struct post_mail *pm)
{
    cleanup_abort(pm->msg);
    free(pm);
}
