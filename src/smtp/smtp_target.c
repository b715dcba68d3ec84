/* From a next hop to the addresses to try: "domain" by MX, "[host]" without, ports,
 * "unix:path" and "inet:host:port" for LMTP. */
#include "smtp/smtp.h"

#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns/dns.h"
#include "util/msg.h"

/* More hosts than this are never of use; it bounds hostile MX sets. */
#define HOSTS_MAX 100

struct target {
    struct smtp_delivery *d;
    struct smtp_host *hosts;
    size_t count;
    uint16_t port;
    bool failed_for_now; /* some look-up may succeed later */
};

static void trouble(struct target *t, const char *status, const char *reason)
{
    if (status[0] == '4')
        t->failed_for_now = true;
    smtp_set_trouble(t->d, status, reason);
}

static bool family_wanted(const struct target *t, int family)
{
    const char *protocols = t->d->agent->cfg->inet_protocols;
    const char *word = family == AF_INET6 ? "ipv6" : "ipv4";

    return strcasestr(protocols, "all") || strcasestr(protocols, word);
}

static void add_host(struct target *t, struct span name, const struct net_addr *addr,
                     unsigned pref)
{
    struct smtp_host *host;

    if (t->count >= HOSTS_MAX || !family_wanted(t, addr->sa.sa_family))
        return;
    host = &t->hosts[t->count++];
    host->name = arena_span_str(t->d->arena, name);
    host->addr = *addr;
    host->pref = pref;
    net_addr_set_port(&host->addr, t->port);
}

static const char *dns_code(enum dns_status status)
{
    return status == DNS_RETRY ? "4.4.3" : status == DNS_FAIL ? "5.4.3" : "5.4.4";
}

/* Addresses of one host by DNS. Its own failure is trouble only if nothing is found
 * anywhere. */
static void add_addresses_dns(struct target *t, struct span name, unsigned pref)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    struct dns_result result;
    const char *code = NULL, *text = NULL;
    size_t before = t->count;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!family_wanted(t, types[i] == DNS_A ? AF_INET : AF_INET6))
            continue;
        if (dns_query(t->d->arena, types[i], name, 0, &result) == DNS_OK) {
            for (struct dns_record *r = result.records; r; r = r->next)
                if (r->type == types[i])
                    add_host(t, name, &r->addr, pref);
        } else if (!code || result.status == DNS_RETRY || strcmp(code, "5.4.4") == 0) {
            code = dns_code(result.status);
            text = result.text;
        }
    }
    if (t->count == before && code)
        trouble(t, code, text);
}

static void add_addresses_native(struct target *t, struct span name, unsigned pref)
{
    const char *host = arena_span_str(t->d->arena, name);
    struct net_addr *addrs;
    size_t count = 0;
    int error = net_name_to_addrs(host, AF_UNSPEC, &addrs, &count);

    if (error != 0) {
        trouble(t, error == EAI_AGAIN ? "4.4.4" : "5.4.4",
                arena_printf(t->d->arena, "unable to look up host %s: %s", host,
                             gai_strerror(error)));
        return;
    }
    for (size_t i = 0; i < count; i++)
        add_host(t, name, &addrs[i], pref);
    free(addrs);
}

static void add_addresses(struct target *t, struct span name, unsigned pref)
{
    struct span rest = span_str(t->d->agent->p.host_lookup), how;
    struct net_addr addr;
    size_t before = t->count;

    if (net_addr_parse(name, t->port, &addr)) {
        add_host(t, name, &addr, pref);
        return;
    }
    while (span_token(&rest, ", \t", &how) && t->count == before) {
        if (span_ieq_str(how, "native") || t->d->agent->cfg->disable_dns_lookups)
            add_addresses_native(t, name, pref);
        else
            add_addresses_dns(t, name, pref);
    }
}

static void null_mx(struct target *t, struct span domain)
{
    trouble(t, "5.1.0",
            arena_printf(t->d->arena, "Domain %.*s does not accept mail (nullMX)",
                         SPAN_ARG(domain)));
}

/* A host that finds itself among the MX hosts may only use better ones (RFC 5321, 5.1).
 * Another port is another server. */
static void drop_own_and_worse(struct target *t, struct span domain)
{
    const struct local_host *local = t->d->agent->local;
    unsigned own_pref = UINT_MAX;
    size_t kept = 0;
    uint16_t smtp_port;

    if (!net_port_lookup(span_str(t->d->agent->p.tcp_port), &smtp_port) ||
        smtp_port != t->port)
        return;
    for (size_t i = 0; i < t->count; i++)
        if ((local_host_owns(local, &t->hosts[i].addr) ||
             local_host_is_proxy(local, &t->hosts[i].addr)) &&
            t->hosts[i].pref < own_pref)
            own_pref = t->hosts[i].pref;
    if (own_pref == UINT_MAX)
        return;
    for (size_t i = 0; i < t->count; i++)
        if (t->hosts[i].pref < own_pref)
            t->hosts[kept++] = t->hosts[i];
    t->count = kept;
    t->d->loops = kept == 0;
    if (kept == 0)
        trouble(t, "5.4.6",
                arena_printf(t->d->arena, "mail for %.*s loops back to myself",
                             SPAN_ARG(domain)));
}

static void no_mx_address(struct target *t, struct span domain)
{
    msg_warn("no MX host for %.*s has a valid address record", SPAN_ARG(domain));
    if (t->d->agent->p.defer_if_no_mx_address_found)
        t->d->trouble.status[0] = '4';
}

