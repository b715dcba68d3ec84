#include <stdlib.h>

#include "smtpd/smtpd_ehlo.h"
#include "smtpd/smtpd_lists.h"
#include "smtpd/smtpd_policy.h"
#include "util/escape.h"
#include "util/msg.h"

/* The name goes into a header, where these would begin or end something. */
static void neutralize(struct strbuf *name)
{
    for (size_t i = 0; i < name->len; i++)
        if (strchr("<>()\\\";@", name->ptr[i]))
            name->ptr[i] = '?';
}

/* A new greeting ends the transaction (RFC 5321 section 4.1.4). */
static bool greet(struct smtpd_session *s, struct span args, const char *syntax,
                  const char *protocol)
{
    struct span name;
    const char *refusal;
    struct strbuf clean = STRBUF_INIT;

    if (!span_token(&args, " \t", &name)) {
        smtpd_error(s, syntax);
        return false;
    }
    smtpd_transaction_reset(s);
    s->bdat_failed = false;
    escape_printable(&clean, name, '?', true);
    neutralize(&clean);
    free(s->helo);
    s->helo = strbuf_detach(&clean);
    refusal = smtpd_policy_helo(s);
    if (refusal) {
        smtpd_error(s, refusal);
        return false;
    }
    if (strcmp(s->protocol, "ESMTP") != 0) /* as peers have it: never back to SMTP */
        s->protocol = protocol;
    return true;
}

void smtpd_cmd_helo(struct smtpd_session *s, struct span args)
{
    if (!greet(s, args, "501 Syntax: HELO hostname", "SMTP"))
        return;
    s->pipelining = false;
    smtpd_replyf(s, "250 %s", s->cfg->myhostname);
}

/* What is not announced to this client. */
static unsigned hidden_keywords(struct smtpd_session *s)
{
    const struct smtpd_lists *lists = s->ss->lists;
    const char *value;

    if (maps_empty(lists->ehlo_hidden))
        return s->ss->ehlo_hidden;
    switch (maps_find(lists->ehlo_hidden, span_str(s->client.address), 0, s->scratch,
                      &value)) {
    case TABLE_FOUND:
        return smtpd_ehlo_parse(value, "smtpd_discard_ehlo_keyword_address_maps");
    case TABLE_NOT_FOUND:
        return s->ss->ehlo_hidden;
    default: /* whatever it is, nothing that mail needs may be missing */
        return ~0u;
    }
}

static void log_hidden(unsigned hidden)
{
    struct strbuf names = STRBUF_INIT;

    if ((hidden & SMTPD_EHLO_SILENT) || hidden == 0)
        return;
    smtpd_ehlo_names(hidden, &names);
    msg_info("discarding EHLO keywords: %s", names.ptr);
    strbuf_free(&names);
}

struct feature {
    unsigned bit;
    const char *line;
};

static size_t list_features(struct smtpd_session *s, struct feature out[16])
{
    const struct config *cfg = s->cfg;
    size_t n = 0;

    out[n++] = (struct feature){0, cfg->myhostname};
    out[n++] = (struct feature){SMTPD_EHLO_PIPELINING, "PIPELINING"};
    out[n++] = (struct feature){
        SMTPD_EHLO_SIZE,
        cfg->message_size_limit > 0
            ? arena_printf(s->scratch, "SIZE %lld", (long long)cfg->message_size_limit)
            : "SIZE"};
    if (!cfg->disable_vrfy_command)
        out[n++] = (struct feature){SMTPD_EHLO_VRFY, "VRFY"};
    out[n++] = (struct feature){SMTPD_EHLO_ETRN, "ETRN"};
    out[n++] = (struct feature){SMTPD_EHLO_ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES"};
    out[n++] = (struct feature){SMTPD_EHLO_8BITMIME, "8BITMIME"};
    out[n++] = (struct feature){SMTPD_EHLO_DSN, "DSN"};
    if (cfg->smtputf8_enable)
        out[n++] = (struct feature){SMTPD_EHLO_SMTPUTF8, "SMTPUTF8"};
    out[n++] = (struct feature){SMTPD_EHLO_CHUNKING, "CHUNKING"};
    return n;
}

void smtpd_cmd_ehlo(struct smtpd_session *s, struct span args)
{
    struct feature features[16];
    size_t count, shown = 0;

    if (!greet(s, args, "501 Syntax: EHLO hostname", "ESMTP"))
        return;
    s->ehlo_hidden = hidden_keywords(s);
    s->pipelining = !(s->ehlo_hidden & SMTPD_EHLO_PIPELINING);
    log_hidden(s->ehlo_hidden);
    count = list_features(s, features);
    for (size_t i = 0; i < count; i++)
        if (!(features[i].bit & s->ehlo_hidden))
            features[shown++] = features[i];
    for (size_t i = 0; i + 1 < shown; i++)
        stream_printf(s->stream, "250-%s\r\n", features[i].line);
    smtpd_replyf(s, "250 %s", features[shown - 1].line);
}
