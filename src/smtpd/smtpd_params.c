#include "smtpd/smtpd_params.h"

#include "global/envelope.h"

#define SIZE_MAX_DIGITS 18

typedef const char *mail_param(struct smtpd_session *s, struct span value,
                               struct smtpd_mail_params *out);

static const char *size_param(struct smtpd_session *s, struct span value,
                              struct smtpd_mail_params *out)
{
    uint64_t size;

    (void)s;
    if (value.len > SIZE_MAX_DIGITS || !span_u64(value, &size))
        return "501 5.5.4 Bad message size syntax";
    out->size = (int64_t)size;
    return NULL;
}

static const char *body_param(struct smtpd_session *s, struct span value,
                              struct smtpd_mail_params *out)
{
    if (span_ieq_str(value, "8BITMIME"))
        out->encoding = "8bit";
    else if (span_ieq_str(value, "7BIT"))
        out->encoding = "7bit";
    else
        return arena_printf(s->scratch, "555 5.5.4 Unsupported option: BODY=%.*s",
                            SPAN_ARG(value));
    return NULL;
}

const char *smtpd_params_mail(struct smtpd_session *s, struct span text,
                              struct smtpd_mail_params *out)
{
    static const struct {
        struct span name;
        mail_param *fn;
    } params[] = {
        {{"SIZE=", 5}, size_param},
        {{"BODY=", 5}, body_param},
    };
    struct span token;

    *out = (struct smtpd_mail_params){.encoding = "", .envid = ""};
    while (span_token(&text, " \t", &token)) {
        const char *refusal = NULL;
        size_t i = 0;

        while (i < ARRAY_LEN(params) && !span_istarts(token, params[i].name))
            i++;
        if (i == ARRAY_LEN(params))
            return arena_printf(s->scratch, "555 5.5.4 Unsupported option: %.*s",
                                SPAN_ARG(token));
        refusal = params[i].fn(s, span_skip(token, params[i].name.len), out);
        if (refusal)
            return refusal;
    }
    return NULL;
}

const char *smtpd_params_rcpt(struct smtpd_session *s, struct span text,
                              struct smtpd_rcpt_params *out)
{
    struct span token;

    *out = (struct smtpd_rcpt_params){.orcpt = ""};
    if (span_token(&text, " \t", &token))
        return arena_printf(s->scratch, "555 5.5.4 Unsupported option: %.*s",
                            SPAN_ARG(token));
    return NULL;
}
