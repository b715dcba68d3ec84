/* Where inet services listen: addresses that are not here, taken or claimed twice.
 * Names of hosts are looked up in one rule only, which start and reload leave out. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postfix/check.h"

#define SEPARATORS    ", \t\r\n"
#define LISTENERS_MAX 512

struct listener {
    const struct master_entry *entry;
    struct net_addr addr;
};

struct listeners {
    struct listener list[LISTENERS_MAX];
    size_t count;
    bool ipv4, ipv6;
};

static bool protocol(const struct check *check, const char *name)
{
    struct span rest = span_str(check->cfg->inet_protocols), word;

    while (span_token(&rest, SEPARATORS, &word))
        if (span_ieq_str(word, "all") || span_ieq_str(word, name))
            return true;
    return false;
}

/* 0, or why the address cannot be bound. */
static int try_bind(const struct net_addr *addr)
{
    int on = 1, error = 0;
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (addr->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, &addr->sa, addr->len) < 0)
        error = errno;
    close(fd);
    return error;
}

/* Not here, and the kernel does not allow for that. */
static bool is_absent(const struct net_addr *addr)
{
    struct net_addr any_port = *addr;
    int error;

    net_addr_set_port(&any_port, 0);
    error = try_bind(&any_port);
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

static void add_host(struct listeners *all, const struct master_entry *entry,
                     struct span host, uint16_t port)
{
    struct net_addr addr;

    if (net_addr_parse(host, port, &addr) && all->count < LISTENERS_MAX)
        all->list[all->count++] = (struct listener){entry, addr};
}

static void add_interfaces(struct check *check, struct listeners *all,
                           const struct master_entry *entry, uint16_t port)
{
    struct span rest = span_str(check->cfg->inet_interfaces), word;

    while (span_token(&rest, SEPARATORS, &word)) {
        bool everything = span_ieq_str(word, "all");

        if (!everything && !span_ieq_str(word, "loopback-only")) {
            add_host(all, entry, word, port);
            continue;
        }
        if (all->ipv4)
            add_host(all, entry, span_str(everything ? "0.0.0.0" : "127.0.0.1"), port);
        if (all->ipv6)
            add_host(all, entry, span_str(everything ? "::" : "::1"), port);
    }
}

static bool split_name(const struct master_entry *entry, struct span *host,
                       uint16_t *port)
{
    struct span name = span_str(entry->name), text = name;

    *host = SPAN_EMPTY;
    return (span_chr(name, ':') < 0 || net_split_hostport(name, host, &text)) &&
           net_port_lookup(text, port);
}

static struct listeners *find_listeners(struct check *check)
{
    struct listeners *all = arena_alloc(check->arena, sizeof *all);

    all->ipv4 = protocol(check, "ipv4");
    all->ipv6 = protocol(check, "ipv6");
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span host;
        uint16_t port;

        if (entry->type != SERVICE_INET || entry_is_off(check, entry) ||
            !split_name(entry, &host, &port))
            continue;
        if (host.len)
            add_host(all, entry, host, port);
        else
            add_interfaces(check, all, entry, port);
    }
    return all;
}

static const char *show(const struct check *check, const struct net_addr *addr)
{
    char host[NET_ADDR_STRLEN];

    net_addr_host(addr, host);
    return arena_printf(check->arena,
                        addr->sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
                        (unsigned)net_addr_port(addr));
}

static bool is_wildcard(const struct net_addr *addr)
{
    return addr->sa.sa_family == AF_INET
               ? addr->in.sin_addr.s_addr == htonl(INADDR_ANY)
               : IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

/* With Linux a socket for all addresses leaves no room for one with an address. */
static bool excludes(const struct net_addr *addr)
{
#ifdef __linux__
    return is_wildcard(addr);
#else
    (void)addr;
    return false;
#endif
}

static bool collide(const struct net_addr *a, const struct net_addr *b)
{
    return a->sa.sa_family == b->sa.sa_family && net_addr_port(a) == net_addr_port(b) &&
           (excludes(a) || excludes(b) || net_addr_equal_host(a, b)) && !is_absent(a) &&
           !is_absent(b);
}

static void report_clash(struct check *check, const struct listeners *all, size_t i)
{
    const struct listener *mine = &all->list[i];

    for (size_t j = 0; j < i; j++) {
        const struct listener *other = &all->list[j];

        if (other->entry == mine->entry || !collide(&mine->addr, &other->addr))
            continue;
        check_found(check, at_entry(check, mine->entry),
                    "%s is taken by %s of service %s/inet (line %d)",
                    show(check, &mine->addr), show(check, &other->addr),
                    other->entry->name, other->entry->line);
        return;
    }
}

static void clashes(struct check *check)
{
    const struct listeners *all = find_listeners(check);

    /* Once a service: the first of its addresses that clashes says it all. */
    for (size_t i = 0; i < all->count; i++) {
        unsigned before = check->errors;

        report_clash(check, all, i);
        while (check->errors > before && i + 1 < all->count &&
               all->list[i + 1].entry == all->list[i].entry)
            i++;
    }
}

static void bad_ports(struct check *check)
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span host;
        uint16_t port;

        if (entry->type == SERVICE_INET && !entry_is_off(check, entry) &&
            !split_name(entry, &host, &port))
            check_found(check, at_entry(check, entry),
                        "\"%s\" is no port, and no address with a port", entry->name);
    }
}

static void port_in_use(struct check *check)
{
    const struct listeners *all = find_listeners(check);

    if (check->is_running)
        return;
    for (size_t i = 0; i < all->count; i++)
        if (try_bind(&all->list[i].addr) == EADDRINUSE)
            check_found(check, at_entry(check, all->list[i].entry),
                        "another process listens on %s",
                        show(check, &all->list[i].addr));
}

