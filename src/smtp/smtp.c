/* smtp(8) and lmtp(8): the service. */
#include "smtp/smtp.h"

#include "util/msg.h"

static void pre_jail(struct service *svc)
{
    struct smtp_agent *agent = arena_alloc(svc->arena, sizeof *agent);
    struct err err;

    agent->local = local_host_open(svc->cfg, &err);
    if (!agent->local)
        msg_fatal("%s", err.text);
    agent->svc = svc;
    agent->cfg = svc->cfg;
    smtp_params_init(&agent->p, svc->cfg, strcmp(svc->cfg->program, "lmtp") == 0);
    agent->deliver = deliver_new(svc->cfg, svc->arena, svc->name);
    list_init(&agent->cached);
    svc->data = agent;
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    struct smtp_agent *agent = svc->data;

    (void)peer;
    deliver_serve(agent->deliver, stream, service_session_wait, svc, smtp_deliver,
                  agent);
}

static void end_parked(struct service *svc)
{
    smtp_cache_clear(svc->data);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "smtp",
        .pre_jail = pre_jail,
        .session = session,
        .retire = end_parked,
        .on_exit = end_parked,
    };

    return service_main(argc, argv, &ops);
}
