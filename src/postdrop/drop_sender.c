#include "postdrop/drop_sender.h"

#include <pwd.h>
#include <unistd.h>

#include "global/addr.h"
#include "global/mail_table.h"

static bool address_matches(struct span wanted, const char *delimiters,
                            struct span sender)
{
    struct span local, domain, user, extension, wanted_local, wanted_domain;

    if (span_ieq(wanted, sender))
        return true;
    addr_split(sender, &local, &domain);
    addr_split(wanted, &wanted_local, &wanted_domain);
    if (wanted_local.len == 0 && wanted_domain.len > 0)
        return span_ieq(wanted_domain, domain);
    return addr_split_extension(local, delimiters, &user, &extension) &&
           span_ieq(user, wanted_local) && span_ieq(domain, wanted_domain);
}

bool drop_sender_matches(const char *list, const char *null_key, const char *delimiters,
                         struct span sender)
{
    struct span rest = span_str(list), word;

    while (span_token(&rest, ", \t\r\n", &word)) {
        if (span_eq_str(word, "*"))
            return true;
        if (sender.len == 0 ? span_ieq_str(word, null_key)
                            : address_matches(word, delimiters, sender))
            return true;
    }
    return false;
}

enum drop_sender drop_sender_check(const struct config *cfg, struct arena *arena,
                                   struct span sender, const char **reason_out)
{
    const char *tables = cfg->local_login_sender_maps, *list = NULL;
    const struct passwd *pw;
    enum table_status status;
    struct maps *maps;

    /* The default, which spares the look-up of the login name. */
    if (strcmp(tables, "static:*") == 0)
        return DROP_SENDER_OK;
    pw = getpwuid(getuid());
    maps = mail_maps(cfg, "local_login_sender_maps", tables);
    status = maps_find(maps, span_str(pw ? pw->pw_name : "unknown"), 0, arena, &list);
    maps_close(maps);
    if (status == TABLE_FOUND &&
        drop_sender_matches(list, cfg->empty_address_local_login_sender_maps_lookup_key,
                            cfg->recipient_delimiter, sender))
        return DROP_SENDER_OK;
    if (status == TABLE_FOUND || status == TABLE_NOT_FOUND) {
        *reason_out = arena_printf(arena, "not authorized to use sender='%.*s'",
                                   SPAN_ARG(sender));
        return DROP_SENDER_DENIED;
    }
    *reason_out = arena_printf(
        arena, "local_login_sender_maps table lookup error for '%s'", tables);
    return DROP_SENDER_ERROR;
}
