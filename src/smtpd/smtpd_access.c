/* What the result of an access table asks for: a table of actions. */
#include <stdlib.h>

#include "global/header.h"
#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

/* One result under way. */
struct result {
    struct smtpd_eval *ev;
    const char *table;
    struct span key;
    const char *text; /* behind the action's name, "" none */
};

static struct smtpd_transaction *trans_of(const struct result *r)
{
    return &r->ev->s->trans;
}

static void complain(const struct result *r, const char *need)
{
    msg_warn("access table %s entry \"%.*s\" requires %s", r->table, SPAN_ARG(r->key),
             need);
}

/* "<a@b>: Recipient address triggers HOLD action", or the operator's own words. */
static void note(const struct result *r, const char *verb, const char *what)
{
    struct smtpd_eval *ev = r->ev;

    smtpd_note(ev, verb,
               arena_printf(ev->s->scratch, "<%s>: %s %s", ev->what,
                            smtpd_class_name(ev->class), what));
}

/* Texts of the transaction live as long as it does. Without one (at the HELO stage,
 * say) the action has no message to act on. */
static const char *keep(const struct result *r, const char *text)
{
    return trans_of(r)->arena ? arena_str(trans_of(r)->arena, text) : NULL;
}

static enum smtpd_verdict permit(const struct result *r)
{
    (void)r;
    return SMTPD_PERMIT;
}

static enum smtpd_verdict dunno(const struct result *r)
{
    (void)r;
    return SMTPD_DUNNO;
}

/* "[X.Y.Z ]text" */
static enum smtpd_verdict refuse_with(const struct result *r, int64_t code,
                                      const char *otherwise)
{
    char status[DSN_STATUS_LEN];
    struct span text = dsn_split(span_str(r->text), "5.7.1", 0, status);

    if (text.len == 0)
        text = span_str(otherwise);
    return smtpd_refuse(r->ev, (int)code, status,
                        arena_span_str(r->ev->s->scratch, text));
}

static enum smtpd_verdict reject(const struct result *r)
{
    return refuse_with(r, r->ev->s->cfg->access_map_reject_code, "Access denied");
}

static enum smtpd_verdict defer(const struct result *r)
{
    return refuse_with(r, r->ev->s->cfg->access_map_defer_code, "Access denied");
}

static enum smtpd_verdict defer_later(const struct result *r,
                                      enum smtpd_verdict (*later)(struct smtpd_eval *,
                                                                  int, const char *,
                                                                  const char *))
{
    char status[DSN_STATUS_LEN];
    struct span text = dsn_split(span_str(r->text), "4.7.1", '4', status);

    if (text.len == 0)
        text = SPAN_LIT("Service unavailable");
    return later(r->ev, (int)r->ev->s->cfg->access_map_defer_code, status,
                 arena_span_str(r->ev->s->scratch, text));
}

static enum smtpd_verdict defer_if_permit(const struct result *r)
{
    return defer_later(r, smtpd_defer_if_permit);
}

static enum smtpd_verdict defer_if_reject(const struct result *r)
{
    return defer_later(r, smtpd_defer_if_reject);
}

static enum smtpd_verdict warn(const struct result *r)
{
    smtpd_note(r->ev, "warn", r->text);
    return SMTPD_DUNNO;
}

static enum smtpd_verdict info(const struct result *r)
{
    smtpd_note(r->ev, "info", r->text);
    return SMTPD_DUNNO;
}

static enum smtpd_verdict hold(const struct result *r)
{
    note(r, "hold", *r->text ? r->text : "triggers HOLD action");
    trans_of(r)->flags |= CLEANUP_HOLD;
    return SMTPD_DUNNO;
}

static enum smtpd_verdict discard(const struct result *r)
{
    note(r, "discard", *r->text ? r->text : "triggers DISCARD action");
    trans_of(r)->flags |= CLEANUP_DISCARD;
    return SMTPD_PERMIT;
}

static enum smtpd_verdict filter(const struct result *r)
{
    const char *colon = strchr(r->text, ':');

