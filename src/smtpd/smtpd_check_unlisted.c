/* Is there such a user? Each class of domains has its own list of them. */
#include "global/addr.h"
#include "smtpd/smtpd_lists.h"
#include "smtpd/smtpd_policy.h"

struct user_table {
    int class; /* enum resolve_flag */
    struct maps *maps;
    bool empty_is_any; /* without a list everybody is known */
    int64_t code;
    const char *name;
};

static bool find_table(const struct smtpd_session *s, int flags, struct user_table *out)
{
    const struct smtpd_lists *lists = s->ss->lists;
    const struct config *cfg = s->cfg;
    const struct user_table tables[] = {
        {RESOLVE_CLASS_LOCAL, lists->local_recipient, true,
         cfg->unknown_local_recipient_reject_code, "local recipient"},
        {RESOLVE_CLASS_ALIAS, lists->virtual_alias, false,
         cfg->unknown_virtual_alias_reject_code, "virtual alias"},
        {RESOLVE_CLASS_VIRTUAL, lists->virtual_mailbox, true,
         cfg->unknown_virtual_mailbox_reject_code, "virtual mailbox"},
        {RESOLVE_CLASS_RELAY, lists->relay_recipient, true,
         cfg->unknown_relay_recipient_reject_code, "relay recipient"},
    };

    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        if (flags & tables[i].class) {
            *out = tables[i];
            return true;
        }
    }
    return false;
}

static enum table_status find_in(const struct smtpd_eval *ev, struct maps *maps,
                                 const char *address)
{
    const char *value;

    if (maps_empty(maps))
        return TABLE_NOT_FOUND;
    return addr_find(&ev->s->ss->lists->finder, maps, span_str(address),
                     ADDR_FIND_DEFAULT, ev->s->scratch, &value, NULL);
}

/* Mail that bounces, and mail for the people who care for it, always gets in. */
static bool is_built_in(const struct smtpd_eval *ev, const char *address)
{
    struct span local, domain;

    addr_split(span_str(address), &local, &domain);
    return span_ieq_str(local, "postmaster") ||
           span_ieq_str(local, ev->s->cfg->double_bounce_sender);
}

/* In one of the tables that map addresses of all classes to something else. */
static enum table_status find_mapped(const struct smtpd_eval *ev, const char *address)
{
    const struct smtpd_lists *lists = ev->s->ss->lists;
    struct maps *const maps[] = {lists->recipient_canonical, lists->canonical,
                                 lists->virtual_alias};
    enum table_status worst = TABLE_NOT_FOUND;

    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        enum table_status status = find_in(ev, maps[i], address);

        if (status == TABLE_FOUND)
            return TABLE_FOUND;
        if (status != TABLE_NOT_FOUND)
            worst = status;
    }
    return worst;
}

static enum table_status find_user(const struct smtpd_eval *ev,
                                   const struct user_table *table, const char *address)
{
    if (table->empty_is_any && maps_empty(table->maps))
        return TABLE_FOUND;
    if (table->class == RESOLVE_CLASS_LOCAL && is_built_in(ev, address))
        return TABLE_FOUND;
    return find_in(ev, table->maps, address);
}

static enum smtpd_verdict refuse_unknown(struct smtpd_eval *ev, enum smtpd_class class,
                                         const char *address,
                                         const struct user_table *table)
{
    const char *text = "User unknown";

    if (ev->s->cfg->show_user_unknown_table_name)
        text = arena_printf(ev->s->scratch, "User unknown in %s table", table->name);
    return smtpd_refuse_about(ev, class, address, (int)table->code,
                              class == SMTPD_CLASS_SENDER ? "5.1.0" : "5.1.1", text);
}

/* "error:5.1.1 text": routing itself says no. */
static enum smtpd_verdict refuse_routing(struct smtpd_eval *ev, enum smtpd_class class,
                                         const char *address, bool temporary,
                                         const char *nexthop)
{
    char status[DSN_STATUS_LEN];
    struct span text = dsn_split(span_str(nexthop), temporary ? "4.1.1" : "5.1.1",
                                 temporary ? '4' : '5', status);

    return smtpd_refuse_about(ev, class, address, temporary ? 450 : 550, status,
                              arena_span_str(ev->s->scratch, text));
}

static enum smtpd_verdict unlisted(struct smtpd_eval *ev, enum smtpd_class class,
                                   const char *address, const struct resolve *resolved)
{
    enum table_status status = find_mapped(ev, resolved->recipient);
    struct user_table table;

    if (status == TABLE_FOUND)
        return SMTPD_DUNNO;
    if (status != TABLE_NOT_FOUND)
        return smtpd_lookup_failure(ev, address);
    if (strcmp(resolved->transport, ev->s->cfg->error_service_name) == 0)
        return refuse_routing(ev, class, address, false, resolved->nexthop);
    if (strcmp(resolved->transport, "retry") == 0)
        return refuse_routing(ev, class, address, true, resolved->nexthop);
    if (!find_table(ev->s, resolved->flags, &table))
        return SMTPD_DUNNO;
    status = find_user(ev, &table, resolved->recipient);
    if (status == TABLE_FOUND)
        return SMTPD_DUNNO;
    return status == TABLE_NOT_FOUND ? refuse_unknown(ev, class, address, &table)
                                     : smtpd_lookup_failure(ev, address);
}

SMTPD_RESTRICTION(smtpd_check_unlisted_recipient)
{
    (void)check;
    if (!ev->recipient)
        return SMTPD_DUNNO;
    if (!smtpd_resolve_recipient(ev))
        return smtpd_lookup_failure(ev, ev->recipient);
    return unlisted(ev, SMTPD_CLASS_RCPT, ev->recipient, &ev->resolved);
}

SMTPD_RESTRICTION(smtpd_check_unlisted_sender)
{
    const char *sender = ev->s->trans.sender;
    struct resolve resolved;

    (void)check;
    if (!sender || !*sender)
        return SMTPD_DUNNO;
    if (!smtpd_resolve(ev, sender, &resolved))
        return smtpd_lookup_failure(ev, sender);
    return unlisted(ev, SMTPD_CLASS_SENDER, sender, &resolved);
}
