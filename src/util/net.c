#include "util/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Copy a span into a C string; false when it does not fit or holds a NUL. */
static bool span_to_cstr(struct span s, char *out, size_t size)
{
    if (s.len >= size || (s.len && memchr(s.ptr, '\0', s.len)))
        return false;
    if (s.len)
        memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

static bool parse_v6(char *text, uint16_t port, struct net_addr *addr)
{
    char *scope = strchr(text, '%');

    if (scope)
        *scope++ = '\0';
    if (inet_pton(AF_INET6, text, &addr->in6.sin6_addr) != 1)
        return false;
    if (scope) {
        uint32_t number;

        addr->in6.sin6_scope_id = if_nametoindex(scope);
        if (addr->in6.sin6_scope_id == 0) {
            if (!span_u32(span_str(scope), &number))
                return false;
            addr->in6.sin6_scope_id = number;
        }
    }
    addr->in6.sin6_family = AF_INET6;
    addr->in6.sin6_port = htons(port);
    addr->len = sizeof addr->in6;
    return true;
}

bool net_addr_parse(struct span text, uint16_t port, struct net_addr *addr_out)
{
    char buf[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    bool want_v6 = false;

    memset(addr_out, 0, sizeof *addr_out);
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = span_of(text.ptr + 1, text.len - 2);
    if (span_istarts(text, SPAN_LIT("IPv6:"))) {
        text = span_skip(text, 5);
        want_v6 = true;
    }
    if (!span_to_cstr(text, buf, sizeof buf))
        return false;
    if (want_v6 || strchr(buf, ':'))
        return parse_v6(buf, port, addr_out);
    if (inet_pton(AF_INET, buf, &addr_out->in.sin_addr) != 1)
        return false;
    addr_out->in.sin_family = AF_INET;
    addr_out->in.sin_port = htons(port);
    addr_out->len = sizeof addr_out->in;
    return true;
}

bool net_addr_unix(const char *path, struct net_addr *addr_out)
{
    size_t len = strlen(path);

    memset(addr_out, 0, sizeof *addr_out);
    if (len >= sizeof addr_out->un.sun_path)
        return false;
    addr_out->un.sun_family = AF_UNIX;
    memcpy(addr_out->un.sun_path, path, len + 1);
    addr_out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return true;
}

void net_addr_host(const struct net_addr *addr, char out[NET_ADDR_STRLEN])
{
    out[0] = '\0';
    if (addr->len == 0)
        return;
    if (addr->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &addr->in.sin_addr, out, NET_ADDR_STRLEN);
    } else if (addr->sa.sa_family == AF_INET6) {
        char scope[IF_NAMESIZE];

        inet_ntop(AF_INET6, &addr->in6.sin6_addr, out, NET_ADDR_STRLEN);
        if (addr->in6.sin6_scope_id && if_indextoname(addr->in6.sin6_scope_id, scope)) {
            size_t len = strlen(out);

            snprintf(out + len, NET_ADDR_STRLEN - len, "%%%s", scope);
        }
    }
}

uint16_t net_addr_port(const struct net_addr *addr)
{
    if (addr->len == 0)
        return 0;
    if (addr->sa.sa_family == AF_INET)
        return ntohs(addr->in.sin_port);
    if (addr->sa.sa_family == AF_INET6)
        return ntohs(addr->in6.sin6_port);
    return 0;
}

void net_addr_set_port(struct net_addr *addr, uint16_t port)
{
    if (addr->sa.sa_family == AF_INET)
        addr->in.sin_port = htons(port);
    else if (addr->sa.sa_family == AF_INET6)
        addr->in6.sin6_port = htons(port);
}

bool net_addr_equal_host(const struct net_addr *a, const struct net_addr *b)
{
    if (a->len == 0 || b->len == 0 || a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    if (a->sa.sa_family == AF_INET6)
        return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0 &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id;
    if (a->sa.sa_family == AF_UNIX)
        return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
    return false;
}

bool net_addr_is_loopback(const struct net_addr *addr)
{
    struct net_addr plain = *addr;

    if (addr->len == 0)
        return false;
    net_addr_unmap(&plain);
    if (plain.sa.sa_family == AF_INET)
        return ntohl(plain.in.sin_addr.s_addr) >> 24 == 127;
    if (plain.sa.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&plain.in6.sin6_addr);
    return false;
}

void net_addr_unmap(struct net_addr *addr)
{
    struct net_addr v4 = {0};

    if (addr->len == 0 || addr->sa.sa_family != AF_INET6 ||
        !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
        return;
    v4.in.sin_family = AF_INET;
    v4.in.sin_port = addr->in6.sin6_port;
    memcpy(&v4.in.sin_addr, (const char *)&addr->in6.sin6_addr + 12, 4);
    v4.len = sizeof v4.in;
    *addr = v4;
}

bool net_split_hostport(struct span text, struct span *host_out, struct span *port_out)
{
    ssize_t colon;

    *host_out = *port_out = SPAN_EMPTY;
    if (text.len == 0)
        return false;
    if (text.ptr[0] == '[') {
        ssize_t close = span_chr(text, ']');
        struct span rest;

        if (close < 0)
            return false;
        *host_out = span_first(text, (size_t)close + 1);
        rest = span_skip(text, (size_t)close + 1);
        if (rest.len == 0)
            return true;
        if (rest.len < 2 || rest.ptr[0] != ':')
            return false;
        *port_out = span_skip(rest, 1);
        return true;
    }
    colon = span_rchr(text, ':');
    if (colon < 0) {
        *(span_all_digits(text) ? port_out : host_out) = text;
        return true;
    }
    *host_out = span_first(text, (size_t)colon);
    *port_out = span_skip(text, (size_t)colon + 1);
    /* More than one colon is an IPv6 address that lacks its brackets. */
    return port_out->len > 0 && span_chr(*host_out, ':') < 0;
}

bool net_port_lookup(struct span text, uint16_t *port_out)
{
    char name[64];
    struct servent entry, *found = NULL;
    char buf[1024];
    uint32_t number;

    if (span_all_digits(text)) {
        if (!span_u32(text, &number) || number > 65535)
            return false;
        *port_out = (uint16_t)number;
        return true;
    }
    if (text.len == 0 || !span_to_cstr(text, name, sizeof name))
        return false;
    if (getservbyname_r(name, "tcp", &entry, buf, sizeof buf, &found) != 0 || !found)
        return false;
    *port_out = ntohs((uint16_t)found->s_port);
    return true;
}

bool net_set_nonblocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    int want;

    if (flags < 0)
        return false;
    want = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return want == flags || fcntl(fd, F_SETFL, want) == 0;
}

bool net_set_cloexec(int fd, bool on)
{
    return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) == 0;
}
