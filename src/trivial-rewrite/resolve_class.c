#include "trivial-rewrite/resolve_class.h"

#include "global/rewrite_client.h"
#include "util/msg.h"

bool domain_classes_open(struct domain_classes *classes, const struct config *cfg,
                         struct err *err)
{
    classes->local = local_host_open(cfg, err);
    if (!classes->local)
        return false;
    classes->alias = match_list_open(cfg, "virtual_alias_domains",
                                     cfg->virtual_alias_domains, MATCH_STRING);
    classes->mailbox = match_list_open(cfg, "virtual_mailbox_domains",
                                       cfg->virtual_mailbox_domains, MATCH_STRING);
    classes->relay =
        match_list_open(cfg, "relay_domains", cfg->relay_domains, MATCH_DOMAIN);
    return true;
}

void domain_classes_close(struct domain_classes *classes)
{
    local_host_close(classes->local);
    match_list_close(classes->alias);
    match_list_close(classes->mailbox);
    match_list_close(classes->relay);
}

/* The domain counts for the first list; standing in a later one is a mistake that
 * would stay unseen without a word. */
static void warn_if_both(struct match_list *other, const char *other_name,
                         const char *name, struct span domain)
{
    if (match_list_find(other, domain) == MATCH_YES)
        msg_warn("do not list domain %.*s in BOTH %s and %s", SPAN_ARG(domain), name,
                 other_name);
}

enum match_result domain_class(struct domain_classes *classes, struct span domain,
                               int *class_out)
{
    enum match_result result = local_host_is_local(classes->local, domain);

    if (result != MATCH_NO) {
        *class_out = RESOLVE_CLASS_LOCAL;
        if (result == MATCH_YES) {
            warn_if_both(classes->alias, "virtual_alias_domains", "mydestination",
                         domain);
            warn_if_both(classes->mailbox, "virtual_mailbox_domains", "mydestination",
                         domain);
        }
        return result;
    }
    if ((result = match_list_find(classes->alias, domain)) != MATCH_NO) {
        *class_out = RESOLVE_CLASS_ALIAS;
        if (result == MATCH_YES) {
            warn_if_both(classes->mailbox, "virtual_mailbox_domains",
                         "virtual_alias_domains", domain);
            warn_if_both(classes->relay, "relay_domains", "virtual_alias_domains",
                         domain);
        }
        return result;
    }
    if ((result = match_list_find(classes->mailbox, domain)) != MATCH_NO) {
        *class_out = RESOLVE_CLASS_VIRTUAL;
        if (result == MATCH_YES)
            warn_if_both(classes->relay, "relay_domains", "virtual_mailbox_domains",
                         domain);
        return result;
    }
    result = match_list_find(classes->relay, domain);
    *class_out = result == MATCH_YES ? RESOLVE_CLASS_RELAY : RESOLVE_CLASS_DEFAULT;
    return result == MATCH_NO ? MATCH_YES : result;
}

const char *domain_classes_changed(const struct domain_classes *classes)
{
    const char *name = local_host_changed(classes->local);

    if (!name)
        name = match_list_changed(classes->alias);
    if (!name)
        name = match_list_changed(classes->mailbox);
    if (!name)
        name = match_list_changed(classes->relay);
    return name;
}
