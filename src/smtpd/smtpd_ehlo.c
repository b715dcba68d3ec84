#include "smtpd/smtpd_ehlo.h"

#include "util/msg.h"

static const char *const names[] = {
    "8BITMIME",       "AUTH",       "CHUNKING",   "DSN",      "ENHANCEDSTATUSCODES",
    "ETRN",           "PIPELINING", "REQUIRETLS", "SIZE",     "SMTPUTF8",
    "STARTTLS",       "VRFY",       "XCLIENT",    "XFORWARD", "XVERP",
    "SILENT-DISCARD",
};

unsigned smtpd_ehlo_parse(const char *text, const char *where)
{
    struct span rest = span_str(text), token;
    unsigned mask = 0;

    while (span_token(&rest, ", \t\r\n", &token)) {
        size_t i = 0;

        while (i < ARRAY_LEN(names) && !span_ieq_str(token, names[i]))
            i++;
        if (i < ARRAY_LEN(names))
            mask |= 1u << i;
        else
            msg_warn("%s: ignoring unknown EHLO keyword \"%.*s\"", where,
                     SPAN_ARG(token));
    }
    return mask;
}

void smtpd_ehlo_names(unsigned mask, struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!(mask & (1u << i)) || (1u << i) == SMTPD_EHLO_SILENT)
            continue;
        if (out->len)
            strbuf_add_char(out, ' ');
        strbuf_add_str(out, names[i]);
    }
}
