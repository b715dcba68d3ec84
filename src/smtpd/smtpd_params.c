#include "smtpd/smtpd_params.h"

#include "global/envelope.h"
#include "smtpd/smtpd_ehlo.h"
#include "util/escape.h"
#include "util/msg.h"

#define ENVID_MAX   100 /* RFC 3461 section 4.4 */
#define SIZE_DIGITS 18  /* more is beyond all limits */
#define DSN_IS_OFF  "501 5.7.1 DSN support is disabled"

typedef const char *mail_param(struct smtpd_session *s, struct span value,
                               struct smtpd_mail_params *out);
typedef const char *rcpt_param(struct smtpd_session *s, struct span value,
                               struct smtpd_rcpt_params *out);

static const char *unsupported(struct smtpd_session *s, struct span token)
{
    struct strbuf text = STRBUF_INIT;
    const char *reply;

    escape_printable(&text, token, '?', true);
    reply = arena_printf(s->scratch, "555 5.5.4 Unsupported option: %s", text.ptr);
    strbuf_free(&text);
    return reply;
}

static const char *size_param(struct smtpd_session *s, struct span value,
                              struct smtpd_mail_params *out)
{
    uint64_t size;

    (void)s;
    if (!span_all_digits(value))
        return "501 5.5.4 Bad message size syntax";
    if (value.len > SIZE_DIGITS)
        out->size = INT64_MAX;
    else if (span_u64(value, &size))
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
        return unsupported(s, span_of(value.ptr - 5, value.len + 5));
    return NULL;
}

static const char *ret_param(struct smtpd_session *s, struct span value,
                             struct smtpd_mail_params *out)
{
    if (s->ehlo_hidden & SMTPD_EHLO_DSN)
        return DSN_IS_OFF;
    if (out->ret)
        return "501 5.5.4 Bad RET parameter syntax";
    if (span_ieq_str(value, "FULL"))
        out->ret = RET_FULL;
    else if (span_ieq_str(value, "HDRS"))
        out->ret = RET_HDRS;
    else
        return "501 5.5.4 Bad RET parameter syntax";
    return NULL;
}

/* Printable once decoded: it appears in reports. */
static const char *decode(struct smtpd_session *s, struct arena *arena,
                          struct span value)
{
    struct strbuf text = STRBUF_INIT;
    const char *result = NULL;

    if (xtext_decode(&text, value) && span_is_utf8(strbuf_span(&text)) &&
        (s->cfg->smtputf8_enable || span_is_ascii(strbuf_span(&text)))) {
        struct strbuf clean = STRBUF_INIT;

        escape_printable(&clean, strbuf_span(&text), '?', true);
        result = arena_str(arena, clean.ptr);
        strbuf_free(&clean);
    }
    strbuf_free(&text);
    return result;
}

static const char *envid_param(struct smtpd_session *s, struct span value,
                               struct smtpd_mail_params *out)
{
    const char *envid;

    if (s->ehlo_hidden & SMTPD_EHLO_DSN)
        return DSN_IS_OFF;
    if (out->envid[0] || value.len == 0 || value.len > ENVID_MAX)
        return "501 5.5.4 Bad ENVID parameter syntax";
    envid = decode(s, s->trans.arena, value);
    if (!envid)
        return "501 5.5.4 Bad ENVID parameter syntax";
    out->envid = envid;
    return NULL;
}

/* Who else vouched for the sender is of no interest without logins (RFC 4954). */
static const char *auth_param(struct smtpd_session *s, struct span value,
                              struct smtpd_mail_params *out)
{
    (void)s;
    (void)value;
    (void)out;
    return NULL;
}

static const char *mail_option(struct smtpd_session *s, struct span token,
                               struct smtpd_mail_params *out)
{
    static const struct {
        struct span name;
        mail_param *fn;
    } params[] = {
        {{"SIZE=", 5}, size_param}, {{"BODY=", 5}, body_param},
        {{"RET=", 4}, ret_param},   {{"ENVID=", 6}, envid_param},
        {{"AUTH=", 5}, auth_param},
    };

