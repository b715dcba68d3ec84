#include "trivial-rewrite/resolve.h"

#include <stdlib.h>

#include "global/addr.h"
#include "global/addr_find.h"
#include "global/mail_table.h"
#include "trivial-rewrite/rewrite.h"
#include "util/msg.h"

/* "a%b%c%d@here" peels one layer a round; nobody needs more. */
#define ROUTE_MAX 100

/* One set of routing parameters: for mail, and for address verification probes. */
struct routes {
    const char *local_transport, *virtual_transport, *relay_transport;
    const char *default_transport, *relayhost;
    struct maps *transport, *sender_relayhost, *sender_transport;
};

struct resolver {
    const struct config *cfg;
    struct domain_classes classes;
    struct addr_finder finder;
    struct maps *relocated;
    struct routes mail, probe;
};

static void routes_open_mail(struct routes *r, const struct config *cfg)
{
    r->local_transport = cfg->local_transport;
    r->virtual_transport = cfg->virtual_transport;
    r->relay_transport = cfg->relay_transport;
    r->default_transport = cfg->default_transport;
    r->relayhost = cfg->relayhost;
    r->transport = mail_maps(cfg, "transport_maps", cfg->transport_maps);
    r->sender_relayhost = mail_maps(cfg, "sender_dependent_relayhost_maps",
                                    cfg->sender_dependent_relayhost_maps);
    r->sender_transport = mail_maps(cfg, "sender_dependent_default_transport_maps",
                                    cfg->sender_dependent_default_transport_maps);
}

static void routes_open_probe(struct routes *r, const struct config *cfg)
{
    r->local_transport = cfg->address_verify_local_transport;
    r->virtual_transport = cfg->address_verify_virtual_transport;
    r->relay_transport = cfg->address_verify_relay_transport;
    r->default_transport = cfg->address_verify_default_transport;
    r->relayhost = cfg->address_verify_relayhost;
    r->transport = mail_maps(cfg, "address_verify_transport_maps",
                             cfg->address_verify_transport_maps);
    r->sender_relayhost =
        mail_maps(cfg, "address_verify_sender_dependent_relayhost_maps",
                  cfg->address_verify_sender_dependent_relayhost_maps);
    r->sender_transport =
        mail_maps(cfg, "address_verify_sender_dependent_default_transport_maps",
                  cfg->address_verify_sender_dependent_default_transport_maps);
}

static void routes_close(struct routes *r)
{
    maps_close(r->transport);
    maps_close(r->sender_relayhost);
    maps_close(r->sender_transport);
}

struct resolver *resolver_open(const struct config *cfg, struct err *err)
{
    struct resolver *rs = xcalloc(1, sizeof(*rs));

    rs->cfg = cfg;
    if (!domain_classes_open(&rs->classes, cfg, err)) {
        resolver_close(rs);
        return NULL;
    }
    rs->finder = (struct addr_finder){cfg, rs->classes.local};
    rs->relocated = mail_maps(cfg, "relocated_maps", cfg->relocated_maps);
    routes_open_mail(&rs->mail, cfg);
    routes_open_probe(&rs->probe, cfg);
    return rs;
}

void resolver_close(struct resolver *rs)
{
    if (!rs)
        return;
    domain_classes_close(&rs->classes);
    maps_close(rs->relocated);
    routes_close(&rs->mail);
    routes_close(&rs->probe);
    free(rs);
}

/* One question under way. */
struct query {
    struct resolver *rs;
    const struct routes *routes;
    struct arena *arena;
    struct span sender, address, local, domain;
    struct span transport, nexthop;
    int class, flags;
};

static struct span join(struct query *q, struct span local, struct span domain)
{
    return span_str(
        arena_printf(q->arena, "%.*s@%.*s", SPAN_ARG(local), SPAN_ARG(domain)));
}

static void set_address(struct query *q, struct span address)
{
    q->address = address;
    addr_split(address, &q->local, &q->domain);
}

static bool has_route(struct query *q, struct span local)
{
    const struct config *cfg = q->rs->cfg;

    /* An '@' in a local part is there because it was quoted. */
    return (span_chr(local, '@') >= 0 && cfg->resolve_dequoted_address) ||
           (span_chr(local, '%') >= 0 && cfg->allow_percent_hack) ||
           (span_chr(local, '!') >= 0 && cfg->swap_bangpath);
}

static void fail(struct query *q)
{
    q->flags |= RESOLVE_FAIL;
}

static void bad_address(struct query *q)
{
    q->flags |= RESOLVE_ERROR;
    q->transport = span_str("error");
    q->nexthop = span_str("5.1.3 bad address syntax");
}