static void add_by_mx(struct target *t, struct span domain)
{
    struct dns_result mx;

    switch (dns_query(t->d->arena, DNS_MX, domain, 0, &mx)) {
    case DNS_OK:
        dns_sort_by_pref(&mx);
        if (mx.records->target.len == 0) {
            null_mx(t, domain);
            return;
        }
        for (struct dns_record *r = mx.records; r; r = r->next)
            if (r->target.len > 0)
                add_addresses(t, r->target, r->pref);
        if (t->count == 0)
            no_mx_address(t, domain);
        return;
    case DNS_NODATA:
    case DNS_NOTFOUND:
        add_addresses(t, domain, 0); /* implicit MX, RFC 5321, 5.1 */
        return;
    default:
        trouble(t, dns_code(mx.status), mx.text);
    }
}

static unsigned random_below(unsigned limit)
{
    uint32_t value = 0;

    if (getentropy(&value, sizeof value) < 0)
        return 0;
    return value % limit;
}

static int by_pref(const void *a, const void *b)
{
    const struct smtp_host *x = a, *y = b;

    return x->pref < y->pref ? -1 : x->pref > y->pref;
}

static bool is_preferred(const struct target *t, const struct smtp_host *host)
{
    const char *preference = t->d->agent->p.address_preference;

    return (strcasecmp(preference, "ipv6") == 0 &&
            host->addr.sa.sa_family == AF_INET6) ||
           (strcasecmp(preference, "ipv4") == 0 && host->addr.sa.sa_family == AF_INET);
}

/* Equal preferences in random order (RFC 5321, 5.1), the preferred family first. */
static void arrange(struct target *t)
{
    for (size_t i = t->count; t->d->agent->p.randomize_addresses && i > 1; i--) {
        size_t k = random_below((unsigned)i);
        struct smtp_host swap = t->hosts[i - 1];

        t->hosts[i - 1] = t->hosts[k];
        t->hosts[k] = swap;
    }
    for (size_t i = 0; i < t->count; i++)
        t->hosts[i].pref = t->hosts[i].pref * 2 + !is_preferred(t, &t->hosts[i]);
    qsort(t->hosts, t->count, sizeof *t->hosts, by_pref);
}

static bool same_family(const struct smtp_host *a, const struct smtp_host *b)
{
    return a->addr.sa.sa_family == b->addr.sa.sa_family;
}

/* Keep the first hosts. If all of them are of one address family, the other one gets
 * half of the places: this host may have no route for the first. */
static void limit_hosts(struct target *t)
{
    const struct smtp_params *p = &t->d->agent->p;
    size_t limit = (size_t)p->mx_address_limit, kept = limit - limit / 2, same = 1;

    if (limit == 0 || t->count <= limit)
        return;
    while (same < t->count && same_family(&t->hosts[same], &t->hosts[0]))
        same++;
    for (size_t i = same;
         p->balance_inet_protocols && same >= limit && i < t->count && kept < limit;
         i++)
        if (!same_family(&t->hosts[i], &t->hosts[0]))
            t->hosts[kept++] = t->hosts[i];
    t->count = limit;
}

static bool add_unix(struct target *t, struct span path)
{
    struct net_addr addr;

    if (!net_addr_unix(arena_span_str(t->d->arena, path), &addr)) {
        trouble(t, "4.3.5", "UNIX socket name is too long");
        return false;
    }
    t->hosts[0].name = t->d->agent->cfg->myhostname;
    t->hosts[0].addr = addr;
    t->count = 1;
    return true;
}

static bool set_port(struct target *t, struct span text)
{
    struct span port = text.len ? text : span_str(t->d->agent->p.tcp_port);

    if (net_port_lookup(port, &t->port))
        return true;
    trouble(t, "4.3.5",
            arena_printf(t->d->arena, "unknown service: %.*s/tcp", SPAN_ARG(port)));
    return false;
}

size_t smtp_target_hosts(struct smtp_delivery *d, struct span nexthop,
                         struct smtp_host **hosts_out)
{
    struct target t = {.d = d};
    struct span host, port;
    bool use_mx = !d->agent->p.lmtp && !d->agent->cfg->disable_dns_lookups;

    t.hosts = arena_alloc(d->arena, HOSTS_MAX * sizeof *t.hosts);
    *hosts_out = t.hosts;
    if (d->agent->p.lmtp && span_starts(nexthop, SPAN_LIT("unix:"))) {
        add_unix(&t, span_skip(nexthop, 5));
        return t.count;
    }
    if (d->agent->p.lmtp && span_starts(nexthop, SPAN_LIT("inet:")))
        nexthop = span_skip(nexthop, 5);
    if (!net_split_hostport(nexthop, &host, &port) || host.len == 0) {
        trouble(&t, "4.3.5",
                arena_printf(d->arena, "invalid next-hop destination: %.*s",
                             SPAN_ARG(nexthop)));
        return 0;
    }
    if (!set_port(&t, port))
        return 0;
    if (host.ptr[0] == '[') {
        host = span_first(span_skip(host, 1), host.len - 2);
        use_mx = false;
    }
    if (use_mx) {
        add_by_mx(&t, host);
        drop_own_and_worse(&t, host);
    } else {
        add_addresses(&t, host, 0);
    }
    if (t.count == 0 && t.failed_for_now && d->trouble.status[0] == '5')
        d->trouble.status[0] = '4';
    arrange(&t);
    limit_hosts(&t);
    return t.count;
}
