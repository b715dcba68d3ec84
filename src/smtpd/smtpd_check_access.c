/* Look-ups in access tables: from the whole name or address to ever shorter parts of
 * it, as access(5) describes. */
#include "global/match_list.h"
#include "smtpd/smtpd_lists.h"
#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

/* One look-up for one subject. */
struct search {
    struct smtpd_eval *ev;
    const struct smtpd_check *check;
    struct span key;
    const char *value;
    enum table_status status;
};

/* True: the search is over. Tables of patterns see whole keys only. */
static bool try_key(struct search *search, struct span key, bool whole)
{
    search->key = key;
    search->status = maps_find(search->check->maps, key, whole ? 0 : TABLE_FIXED,
                               search->ev->s->scratch, &search->value);
    return search->status != TABLE_NOT_FOUND;
}

static enum smtpd_verdict conclude(struct search *search)
{
    switch (search->status) {
    case TABLE_FOUND:
        return smtpd_access_action(search->ev, search->check->arg, search->key,
                                   search->value);
    case TABLE_NOT_FOUND:
        return SMTPD_DUNNO;
    default:
        return smtpd_server_error(search->ev);
    }
}

/* "a.b.c", then its parents: as "b.c" or ".b.c". */
static bool search_name(struct search *search, struct span name)
{
    bool plain = match_parent_domains(search->ev->s->cfg, "smtpd_access_maps");
    struct span part = name;
    ssize_t dot;

    if (name.len == 0)
        return false;
    if (try_key(search, name, true))
        return true;
    while ((dot = span_chr(span_skip(part, 1), '.')) >= 0) {
        part = span_skip(part, (size_t)dot + 1);
        if (part.len > 1 && try_key(search, plain ? span_skip(part, 1) : part, false))
            return true;
    }
    return false;
}

/* "192.0.2.1", "192.0.2", ..., or with ":" for IPv6. */
static bool search_address(struct search *search, const char *address)
{
    struct span part = span_str(address);
    char separator = strchr(address, ':') ? ':' : '.';
    bool whole = true;

    for (;;) {
        ssize_t at;

        if (part.len > 0 && try_key(search, part, whole))
            return true;
        at = span_rchr(part, separator);
        if (at < 0)
            return false;
        part = span_first(part, (size_t)at);
        while (part.len > 0 && part.ptr[part.len - 1] == separator)
            part.len--;
        whole = false;
    }
}

static enum smtpd_verdict
check_client(struct smtpd_eval *ev, const struct smtpd_check *check, const char *name)
{
    struct search search = {.ev = ev, .check = check, .status = TABLE_NOT_FOUND};

    if (!search_name(&search, span_str(name)))
        search_address(&search, ev->s->client.address);
    return conclude(&search);
}

SMTPD_RESTRICTION(smtpd_check_client_access)
{
    enum smtpd_class class = ev->class;
    const char *what = ev->what;
    enum smtpd_verdict verdict;

    ev->class = SMTPD_CLASS_CLIENT;
    ev->what = ev->s->client.namaddr;
    verdict = check_client(ev, check, ev->s->client.name);
    ev->class = class;
    ev->what = what;
    return verdict;
}

SMTPD_RESTRICTION(smtpd_check_reverse_client_access)
{
    enum smtpd_class class = ev->class;
    const char *what = ev->what;
    enum smtpd_verdict verdict;

    ev->class = SMTPD_CLASS_CLIENT;
    ev->what = ev->s->client.namaddr;
    verdict = check_client(ev, check, ev->s->client.reverse_name);
    ev->class = class;
    ev->what = what;
    return verdict;
}

static enum smtpd_verdict check_name(struct smtpd_eval *ev,
                                     const struct smtpd_check *check,
                                     enum smtpd_class class, const char *name)
{
    struct search search = {.ev = ev, .check = check, .status = TABLE_NOT_FOUND};
    enum smtpd_class old_class = ev->class;
    const char *old_what = ev->what;
    enum smtpd_verdict verdict;

    if (!name)
        return SMTPD_DUNNO;
    search_name(&search, span_str(name));
    ev->class = class;
    ev->what = name;
    verdict = conclude(&search);
    ev->class = old_class;
    ev->what = old_what;
    return verdict;
}

SMTPD_RESTRICTION(smtpd_check_helo_access)
{
    return check_name(ev, check, SMTPD_CLASS_HELO, ev->s->helo);
}

SMTPD_RESTRICTION(smtpd_check_etrn_access)
{
    return check_name(ev, check, SMTPD_CLASS_ETRN, ev->etrn_name);
}

static enum smtpd_verdict check_mail(struct smtpd_eval *ev,
                                     const struct smtpd_check *check,
                                     enum smtpd_class class, const char *address,
                                     struct span key)
{
    const struct smtpd_session *s = ev->s;
    unsigned parents = match_parent_domains(s->cfg, "smtpd_access_maps")
                           ? ADDR_FIND_PARENTS
                           : ADDR_FIND_DOT_PARENTS;
    struct search search = {.ev = ev, .check = check, .key = key};
    enum smtpd_class old_class = ev->class;
    const char *old_what = ev->what;
    enum smtpd_verdict verdict;

    search.status = addr_find(&s->ss->lists->finder, check->maps, key,
                              ADDR_FIND_FULL | ADDR_FIND_NO_EXT | ADDR_FIND_DOMAIN |
                                  parents | ADDR_FIND_USER_AT,
                              s->scratch, &search.value, NULL);
    ev->class = class;
    ev->what = address;
    verdict = conclude(&search);
    ev->class = old_class;
    ev->what = old_what;
    return verdict;
}

SMTPD_RESTRICTION(smtpd_check_sender_access)
{
    const char *sender = ev->s->trans.sender;

    if (!sender)
        return SMTPD_DUNNO;
    return check_mail(
        ev, check, SMTPD_CLASS_SENDER, sender,
        span_str(*sender ? sender : ev->s->cfg->smtpd_null_access_lookup_key));
}

SMTPD_RESTRICTION(smtpd_check_recipient_access)
{
    if (!ev->recipient)
        return SMTPD_DUNNO;
    if (!smtpd_resolve_recipient(ev))
        return smtpd_lookup_failure(ev, ev->recipient);
    return check_mail(ev, check, SMTPD_CLASS_RCPT, ev->recipient,
                      span_str(ev->resolved.recipient));
}