/* An address without a domain is at this host, and so is the null address. */
static void complete_address(struct query *q)
{
    const struct config *cfg = q->rs->cfg;
    struct rewrite_context context = {cfg->myorigin, NULL};

    if (q->address.len == 0)
        q->address = span_str(cfg->empty_address_recipient);
    set_address(q, rewrite_standard_form(cfg, &context, q->address, q->arena));
}

/* At a domain of ours the local part may say where the mail really goes. False: the
 * domain is not ours, or there is no more to peel. */
static bool peel_route(struct query *q)
{
    const struct config *cfg = q->rs->cfg;
    struct rewrite_context context = rewrite_context_local(cfg);

    switch (local_host_is_local(q->rs->classes.local, q->domain)) {
    case MATCH_RETRY:
        fail(q);
        return false;
    case MATCH_NO:
        return false;
    case MATCH_YES:
        break;
    }
    if (q->local.len == 0) {
        set_address(q, join(q, span_str(cfg->empty_address_recipient), q->domain));
        return false;
    }
    if (!has_route(q, q->local))
        return false;
    set_address(q, rewrite_standard_form(cfg, &context, q->local, q->arena));
    return true;
}

static void normalize_domain(struct query *q)
{
    const struct config *cfg = q->rs->cfg;
    struct span d = q->domain;

    if (d.len == 0 && cfg->resolve_null_domain)
        set_address(q, join(q, q->local, span_str(cfg->myhostname)));
    else if (d.len > 1 && d.ptr[d.len - 1] == '.' && d.ptr[d.len - 2] != '.')
        set_address(q, join(q, q->local, span_first(d, d.len - 1)));
}

/* "user@192.0.2.1" is an address literal without its brackets. */
static void read_numeric_domain(struct query *q)
{
    struct net_addr addr;

    if (q->rs->cfg->resolve_numeric_domain && q->domain.len > 0 &&
        ascii_digit(q->domain.ptr[0]) && net_addr_parse(q->domain, 0, &addr))
        set_address(q, span_str(arena_printf(q->arena, "%.*s@[%.*s]",
                                             SPAN_ARG(q->local), SPAN_ARG(q->domain))));
}

static bool find_destination(struct query *q)
{
    for (int round = 0; round < ROUTE_MAX; round++) {
        if (span_rchr(q->address, '@') < 0)
            complete_address(q);
        normalize_domain(q);
        read_numeric_domain(q);
        if (!addr_is_wellformed(q->address) || q->domain.len == 0 ||
            (!q->rs->cfg->allow_min_user && q->address.ptr[0] == '-')) {
            bad_address(q);
            return false;
        }
        if (!peel_route(q))
            break;
    }
    if (q->flags & RESOLVE_FAIL)
        return false;
    if (has_route(q, q->local))
        q->flags |= RESOLVE_ROUTED;
    if (domain_class(&q->rs->classes, q->domain, &q->class) == MATCH_RETRY)
        fail(q);
    q->flags |= q->class;
    return !(q->flags & RESOLVE_FAIL);
}

/* "transport:nexthop": what is there replaces what we have; without a next hop it is
 * otherwise (NULL ptr: left alone). */
static void use_route(struct query *q, struct span text, struct span otherwise)
{
    ssize_t colon = span_chr(text, ':');
    struct span transport = colon < 0 ? text : span_first(text, (size_t)colon);
    struct span nexthop = colon < 0 ? SPAN_EMPTY : span_skip(text, (size_t)colon + 1);

    if (transport.len > 0)
        q->transport = transport;
    if (nexthop.len > 0)
        q->nexthop = nexthop;
    else if (span_eq_str(transport, "error") || span_eq_str(transport, "retry"))
        q->nexthop = SPAN_LIT("Address is undeliverable");
    else if (transport.len > 0 && otherwise.ptr)
        q->nexthop = otherwise;
}

/* Sender-dependent maps. FOUND with a value that is not DUNNO. */
static enum table_status find_by_sender(struct query *q, struct maps *maps,
                                        const char *empty_key, const char **value_out)
{
    struct span sender = q->sender.len > 0 ? q->sender : span_str(empty_key);
    unsigned steps = ADDR_FIND_FULL | ADDR_FIND_NO_EXT | ADDR_FIND_AT_DOMAIN;
    enum table_status status = TABLE_NOT_FOUND;

    if (!maps_empty(maps))
        status =
            addr_find(&q->rs->finder, maps, sender, steps, q->arena, value_out, NULL);
    if (status == TABLE_FOUND && strcasecmp(*value_out, "DUNNO") == 0)
        status = TABLE_NOT_FOUND;
    if (status == TABLE_RETRY)
        fail(q);
    return status;
}

