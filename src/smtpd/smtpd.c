/* smtpd(8): receive mail by SMTP. */
#include "global/anvil_client.h"
#include "smtpd/smtpd_lists.h"
#include "smtpd/smtpd_policy.h"
#include "smtpd/smtpd_standalone.h"
#include "util/ipc.h"
#include "util/msg.h"

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
        smtpd_standalone();
    return service_main(argc, argv, &ops);
}
