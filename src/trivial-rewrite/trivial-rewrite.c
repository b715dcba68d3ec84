#include "global/rewrite_client.h"
#include "master/service.h"
#include "trivial-rewrite/resolve.h"
#include "trivial-rewrite/rewrite.h"
#include "util/loop.h"
#include "util/msg.h"

/* How often tables are looked at: a change is seen within this time. */
#define CHANGE_CHECK_MS 1000

struct program {
    struct resolver *resolver;
    struct rewrite_context local, remote;
    int64_t next_check;
};

static void pre_jail(struct service *svc)
{
    struct program *prog = arena_alloc(svc->arena, sizeof(*prog));
    struct err err;

    prog->resolver = resolver_open(svc->cfg, &err);
    if (!prog->resolver)
        msg_fatal("%s", err.text);
    prog->local = rewrite_context_local(svc->cfg);
    prog->remote = rewrite_context_remote(svc->cfg);
    svc->data = prog;
}

/* Results depend on the tables as they are now: a process that has seen old ones
 * ends, and clients reach its successor. */
static void check_tables(struct service *svc, struct program *prog)
{
    if (svc->retiring || loop_now() < prog->next_check)
        return;
    prog->next_check = loop_now() + CHANGE_CHECK_MS;
    const char *name = resolver_changed(prog->resolver);
    if (name) {
        msg_info("table %s has changed -- restarting", name);
        service_retire(svc);
    }
}

static void serve_rewrite(struct service *svc, struct frame_reader *r,
                          struct arena *arena, struct strbuf *reply)
{
    struct program *prog = svc->data;
    struct span context = frame_want_span(r, "context");
    struct span address = frame_want_span(r, "address");

    if (r->missing)
        return;
    const struct rewrite_context *rc =
        span_eq_str(context, "remote") ? &prog->remote : &prog->local;
    frame_span(reply, "address", rewrite_standard_form(svc->cfg, rc, address, arena));
}

static void serve_resolve(struct service *svc, struct frame_reader *r,
                          struct arena *arena, struct strbuf *reply)
{
    struct program *prog = svc->data;
    struct span sender = frame_want_span(r, "sender");
    struct span address = frame_want_span(r, "address");
    bool probe = frame_opt_num(r, "probe", 0) != 0;
    struct resolve result;

    if (r->missing)
        return;
    resolver_resolve(prog->resolver, probe, sender, address, arena, &result);
    frame_str(reply, "transport", result.transport);
    frame_str(reply, "nexthop", result.nexthop);
    frame_str(reply, "recipient", result.recipient);
    frame_num(reply, "flags", result.flags);
}

static void request(struct service *svc, struct span body, struct strbuf *reply)
{
    struct frame_reader r = frame_reader(body);
    struct span kind = frame_want_span(&r, "request");
    struct arena *arena = arena_new();

    check_tables(svc, svc->data);
    if (span_eq_str(kind, "rewrite"))
        serve_rewrite(svc, &r, arena, reply);
    else if (span_eq_str(kind, "resolve"))
        serve_resolve(svc, &r, arena, reply);
    else
        msg_warn("unknown request: %.*s", (int)(kind.len > 100 ? 100 : kind.len),
                 kind.ptr ? kind.ptr : "");
    if (r.missing)
        msg_warn("request %.*s: missing or malformed attribute: %s",
                 (int)(kind.len > 100 ? 100 : kind.len), kind.ptr ? kind.ptr : "",
                 r.missing);
    arena_free(arena);
}

static void on_exit_close(struct service *svc)
{
    struct program *prog = svc->data;

    resolver_close(prog->resolver);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "trivial-rewrite",
        .pre_jail = pre_jail,
        .request = request,
        .on_exit = on_exit_close,
    };

    return service_main(argc, argv, &ops);
}
