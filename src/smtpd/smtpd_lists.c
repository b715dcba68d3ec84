#include "smtpd/smtpd_lists.h"

#include "global/mail_table.h"
#include "util/msg.h"

static void open_maps(struct smtpd_lists *lists, const struct config *cfg)
{
    lists->canonical = mail_maps(cfg, "canonical_maps", cfg->canonical_maps);
    lists->recipient_canonical =
        mail_maps(cfg, "recipient_canonical_maps", cfg->recipient_canonical_maps);
    lists->virtual_alias =
        mail_maps(cfg, "virtual_alias_maps", cfg->virtual_alias_maps);
    lists->local_recipient =
        mail_maps(cfg, "local_recipient_maps", cfg->local_recipient_maps);
    lists->relay_recipient =
        mail_maps(cfg, "relay_recipient_maps", cfg->relay_recipient_maps);
    lists->virtual_mailbox =
        mail_maps(cfg, "virtual_mailbox_maps", cfg->virtual_mailbox_maps);
}

static void open_networks(struct smtpd_lists *lists, const struct config *cfg)
{
    lists->mynetworks = match_list_open(cfg, "mynetworks", cfg->mynetworks, MATCH_HOST);
    lists->limit_exceptions =
        match_list_open(cfg, "smtpd_client_event_limit_exceptions",
                        cfg->smtpd_client_event_limit_exceptions, MATCH_HOST);
    lists->bare_lf_exclusions =
        match_list_open(cfg, "smtpd_forbid_bare_newline_exclusions",
                        cfg->smtpd_forbid_bare_newline_exclusions, MATCH_HOST);
}

struct smtpd_lists *smtpd_lists_new(const struct config *cfg, struct arena *arena,
                                    bool standalone)
{
    struct smtpd_lists *lists = arena_alloc(arena, sizeof *lists);
    struct err err;

    lists->noop = match_list_open(cfg, "smtpd_noop_commands", cfg->smtpd_noop_commands,
                                  MATCH_STRING);
    lists->forbidden = match_list_open(cfg, "smtpd_forbidden_commands",
                                       cfg->smtpd_forbidden_commands, MATCH_STRING);
    lists->command_filter =
        mail_maps(cfg, "smtpd_command_filter", cfg->smtpd_command_filter);
    lists->ehlo_hidden = mail_maps(cfg, "smtpd_discard_ehlo_keyword_address_maps",
                                   cfg->smtpd_discard_ehlo_keyword_address_maps);
    if (standalone)
        return lists;
    open_networks(lists, cfg);
    open_maps(lists, cfg);
    lists->local_host = local_host_open(cfg, &err);
    if (!lists->local_host)
        msg_fatal("%s", err.text);
    lists->finder = (struct addr_finder){.cfg = cfg, .local = lists->local_host};
    return lists;
}

const char *smtpd_lists_changed(const struct smtpd_lists *lists)
{
    const struct maps *const maps[] = {
        lists->command_filter,      lists->ehlo_hidden,     lists->canonical,
        lists->recipient_canonical, lists->virtual_alias,   lists->local_recipient,
        lists->relay_recipient,     lists->virtual_mailbox,
    };
    struct match_list *const matches[] = {
        lists->mynetworks,
        lists->limit_exceptions,
        lists->bare_lf_exclusions,
        lists->forbidden,
        lists->noop,
    };
    const char *name = local_host_changed(lists->local_host);

    for (size_t i = 0; i < ARRAY_LEN(maps) && !name; i++)
        name = maps_changed(maps[i]);
    for (size_t i = 0; i < ARRAY_LEN(matches) && !name; i++)
        name = match_list_changed(matches[i]);
    return name;
}
