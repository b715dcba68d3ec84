#include "smtpd/smtpd.h"

/* In the order in which the disconnect line reports them. */
static const struct smtpd_verb verbs[] = {
    {"helo", smtpd_cmd_helo, SMTPD_VERB_LAST | SMTPD_VERB_HELO},
    {"ehlo", smtpd_cmd_ehlo, SMTPD_VERB_LAST | SMTPD_VERB_HELO},
    {"mail", smtpd_cmd_mail, 0},
    {"rcpt", smtpd_cmd_rcpt, 0},
    {"data", smtpd_cmd_data, SMTPD_VERB_LAST},
    {"rset", smtpd_cmd_rset, SMTPD_VERB_JUNK | SMTPD_VERB_HELO},
    {"noop", smtpd_cmd_noop, SMTPD_VERB_LAST | SMTPD_VERB_JUNK | SMTPD_VERB_HELO},
    {"quit", smtpd_cmd_quit, SMTPD_VERB_LAST | SMTPD_VERB_HELO},
};
#define VERB_COUNT ARRAY_LEN(verbs)
_Static_assert(VERB_COUNT < SMTPD_VERBS_MAX, "one more for unknown commands");

/* What the log calls the verb. */
static const char *const labels[VERB_COUNT] = {"HELO", "EHLO", "MAIL", "RCPT",
                                               "DATA", "RSET", "NOOP", "QUIT"};

static size_t find_verb(struct span name)
{
    size_t i = 0;

    while (i < VERB_COUNT && !span_ieq_str(name, verbs[i].name))
        i++;
    return i;
}

static void unknown_command(struct smtpd_session *s)
{
    s->where = "UNKNOWN";
    smtpd_error(s, "500 5.5.2 Error: command not recognized");
}

void smtpd_command(struct smtpd_session *s, struct span line)
{
    struct span rest = span_trim(line), name;
    struct smtpd_count *count;
    size_t index;

    s->failed = false;
    if (!span_token(&rest, " \t", &name)) {
        smtpd_error(s, "500 5.5.2 Error: bad syntax");
        return;
    }
    index = find_verb(name);
    count = &s->counts[index];
    count->total++;
    if (index == VERB_COUNT) {
        unknown_command(s);
        return;
    }
    s->where = labels[index];
    verbs[index].run(s, span_trim(rest));
    if (!s->failed)
        count->ok++;
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
        add_count(out, i < VERB_COUNT ? verbs[i].name : "unknown", *count);
        strbuf_add_char(out, ' ');
        sum.ok += count->ok;
        sum.total += count->total;
    }
    if (sum.total)
        add_count(out, "commands", sum);
    else
        strbuf_add_str(out, "commands=0/0");
}