    if (!colon || colon == r->text) {
        complain(r, "transport:destination");
        return SMTPD_DUNNO;
    }
    note(r, "filter", arena_printf(r->ev->s->scratch, "triggers FILTER %s", r->text));
    trans_of(r)->filter = keep(r, r->text);
    return SMTPD_DUNNO;
}

static enum smtpd_verdict redirect(const struct result *r)
{
    if (!strchr(r->text, '@')) {
        complain(r, "user@domain target");
        return SMTPD_DUNNO;
    }
    note(r, "redirect",
         arena_printf(r->ev->s->scratch, "triggers REDIRECT %s", r->text));
    trans_of(r)->redirect = keep(r, r->text);
    return SMTPD_DUNNO;
}

static void add_text(const struct result *r, struct smtpd_text **list)
{
    struct smtpd_text *text;

    if (!trans_of(r)->arena)
        return;
    text = arena_alloc(trans_of(r)->arena, sizeof *text);
    text->text = keep(r, r->text);
    while (*list)
        list = &(*list)->next;
    *list = text;
}

static enum smtpd_verdict bcc(const struct result *r)
{
    if (!strchr(r->text, '@')) {
        complain(r, "user@domain target");
        return SMTPD_DUNNO;
    }
    note(r, "bcc", arena_printf(r->ev->s->scratch, "triggers BCC %s", r->text));
    add_text(r, &trans_of(r)->bcc);
    return SMTPD_DUNNO;
}

static enum smtpd_verdict prepend(const struct result *r)
{
    struct span name, value;

    if (!header_parse_line(span_str(r->text), &name, &value)) {
        complain(r, "header: text");
        return SMTPD_DUNNO;
    }
    add_text(r, &trans_of(r)->prepend);
    return SMTPD_DUNNO;
}

static enum smtpd_verdict hangup(const struct result *r)
{
    smtpd_note(r->ev, "hangup", r->text);
    r->ev->s->end = SMTPD_DROPPED;
    r->ev->reply = "";
    return SMTPD_REJECT;
}

static const struct {
    const char *name;
    enum smtpd_verdict (*fn)(const struct result *r);
} actions[] = {
    {"ok", permit},
    {"relay", permit},
    {"dunno", dunno},
    {"reject", reject},
    {"defer", defer},
    {"defer_if_permit", defer_if_permit},
    {"defer_if_reject", defer_if_reject},
    {"warn", warn},
    {"info", info},
    {"hold", hold},
    {"discard", discard},
    {"filter", filter},
    {"redirect", redirect},
    {"bcc", bcc},
    {"prepend", prepend},
    {"hangup", hangup},
};

/* "450 text"; all digits alone mean OK. False: neither. */
static bool numeric_action(const struct result *r, struct span word,
                           enum smtpd_verdict *verdict_out)
{
    uint32_t code;

    if (!span_all_digits(word))
        return false;
    *verdict_out = SMTPD_PERMIT;
    if (!*r->text)
        return true;
    if (word.len != 3 || (word.ptr[0] != '4' && word.ptr[0] != '5') ||
        !span_u32(word, &code))
        return false;
    *verdict_out = refuse_with(r, code, "");
    return true;
}

enum smtpd_verdict smtpd_access_action(struct smtpd_eval *ev, const char *table,
                                       struct span key, const char *value)
{
    struct result r = {.ev = ev, .table = table, .key = key};
    struct span rest = span_str(value), word;
    enum smtpd_verdict verdict;

    if (!span_token(&rest, " \t\r\n", &word)) {
        msg_warn("access table %s entry \"%.*s\" has empty value", table,
                 SPAN_ARG(key));
        return SMTPD_PERMIT;
    }
    r.text = arena_span_str(ev->s->scratch, span_trim(rest));
    if (numeric_action(&r, word, &verdict))
        return verdict;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (span_ieq_str(word, actions[i].name))
            return actions[i].fn(&r);
    return smtpd_policy_nested(ev, value, table);
}
