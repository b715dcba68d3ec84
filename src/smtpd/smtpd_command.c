#include "global/header.h"
#include "smtpd/smtpd_lists.h"
#include "util/escape.h"
#include "util/msg.h"

#define LAST SMTPD_VERB_LAST
#define JUNK SMTPD_VERB_JUNK
#define QUIT SMTPD_VERB_QUIT

/* In the order in which the disconnect line reports them. */
static const struct smtpd_verb verbs[] = {
    {"HELO", "helo", smtpd_cmd_helo, LAST},
    {"EHLO", "ehlo", smtpd_cmd_ehlo, LAST},
    {"XCLIENT", "xclient", smtpd_cmd_xclient, 0},
    {"XFORWARD", "xforward", smtpd_cmd_xforward, 0},
    {"STARTTLS", "starttls", smtpd_cmd_starttls, 0},
    {"AUTH", "auth", smtpd_cmd_auth, 0},
    {"MAIL", "mail", smtpd_cmd_mail, 0},
    {"RCPT", "rcpt", smtpd_cmd_rcpt, 0},
    {"DATA", "data", smtpd_cmd_data, LAST},
    {"BDAT", "bdat", smtpd_cmd_bdat, 0},
    {"RSET", "rset", smtpd_cmd_rset, JUNK},
    {"NOOP", "noop", smtpd_cmd_noop, LAST | JUNK},
    {"VRFY", "vrfy", smtpd_cmd_vrfy, LAST | JUNK},
    {"ETRN", "etrn", smtpd_cmd_etrn, JUNK},
    {"QUIT", "quit", smtpd_cmd_quit, QUIT},
    {"HELP", "help", smtpd_cmd_help, JUNK},
};
#define VERB_COUNT ARRAY_LEN(verbs)
_Static_assert(VERB_COUNT < SMTPD_VERBS_MAX, "one more for unknown commands");

static size_t find_verb(struct span name)
{
    size_t i = 0;

    while (i < VERB_COUNT && !span_ieq_str(name, verbs[i].name))
        i++;
    return i;
}

bool smtpd_command_early(struct smtpd_session *s)
{
    if (!s->ss->svc || stream_input_pending(s->stream) == 0)
        return false;
    event_pipelining(s->where, s->client.namaddr, stream_peek(s->stream));
    if (!s->cfg->smtpd_forbid_unauth_pipelining)
        return false;
    smtpd_error(s, "554 5.5.0 Error: SMTP protocol synchronization");
    s->end = SMTPD_QUIT;
    return true;
}

bool smtpd_helo_given(struct smtpd_session *s, const char *refusal)
{
    if (s->helo || !s->cfg->smtpd_helo_required)
        return true;
    smtpd_error(s, refusal);
    return false;
}

/* Browsers, and spammers' programs that send a message header as a command. */
static bool is_forbidden(struct smtpd_session *s, struct span line, struct span name)
{
    const struct smtpd_lists *lists = s->ss->lists;
    struct span header, value;

    return header_parse_line(line, &header, &value) ||
           match_list_find(lists->forbidden, name) == MATCH_YES;
}

