#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>

#include "util/net.h"

static const uint8_t *addr_bytes(const struct net_addr *addr, unsigned *bits_out)
{
    if (addr->sa.sa_family == AF_INET) {
        *bits_out = 32;
        return (const uint8_t *)&addr->in.sin_addr;
    }
    *bits_out = 128;
    return (const uint8_t *)&addr->in6.sin6_addr;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned count)
{
    unsigned whole = count / 8, rest = count % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

static bool host_bits_zero(const uint8_t *bytes, unsigned prefix_len, unsigned bits)
{
    for (unsigned i = prefix_len; i < bits; i++) {
        if (bytes[i / 8] & (0x80 >> i % 8))
            return false;
    }
    return true;
}

bool net_block_parse(struct span text, struct net_block *block_out, struct err *err)
{
    ssize_t slash = span_rchr(text, '/');
    struct span host = slash < 0 ? text : span_first(text, (size_t)slash);
    struct net_addr addr;
    const uint8_t *bytes;
    unsigned bits;
    uint32_t prefix_len;

    memset(block_out, 0, sizeof *block_out);
    if (!net_addr_parse(host, 0, &addr) || span_chr(host, '%') >= 0)
        return err_set(err, "bad network address: \"%.*s\"", SPAN_ARG(text));
    bytes = addr_bytes(&addr, &bits);
    prefix_len = bits;
    if (slash >= 0 && (!span_u32(span_skip(text, (size_t)slash + 1), &prefix_len) ||
                       prefix_len > bits))
        return err_set(err, "bad network prefix length in \"%.*s\"", SPAN_ARG(text));
    if (!host_bits_zero(bytes, prefix_len, bits))
        return err_set(err, "non-null host address bits in \"%.*s\"", SPAN_ARG(text));
    block_out->family = addr.sa.sa_family;
    block_out->prefix_len = prefix_len;
    memcpy(block_out->bytes, bytes, bits / 8);
    return true;
}

bool net_block_match(const struct net_block *block, const struct net_addr *addr)
{
    unsigned bits;

    if (addr->len == 0 || addr->sa.sa_family != block->family)
        return false;
    return bits_equal(block->bytes, addr_bytes(addr, &bits), block->prefix_len);
}

static unsigned mask_length(const struct sockaddr *mask)
{
    const uint8_t *bytes;
    unsigned count = 0, size;

    if (mask->sa_family == AF_INET6) {
        bytes = (const uint8_t *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
        size = 128;
    } else {
        bytes = (const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr;
        size = 32;
    }
    while (count < size && bytes[count / 8] & (0x80 >> count % 8))
        count++;
    return count;
}

size_t net_interfaces(struct net_interface **list_out)
{
    struct ifaddrs *all;
    struct net_interface *list = NULL;
    size_t count = 0;

    *list_out = NULL;
    if (getifaddrs(&all) != 0)
        return 0;
    for (struct ifaddrs *ifa = all; ifa; ifa = ifa->ifa_next) {
        struct net_interface *entry;
        int family = ifa->ifa_addr ? ifa->ifa_addr->sa_family : AF_UNSPEC;

        if (!(ifa->ifa_flags & IFF_UP) || (family != AF_INET && family != AF_INET6))
            continue;
        list = xrealloc(list, (count + 1) * sizeof *list);
        entry = &list[count++];
        memset(entry, 0, sizeof *entry);
        entry->addr.len =
            family == AF_INET ? sizeof entry->addr.in : sizeof entry->addr.in6;
        memcpy(&entry->addr.ss, ifa->ifa_addr, entry->addr.len);
        entry->prefix_len = family == AF_INET ? 32 : 128;
        if (ifa->ifa_netmask)
            entry->prefix_len = mask_length(ifa->ifa_netmask);
    }
    freeifaddrs(all);
    *list_out = list;
    return count;
}