    for (size_t i = 0; i < ARRAY_LEN(params); i++)
        if (span_istarts(token, params[i].name))
            return params[i].fn(s, span_skip(token, params[i].name.len), out);
    if (span_ieq_str(token, "SMTPUTF8") && s->cfg->smtputf8_enable) {
        out->smtputf8 = true;
        return NULL;
    }
    return unsupported(s, token);
}

const char *smtpd_params_mail(struct smtpd_session *s, struct span text,
                              struct smtpd_mail_params *out)
{
    const char *refusal = NULL;
    struct span token;

    *out = (struct smtpd_mail_params){.encoding = "", .envid = ""};
    while (!refusal && span_token(&text, " \t", &token))
        refusal = mail_option(s, token, out);
    return refusal;
}

/* -- RCPT -- */

static void warn_of_word(struct span word, struct span value)
{
    struct strbuf text = STRBUF_INIT;

    strbuf_add_char(&text, '"');
    escape_printable(&text, word, '?', true);
    strbuf_add_str(&text, "\" in \"");
    escape_printable(&text, value, '?', true);
    msg_warn("unknown DSN NOTIFY command value %s\"", text.ptr);
    strbuf_free(&text);
}

static const char *notify_param(struct smtpd_session *s, struct span value,
                                struct smtpd_rcpt_params *out)
{
    static const struct {
        const char *name;
        int bit;
    } words[] = {{"NEVER", NOTIFY_NEVER},
                 {"SUCCESS", NOTIFY_SUCCESS},
                 {"FAILURE", NOTIFY_FAILURE},
                 {"DELAY", NOTIFY_DELAY}};
    static const char bad[] = "501 5.5.4 Error: Bad NOTIFY parameter syntax";

    if (s->ehlo_hidden & SMTPD_EHLO_DSN)
        return DSN_IS_OFF;
    if (out->notify || value.len == 0)
        return bad;
    for (struct span rest = value; rest.ptr;) {
        struct span word = span_cut(&rest, ',');
        size_t i = 0;

        while (i < ARRAY_LEN(words) && !span_ieq_str(word, words[i].name))
            i++;
        if (i == ARRAY_LEN(words)) {
            warn_of_word(word, value);
            return bad;
        }
        out->notify |= words[i].bit;
    }
    if ((out->notify & NOTIFY_NEVER) && out->notify != NOTIFY_NEVER)
        return bad;
    return NULL;
}

/* "type;xtext"; an empty address means nothing. */
static const char *orcpt_param(struct smtpd_session *s, struct span value,
                               struct smtpd_rcpt_params *out)
{
    static const char bad[] = "501 5.5.4 Error: Bad ORCPT parameter syntax";
    struct span type = span_cut(&value, ';');
    const char *address;

    if (s->ehlo_hidden & SMTPD_EHLO_DSN)
        return DSN_IS_OFF;
    if (out->orcpt[0] || !value.ptr || type.len == 0 || !span_is_printable(type))
        return bad;
    address = decode(s, s->scratch, value);
    if (!address)
        return bad;
    if (*address)
        out->orcpt = arena_printf(s->scratch, "%.*s;%s", SPAN_ARG(type), address);
    return NULL;
}

const char *smtpd_params_rcpt(struct smtpd_session *s, struct span text,
                              struct smtpd_rcpt_params *out)
{
    static const struct {
        struct span name;
        rcpt_param *fn;
    } params[] = {{{"NOTIFY=", 7}, notify_param}, {{"ORCPT=", 6}, orcpt_param}};
    struct span token;

    *out = (struct smtpd_rcpt_params){.orcpt = ""};
    while (span_token(&text, " \t", &token)) {
        const char *refusal;
        size_t i = 0;

        while (i < ARRAY_LEN(params) && !span_istarts(token, params[i].name))
            i++;
        if (i == ARRAY_LEN(params))
            return unsupported(s, token);
        refusal = params[i].fn(s, span_skip(token, params[i].name.len), out);
        if (refusal)
            return refusal;
    }
    return NULL;
}
