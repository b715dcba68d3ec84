#include "smtpd/smtpd_address.h"

#include "global/addr.h"
#include "util/escape.h"
#include "util/msg.h"

bool smtpd_address_argument(struct span args, struct span label, struct span *text_out)
{
    if (!span_istarts(args, label))
        return false;
    *text_out = span_trim(span_skip(args, label.len));
    return text_out->len > 0;
}

/* The path as the client wrote it, without what follows. */
static struct span path_text(struct span text, struct span rest)
{
    if (rest.len && rest.ptr > text.ptr && rest.ptr <= text.ptr + text.len)
        return span_rtrim(span_first(text, (size_t)(rest.ptr - text.ptr)));
    return text;
}

/* A bracket or a quote is left open: the line was cut off. */
static bool is_cut_off(struct span text)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\\' && i + 1 < text.len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '<')
            depth++;
        else if (!quoted && c == '>' && depth > 0)
            depth--;
    }
    return quoted || depth > 0;
}

static bool is_acceptable(const struct smtpd_session *s, struct span address,
                          bool may_be_null)
{
    if (address.len == 0)
        return may_be_null;
    if (address.ptr[0] == '-' && !s->cfg->allow_min_user)
        return false; /* might pass for an option on some command line */
    return addr_is_wellformed(address);
}

bool smtpd_address_parse(struct smtpd_session *s, struct span text, bool may_be_null,
                         struct arena *arena, struct span *address_out,
                         struct span *rest_out)
{
    struct strbuf shown = STRBUF_INIT;

    if (addr_parse_path(text, s->cfg->strict_rfc821_envelopes, arena, address_out,
                        rest_out) == ADDR_PATH_OK &&
        is_acceptable(s, *address_out, may_be_null))
        return true;
    if (is_cut_off(text))
        return false;
    escape_printable(&shown, path_text(text, *rest_out), '?', true);
    msg_warn("Illegal address syntax from %s in %s command: %s", s->client.namaddr,
             s->where, shown.ptr);
    strbuf_free(&shown);
    return false;
}

const char *smtpd_address_charset(const struct smtpd_session *s, struct span address,
                                  bool smtputf8)
{
    if (smtputf8 || !s->cfg->strict_smtputf8 || span_is_ascii(address))
        return NULL;
    return "553 5.6.7 Must declare SMTPUTF8 to send unicode address";
}
