#include <netdb.h>
#include <stdlib.h>

#include "global/local_host.h"
#include "util/msg.h"

struct addr_set {
    struct net_addr *list;
    size_t count;
};

struct local_host {
    struct match_list *destinations;
    struct addr_set own, proxy;
    bool use_v4, use_v6;
};

static bool contains(const struct addr_set *set, const struct net_addr *addr)
{
    for (size_t i = 0; i < set->count; i++)
        if (net_addr_equal_host(&set->list[i], addr))
            return true;
    return false;
}

static void add(const struct local_host *lh, struct addr_set *set, struct net_addr addr)
{
    if (!(addr.sa.sa_family == AF_INET ? lh->use_v4 : lh->use_v6))
        return;
    net_addr_set_port(&addr, 0);
    if (contains(set, &addr))
        return;
    set->list = xrealloc(set->list, (set->count + 1) * sizeof(*set->list));
    set->list[set->count++] = addr;
}

static bool add_name(struct local_host *lh, struct addr_set *set, const char *param,
                     struct span name, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char *host = xstrndup(name.ptr, name.len);
    int rc = getaddrinfo(host, NULL, &hints, &found);

    free(host);
    if (rc != 0)
        return err_set(err, "parameter %s: no local interface found for %.*s: %s",
                       param, SPAN_ARG(name), gai_strerror(rc));
    for (struct addrinfo *ai = found; ai; ai = ai->ai_next) {
        struct net_addr addr = {.len = ai->ai_addrlen};
        if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
            continue;
        memcpy(&addr.ss, ai->ai_addr, ai->ai_addrlen);
        add(lh, set, addr);
    }
    freeaddrinfo(found);
    return true;
}

static void add_interfaces(struct local_host *lh, struct addr_set *set,
                           bool loopback_only)
{
    struct net_interface *list;
    size_t count = net_interfaces(&list);

    for (size_t i = 0; i < count; i++)
        if (!loopback_only || net_addr_is_loopback(&list[i].addr))
            add(lh, set, list[i].addr);
    free(list);
}

static bool add_list(struct local_host *lh, struct addr_set *set, const char *param,
                     const char *text, struct err *err)
{
    struct span rest = span_str(text), name;
    struct net_addr addr;

    while (span_token(&rest, ", \t\r\n", &name)) {
        if (span_ieq_str(name, "all"))
            add_interfaces(lh, set, false);
        else if (span_ieq_str(name, "loopback-only"))
            add_interfaces(lh, set, true);
        else if (net_addr_parse(name, 0, &addr))
            add(lh, set, addr);
        else if (!add_name(lh, set, param, name, err))
            return false;
    }
    return true;
}

static void read_protocols(struct local_host *lh, const struct config *cfg)
{
    struct span rest = span_str(cfg->inet_protocols), name;

    while (span_token(&rest, ", \t\r\n", &name)) {
        bool all = span_ieq_str(name, "all");
        lh->use_v4 |= all || span_ieq_str(name, "ipv4");
        lh->use_v6 |= all || span_ieq_str(name, "ipv6");
    }
}

struct local_host *local_host_open(const struct config *cfg, struct err *err)
{
    struct local_host *lh = xcalloc(1, sizeof(*lh));

    read_protocols(lh, cfg);
    if (!add_list(lh, &lh->own, "inet_interfaces", cfg->inet_interfaces, err) ||
        !add_list(lh, &lh->proxy, "proxy_interfaces", cfg->proxy_interfaces, err)) {
        local_host_close(lh);
        return NULL;
    }
    lh->destinations =
        match_list_open(cfg, "mydestination", cfg->mydestination, MATCH_STRING);
    return lh;
}

void local_host_close(struct local_host *lh)
{
    if (!lh)
        return;
    match_list_close(lh->destinations);
    free(lh->own.list);
    free(lh->proxy.list);
    free(lh);
}

static bool literal_is_ours(const struct local_host *lh, struct span domain)
{
    struct net_addr addr;

    if (domain.len < 3 || domain.ptr[0] != '[' || domain.ptr[domain.len - 1] != ']' ||
        !net_addr_parse(span_of(domain.ptr + 1, domain.len - 2), 0, &addr))
        return false;
    return contains(&lh->own, &addr) || contains(&lh->proxy, &addr);
}

enum match_result local_host_is_local(struct local_host *lh, struct span domain)
{
    if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    enum match_result result = match_list_find(lh->destinations, domain);
    if (result != MATCH_NO)
        return result;
    return literal_is_ours(lh, domain) ? MATCH_YES : MATCH_NO;
}

bool local_host_owns(const struct local_host *lh, const struct net_addr *addr)
{
    return contains(&lh->own, addr);
}

bool local_host_is_proxy(const struct local_host *lh, const struct net_addr *addr)
{
    return contains(&lh->proxy, addr);
}

const char *local_host_changed(const struct local_host *lh)
{
    return match_list_changed(lh->destinations);
}

size_t local_host_addresses(const struct local_host *lh,
                            const struct net_addr **list_out)
{
    *list_out = lh->own.list;
    return lh->own.count;
}