/* Services that listen on inet_interfaces, not on an address of their own. */
static bool interfaces_are_used(const struct check *check)
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span host;
        uint16_t port;

        if (entry->type == SERVICE_INET && !entry_is_off(check, entry) &&
            split_name(entry, &host, &port) && !host.len)
            return true;
    }
    return false;
}

static void absent_interfaces(struct check *check)
{
    struct span rest = span_str(check->cfg->inet_interfaces), word;
    struct net_addr addr;

    while (interfaces_are_used(check) && span_token(&rest, SEPARATORS, &word))
        if (net_addr_parse(word, 0, &addr) && addr.sa.sa_family == AF_INET &&
            is_absent(&addr))
            check_found(check, at_main(check, "inet_interfaces"),
                        "inet_interfaces: no interface has the address %.*s",
                        SPAN_ARG(word));
}

static void absent_ipv6_interfaces(struct check *check)
{
    struct span rest = span_str(check->cfg->inet_interfaces), word;
    struct net_addr addr;

    while (span_token(&rest, SEPARATORS, &word))
        if (net_addr_parse(word, 0, &addr) && addr.sa.sa_family == AF_INET6 &&
            protocol(check, "ipv6") && is_absent(&addr))
            check_found(check, at_main(check, "inet_interfaces"),
                        "inet_interfaces: no interface has the address %.*s",
                        SPAN_ARG(word));
}

static void absent_listeners(struct check *check)
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct net_addr addr;
        struct span host;
        uint16_t port;

        if (entry->type == SERVICE_INET && !entry_is_off(check, entry) &&
            split_name(entry, &host, &port) && net_addr_parse(host, port, &addr) &&
            is_absent(&addr))
            check_found(check, at_entry(check, entry),
                        "no interface has the address %.*s", SPAN_ARG(host));
    }
}

static void report_names(struct check *check, const char *parameter)
{
    struct span rest = span_str(view_value(&check->views[0], parameter)), word;
    struct addrinfo *found;
    struct net_addr addr;
    int error;

    while (span_token(&rest, SEPARATORS, &word)) {
        if (span_ieq_str(word, "all") || span_ieq_str(word, "loopback-only") ||
            net_addr_parse(word, 0, &addr))
            continue;
        error = getaddrinfo(arena_span_str(check->arena, word), NULL, NULL, &found);
        if (error == 0)
            freeaddrinfo(found);
        else
            check_found(check, at_main(check, parameter), "%s: host \"%.*s\": %s",
                        parameter, SPAN_ARG(word), gai_strerror(error));
    }
}

static void unknown_hosts(struct check *check)
{
    report_names(check, "inet_interfaces");
    report_names(check, "proxy_interfaces");
}

static void no_ipv6(struct check *check)
{
    struct net_interface *list = NULL;
    size_t count = net_interfaces(&list);
    bool found = false;

    for (size_t i = 0; i < count; i++)
        found = found || list[i].addr.sa.sa_family == AF_INET6;
    free(list);
    if (!found && !protocol(check, "ipv4") && protocol(check, "ipv6"))
        check_found(
            check, at_main(check, "inet_protocols"),
            "inet_protocols is ipv6 only, but no interface has an IPv6 address");
}

static void no_protocols(struct check *check)
{
    if (!protocol(check, "ipv4") && !protocol(check, "ipv6"))
        check_found(check, at_main(check, "inet_protocols"),
                    "inet_protocols names neither ipv4 nor ipv6");
}

/* A proxy address that is here is in inet_interfaces already. */
static void proxy_is_here(struct check *check)
{
    struct span rest = span_str(check->cfg->proxy_interfaces), word;
    struct net_addr addr;

    while (span_token(&rest, SEPARATORS, &word))
        if (net_addr_parse(word, 0, &addr) && addr_is_own(&addr))
            check_found(check, at_main(check, "proxy_interfaces"),
                        "proxy_interfaces: %.*s is an address of this host itself",
                        SPAN_ARG(word));
}

const struct check_rule check_listen_rules[] = {
    {"bad-port", CHECK_ERROR, CHECK_FATAL, bad_ports, "the master daemon cannot listen",
     "use a number, or a name of /etc/services"},
    {"listener-clash", CHECK_ERROR, CHECK_FATAL, clashes,
     "only one of them can listen, and the mail system does not start",
     "remove one of them, or give each its own address or port"},
    {"port-in-use", CHECK_WARNING, 0, port_in_use, "the mail system will not start",
     "stop the other process (\"ss -ltnp\" shows it), or use another port"},
    {"absent-interface", CHECK_ERROR, CHECK_FATAL, absent_interfaces,
     "the master daemon cannot listen there, and the mail system does not start",
     "correct the address, or bring the interface up first"},
    {"absent-ipv6-interface", CHECK_WARNING, 0, absent_ipv6_interfaces,
     "nobody listens there", "correct the address, or bring the interface up first"},
    {"absent-listener", CHECK_ERROR, CHECK_FATAL, absent_listeners,
     "the master daemon cannot listen there, and the mail system does not start",
     "correct the address, or bring the interface up first"},
    {"unknown-interface-host", CHECK_ERROR, 0, unknown_hosts,
     "services that need the address do not start",
     "correct the name, or use the address"},
    {"no-ipv6", CHECK_ERROR, 0, no_ipv6, "mail can neither come nor go",
     "set inet_protocols = all"},
    {"no-protocol", CHECK_ERROR, 0, no_protocols, "mail can neither come nor go",
     "set inet_protocols = all"},
    {"proxy-interface", CHECK_WARNING, 0, proxy_is_here,
     "proxy_interfaces is for addresses of devices in front of this host that pass "
     "mail "
     "on",
     "remove it there; it belongs to inet_interfaces"},
    {.code = NULL},
};
