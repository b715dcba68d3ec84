#include "cleanup/cleanup.h"

static void pre_jail(struct service *svc)
{
    struct cleanup_service *cs = arena_alloc(svc->arena, sizeof *cs);

    cleanup_service_init(cs, svc->cfg, svc->arena);
    cs->svc = svc;
    svc->data = cs;
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    (void)peer;
    cleanup_session(svc->data, stream);
}

static void retire(struct service *svc)
{
    cleanup_end_idle(svc->data);
}

static const struct service_ops cleanup_ops = {
    .program = "cleanup",
    .pre_jail = pre_jail,
    .session = session,
    .retire = retire,
};

int main(int argc, char **argv)
{
    return service_main(argc, argv, &cleanup_ops);
}
