/* error(8) and retry(8): fail or put off every recipient with the text that is the
 * next hop, "[X.Y.Z ]text". The service named retry defers, any other bounces. */
#include "global/deliver.h"
#include "master/service.h"

static bool is_retry(const struct deliver *d)
{
    return strcmp(d->service, "retry") == 0;
}

static void handle(struct deliver *d, struct deliver_request *req, void *arg)
{
    struct dsn dsn = {
        .action = "", .diag_type = "", .diag_text = "", .mta_type = "", .mta_name = ""};
    bool retry = is_retry(d);
    struct span text =
        dsn_split_settled(span_str(req->nexthop), retry ? "4.0.0" : "5.0.0",
                          retry ? "defer_append" : "bounce_append", dsn.status);

    (void)arg;
    dsn.reason = arena_span_str(req->arena, text);
    for (size_t i = 0; i < req->env.rcpt_len; i++)
        deliver_status(d, req, i, "none", &dsn);
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
        .program = "error", .pre_jail = pre_jail, .session = session};

    return service_main(argc, argv, &ops);
}
