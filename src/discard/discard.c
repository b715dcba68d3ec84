/* discard(8): report every recipient as delivered and drop the message. The next hop
 * is the text for the log: "[X.Y.Z ]text". */
#include "global/deliver.h"
#include "master/service.h"

static void handle(struct deliver *d, struct deliver_request *req, void *arg)
{
    struct dsn dsn = {.action = "relayed",
                      .diag_type = "",
                      .diag_text = "",
                      .mta_type = "",
                      .mta_name = ""};
    struct span text =
        dsn_split_settled(span_str(req->nexthop), "2.0.0", "sent", dsn.status);

    (void)arg;
    dsn.reason = arena_span_str(req->arena, text);
    for (size_t i = 0; i < req->env.rcpt_len; i++)
        deliver_sent(d, req, i, "none", &dsn);
}

static void pre_jail(struct service *svc)
{
    svc->data = deliver_new(svc->cfg, svc->arena, svc->name);
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    (void)peer;
    deliver_serve(svc->data, stream, service_session_wait, svc, handle, NULL);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "discard", .pre_jail = pre_jail, .session = session};

    return service_main(argc, argv, &ops);
}
