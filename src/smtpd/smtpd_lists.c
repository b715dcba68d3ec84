#include "smtpd/smtpd_lists.h"

#include "global/mail_table.h"
#include "util/msg.h"

/* Stands in the default of smtpd_forbidden_commands; no table is needed for it. */
#define NON_LETTER_RULE "regexp:{{/^[^A-Z]/ Bogus}}"

static struct match_list *open_list(const struct config *cfg, const char *name,
                                    const char *text, enum match_kind kind)
{
    return match_list_open(cfg, name, text, kind);
}

static void open_forbidden(struct smtpd_lists *lists, const struct config *cfg)
{
    struct strbuf kept = STRBUF_INIT;
    struct span rest = span_str(cfg->smtpd_forbidden_commands), token;

    while (span_token_braces(&rest, ", \t\r\n", &token)) {
        if (span_eq_str(token, NON_LETTER_RULE)) {
            lists->forbid_non_letters = true;
            continue;
        }
        strbuf_add_span(&kept, token);
        strbuf_add_char(&kept, ' ');
    }
    lists->forbidden =
        open_list(cfg, "smtpd_forbidden_commands", kept.ptr, MATCH_STRING);
    strbuf_free(&kept);
}

static void open_maps(struct smtpd_lists *lists, const struct config *cfg)
{
    lists->ehlo_hidden = mail_maps(cfg, "smtpd_discard_ehlo_keyword_address_maps",
                                   cfg->smtpd_discard_ehlo_keyword_address_maps);
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

struct smtpd_lists *smtpd_lists_new(const struct config *cfg, struct arena *arena)
{
    struct smtpd_lists *lists = arena_alloc(arena, sizeof *lists);
    struct err err;

    lists->mynetworks = open_list(cfg, "mynetworks", cfg->mynetworks, MATCH_HOST);
    lists->limit_exceptions =
        open_list(cfg, "smtpd_client_event_limit_exceptions",
                  cfg->smtpd_client_event_limit_exceptions, MATCH_HOST);
    lists->bare_lf_exclusions =
        open_list(cfg, "smtpd_forbid_bare_newline_exclusions",
                  cfg->smtpd_forbid_bare_newline_exclusions, MATCH_HOST);
    lists->noop =
        open_list(cfg, "smtpd_noop_commands", cfg->smtpd_noop_commands, MATCH_STRING);
    open_forbidden(lists, cfg);
    lists->local_host = local_host_open(cfg, &err);
    if (!lists->local_host)
        msg_fatal("%s", err.text);
    lists->finder = (struct addr_finder){.cfg = cfg, .local = lists->local_host};
    open_maps(lists, cfg);
    return lists;
}

const char *smtpd_lists_changed(const struct smtpd_lists *lists)
{
    const struct maps *const maps[] = {
        lists->ehlo_hidden,     lists->canonical,       lists->recipient_canonical,
        lists->virtual_alias,   lists->local_recipient, lists->relay_recipient,
        lists->virtual_mailbox,
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