/* The next hop of mail that leaves through relay_transport or default_transport. */
static struct span relayhost(struct query *q)
{
    const char *value;

    if (find_by_sender(q, q->routes->sender_relayhost,
                       q->rs->cfg->empty_address_relayhost_maps_lookup_key,
                       &value) == TABLE_FOUND)
        return span_str(value);
    return q->routes->relayhost[0] ? span_str(q->routes->relayhost) : q->domain;
}

static void route_default(struct query *q)
{
    const char *value;
    struct span hop = relayhost(q);

    q->nexthop = hop;
    use_route(q, span_str(q->routes->default_transport), hop);
    if (find_by_sender(q, q->routes->sender_transport,
                       q->rs->cfg->empty_address_default_transport_maps_lookup_key,
                       &value) == TABLE_FOUND)
        use_route(q, span_str(value), hop);
}

static void route_by_class(struct query *q)
{
    const struct routes *r = q->routes;

    switch (q->class) {
    case RESOLVE_CLASS_LOCAL:
        use_route(q, span_str(r->local_transport), q->domain);
        break;
    case RESOLVE_CLASS_ALIAS:
        q->transport = span_str("error");
        q->nexthop = span_str(q->rs->cfg->show_user_unknown_table_name
                                  ? "5.1.1 User unknown in virtual alias table"
                                  : "5.1.1 User unknown");
        break;
    case RESOLVE_CLASS_VIRTUAL:
        use_route(q, span_str(r->virtual_transport), q->domain);
        break;
    case RESOLVE_CLASS_RELAY:
        use_route(q, span_str(r->relay_transport), relayhost(q));
        break;
    default:
        route_default(q);
    }
}

static void apply_transport_map(struct query *q)
{
    struct maps *maps = q->routes->transport;
    bool parents = match_parent_domains(q->rs->cfg, "transport_maps");
    unsigned steps = ADDR_FIND_FULL | ADDR_FIND_NO_EXT | ADDR_FIND_DOMAIN |
                     (parents ? ADDR_FIND_PARENTS : ADDR_FIND_DOT_PARENTS);
    const char *value;

    if (maps_empty(maps))
        return;
    enum table_status status =
        addr_find(&q->rs->finder, maps, q->address, steps, q->arena, &value, NULL);
    if (status == TABLE_NOT_FOUND)
        status = maps_find(maps, SPAN_LIT("*"), TABLE_FIXED, q->arena, &value);
    if (status == TABLE_RETRY)
        fail(q);
    else if (status == TABLE_FOUND)
        use_route(q, span_str(value), q->domain);
}

static void apply_relocated_map(struct query *q)
{
    const char *value;

    switch (addr_find(&q->rs->finder, q->rs->relocated, q->address, ADDR_FIND_DEFAULT,
                      q->arena, &value, NULL)) {
    case TABLE_FOUND:
        q->transport = span_str("error");
        q->nexthop =
            span_str(q->rs->cfg->relocated_prefix_enable
                         ? arena_printf(q->arena, "5.1.6 User has moved to %s", value)
                         : value);
        break;
    case TABLE_NOT_FOUND:
        break;
    default:
        fail(q);
    }
}

void resolver_resolve(struct resolver *rs, bool probe, struct span sender,
                      struct span address, struct arena *arena, struct resolve *out)
{
    struct query q = {.rs = rs,
                      .routes = probe ? &rs->probe : &rs->mail,
                      .arena = arena,
                      .sender = sender};

    set_address(&q, address);
    if (find_destination(&q)) {
        route_by_class(&q);
        apply_transport_map(&q);
        apply_relocated_map(&q);
    }
    if (q.transport.len == 0 && !(q.flags & RESOLVE_FAIL)) {
        msg_warn("no transport for %.*s: check the transport parameters",
                 SPAN_ARG(q.domain));
        fail(&q);
    }
    out->transport = arena_span_str(arena, q.transport);
    out->nexthop = arena_span_str(arena, q.nexthop);
    out->recipient = arena_span_str(arena, q.address);
    out->flags = q.flags;
}

const char *resolver_changed(const struct resolver *rs)
{
    const struct maps *all[] = {
        rs->relocated,
        rs->mail.transport,
        rs->mail.sender_relayhost,
        rs->mail.sender_transport,
        rs->probe.transport,
        rs->probe.sender_relayhost,
        rs->probe.sender_transport,
    };
    const char *name = domain_classes_changed(&rs->classes);

    for (size_t i = 0; i < ARRAY_LEN(all) && !name; i++)
        name = maps_changed(all[i]);
    return name;
}
