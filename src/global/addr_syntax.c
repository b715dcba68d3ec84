/* Which addresses are acceptable at all. Addresses get as far as a shell or a host
 * table, so what no domain name or address literal can be is refused early. */
#include "global/addr.h"
#include "util/net.h"

#define DOMAIN_MAX 255
#define LABEL_MAX  63

static bool literal_ok(struct span domain)
{
    struct net_addr addr;

    if (domain.len < 3 || domain.ptr[domain.len - 1] != ']')
        return false;
    struct span inner = span_of(domain.ptr + 1, domain.len - 2);
    bool v6 = span_istarts(inner, SPAN_LIT("IPv6:"));
    if (v6)
        inner = span_skip(inner, 5);
    if (inner.len == 0 || inner.ptr[0] == '[' || span_chr(inner, '%') >= 0 ||
        (span_chr(inner, ':') >= 0) != v6 || inner.len >= NET_ADDR_STRLEN)
        return false;
    return net_addr_parse(inner, 0, &addr) &&
           addr.sa.sa_family == (v6 ? AF_INET6 : AF_INET);
}

static bool label_ok(struct span label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];
        if (!ascii_alnum(c) && c != '-' && c != '_' && (unsigned char)c < 128)
            return false;
    }
    return true;
}

static bool domain_ok(struct span domain)
{
    if (domain.len == 0 || domain.len > DOMAIN_MAX || !span_is_utf8(domain))
        return false;
    if (domain.ptr[0] == '[')
        return literal_ok(domain);
    if (domain.ptr[domain.len - 1] == '.')
        domain.len--;
    bool numeric = true;
    struct span rest = domain;
    do {
        struct span label = span_cut(&rest, '.');
        if (!label_ok(label))
            return false;
        numeric &= span_all_digits(label);
    } while (rest.ptr);
    return !numeric; /* "1.2.3.4" is neither a name nor a literal */
}

bool addr_is_wellformed(struct span internal)
{
    struct span local, domain;

    addr_split(internal, &local, &domain);
    for (size_t i = 0; i < local.len; i++)
        if (local.ptr[i] == '\0')
            return false;
    return local.len == internal.len || domain_ok(domain);
}