static void refuse_forbidden(struct smtpd_session *s, struct span line)
{
    struct strbuf text = STRBUF_INIT;

    escape_printable(&text, span_first(line, 100), '?', true);
    msg_warn("non-SMTP command from %s: %s", s->client.namaddr, text.ptr);
    strbuf_free(&text);
    smtpd_reply(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
    s->failed = true;
    s->end = SMTPD_QUIT;
}

static void unknown_command(struct smtpd_session *s, struct span line, struct span name)
{
    s->where = "UNKNOWN";
    if (is_forbidden(s, line, name))
        refuse_forbidden(s, line);
    else
        smtpd_error(s, "500 5.5.2 Error: command not recognized");
}

/* Commands that bring no mail forward are errors once there are many. */
static void count_junk(struct smtpd_session *s)
{
    if (s->junk++ > s->cfg->smtpd_junk_command_limit)
        s->errors++;
}

static void run_verb(struct smtpd_session *s, const struct smtpd_verb *verb,
                     struct span args)
{
    s->where = verb->name;
    if (s->refusal && !(verb->flags & SMTPD_VERB_QUIT)) {
        smtpd_error(s, s->refusal);
        return;
    }
    if ((!s->pipelining || (verb->flags & SMTPD_VERB_LAST)) && smtpd_command_early(s))
        return;
    if (verb->flags & SMTPD_VERB_JUNK)
        count_junk(s);
    verb->run(s, args);
}

/* False, with a reply: there is no command in this line. */
static bool take_name(struct smtpd_session *s, struct span *rest, struct span *name_out)
{
    if (s->cfg->smtputf8_enable && rest->len > 0 && !span_is_utf8(*rest)) {
        smtpd_error(s, "500 5.5.2 Error: bad UTF-8 syntax");
        return false;
    }
    if (!span_token(rest, " \t", name_out)) {
        smtpd_error(s, "500 5.5.2 Error: bad syntax");
        return false;
    }
    return true;
}

static void refuse_unfiltered(struct smtpd_session *s)
{
    struct event_context ctx = smtpd_context(s, NULL);
    const char *reply = arena_printf(s->scratch, "421 4.3.0 %s Server local data error",
                                     s->cfg->myhostname);

    event_policy(s->trans.queue_id, "reject", s->where, s->client.namaddr, reply, &ctx);
    smtpd_error(s, reply);
}

static void log_replacement(struct smtpd_session *s, struct span line,
                            const char *value)
{
    struct strbuf text = STRBUF_INIT;

    escape_printable(&text, span_first(line, 100), '?', true);
    strbuf_add_str(&text, "\" with \"");
    escape_printable(&text, span_first(span_str(value), 100), '?', true);
    msg_info("%s: replacing command \"%s\"", s->client.namaddr, text.ptr);
    strbuf_free(&text);
}

/* For clients that cannot be taught: smtpd_command_filter. False, with a reply: the
 * table is in trouble. */
static bool filter(struct smtpd_session *s, struct span *line)
{
    struct maps *maps = s->ss->lists->command_filter;
    const char *value;

    if (maps_empty(maps) || line->len == 0)
        return true;
    switch (maps_find(maps, *line, 0, s->scratch, &value)) {
    case TABLE_FOUND:
        log_replacement(s, *line, value);
        *line = span_trim(span_str(value));
        return true;
    case TABLE_NOT_FOUND:
        return true;
    default:
        refuse_unfiltered(s);
        return false;
    }
}

void smtpd_command(struct smtpd_session *s, struct span line)
{
    const char *nul = line.len ? memchr(line.ptr, '\0', line.len) : NULL;
    struct span rest, name;
    size_t index;

    if (nul)
        line.len = (size_t)(nul - line.ptr);
    s->failed = false;
    s->errors_before = s->errors;
    line = span_trim(line);
    if (!filter(s, &line))
        return;
    rest = line;
    if (!take_name(s, &rest, &name))
        return;
    if (!match_list_empty(s->ss->lists->noop) &&
        match_list_find(s->ss->lists->noop, name) == MATCH_YES) {
        count_junk(s);
        smtpd_reply(s, "250 2.0.0 Ok");
        return;
    }
    index = find_verb(name);
    s->counts[index].total++;
    if (index == VERB_COUNT)
        unknown_command(s, line, name);
    else
        run_verb(s, &verbs[index], span_trim(rest));
    if (!s->failed && index < VERB_COUNT)
        s->counts[index].ok++;
}

static void add_count(struct strbuf *out, const char *name, struct smtpd_count count)
{
    strbuf_addf(out, "%s=%u", name, count.ok);
    if (count.total != count.ok)
        strbuf_addf(out, "/%u", count.total);
}

void smtpd_command_counts(const struct smtpd_session *s, struct strbuf *out)
{
    struct smtpd_count sum = {0, 0};

    for (size_t i = 0; i <= VERB_COUNT; i++) {
        const struct smtpd_count *count = &s->counts[i];

        if (count->total == 0)
            continue;
        add_count(out, i < VERB_COUNT ? verbs[i].label : "unknown", *count);
        strbuf_add_char(out, ' ');
        sum.ok += count->ok;
        sum.total += count->total;
    }
    if (sum.total)
        add_count(out, "commands", sum);
    else
        strbuf_add_str(out, "commands=0/0");
    if (s->bare_lf_noted)
        strbuf_add_str(out, " notes=bare_lf");
}
