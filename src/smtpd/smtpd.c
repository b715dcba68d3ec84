/* smtpd(8): receive mail by SMTP. */
#include "smtpd/smtpd_policy.h"

static void pre_jail(struct service *svc)
{
    struct smtpd_service *ss = arena_alloc(svc->arena, sizeof *ss);

    ss->svc = svc;
    ss->cfg = svc->cfg;
    ss->cleanup = cleanup_client_new(svc->cfg);
    ss->rewrite = rewrite_client_new(svc->cfg);
    ss->policy = smtpd_policy_new(svc->cfg, svc->arena);
    list_init(&ss->sessions);
    svc->data = ss;
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    smtpd_session_run(svc->data, stream, peer);
}

/* After a reload clients may finish; when the system stops, those that wait are told
 * to come back later. */
static void retire(struct service *svc)
{
    struct smtpd_service *ss = svc->data;

    if (!svc->stopping)
        return;
    list_each(link, &ss->sessions)
    {
        struct smtpd_session *s = list_entry(link, struct smtpd_session, link);

        if (s->idle)
            fiber_cancel(s->fiber);
    }
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "smtpd", .pre_jail = pre_jail, .session = session, .retire = retire};

    return service_main(argc, argv, &ops);
}
