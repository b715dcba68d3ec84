/* smtpd(8): receive mail by SMTP. */
#include "global/anvil_client.h"
#include "smtpd/smtpd_ehlo.h"
#include "smtpd/smtpd_lists.h"
#include "smtpd/smtpd_policy.h"
#include "smtpd/smtpd_standalone.h"
#include "util/ipc.h"
#include "util/msg.h"

/* What cleanup is to do with each message. */
static void read_overrides(struct smtpd_service *ss, const struct config *cfg)
{
    static const struct {
        const char *option;
        int without;
    } options[] = {
        {"no_address_mappings", CLEANUP_MAP_OK | CLEANUP_BCC_OK},
        {"no_header_body_checks", CLEANUP_FILTER},
        {"no_milters", CLEANUP_MILTER},
        {"no_unknown_recipient_checks", 0},
    };
    struct span rest = span_str(cfg->receive_override_options), token;

    ss->cleanup_flags = CLEANUP_EXTERNAL | CLEANUP_SMTP_REPLY;
    while (span_token(&rest, ", \t\r\n", &token)) {
        size_t i = 0;

        while (i < ARRAY_LEN(options) && !span_eq_str(token, options[i].option))
            i++;
        if (i == ARRAY_LEN(options))
            msg_fatal("unknown receive_override_options value \"%.*s\"",
                      SPAN_ARG(token));
        ss->cleanup_flags &= ~options[i].without;
        if (options[i].without == 0)
            ss->any_recipient = true;
    }
}

void smtpd_configure(struct smtpd_service *ss, const struct config *cfg,
                     struct arena *arena)
{
    ss->cfg = cfg;
    read_overrides(ss, cfg);
    ss->lists = smtpd_lists_new(cfg, arena, ss->svc == NULL);
    ss->bare_lf = smtpd_bare_lf_parse(cfg->smtpd_forbid_bare_newline);
    ss->ehlo_hidden = smtpd_ehlo_parse(cfg->smtpd_discard_ehlo_keywords,
                                       "smtpd_discard_ehlo_keywords");
}

static void pre_jail(struct service *svc)
{
    struct smtpd_service *ss = arena_alloc(svc->arena, sizeof *ss);
    const struct config *cfg = svc->cfg;

    ss->svc = svc;
    smtpd_configure(ss, cfg, svc->arena);
    ss->cleanup = cleanup_client_new(cfg);
    ss->rewrite = rewrite_client_new(cfg);
    ss->anvil = anvil_client_new(cfg);
    ss->flush =
        ipc_mux_new(arena_printf(svc->arena, "public/%s", cfg->flush_service_name),
                    cfg->ipc_timeout * 1000);
    ss->policy = smtpd_policy_new(cfg, svc->arena);
    svc->data = ss;
}

/* Processes that hold an old table end after the clients that they have. */
static void look_for_changes(struct smtpd_service *ss)
{
    const char *name = smtpd_lists_changed(ss->lists);

    if (!name)
        name = smtpd_policy_changed(ss->policy);
    if (!name || ss->svc->retiring)
        return;
    msg_info("table %s has changed -- restarting", name);
    service_retire(ss->svc);
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    smtpd_session_run(svc->data, stream, peer);
    look_for_changes(svc->data);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "smtpd", .pre_jail = pre_jail, .session = session};

    if (smtpd_standalone_wanted(argc, argv))
        return smtpd_standalone();
    return service_main(argc, argv, &ops);
}
