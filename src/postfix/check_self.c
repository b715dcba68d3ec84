/* Which addresses, names and ports are this host's own. */
#include <stdlib.h>

#include "postfix/check.h"

bool addr_is_own(const struct net_addr *addr)
{
    struct net_interface *list = NULL;
    size_t count = net_interfaces(&list);
    bool own = net_addr_is_loopback(addr);

    for (size_t i = 0; i < count && !own; i++)
        own = net_addr_equal_host(&list[i].addr, addr);
    free(list);
    return own;
}

bool host_is_self(const struct check *check, struct span host)
{
    struct net_addr addr;

    if (host.len > 1 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = span_of(host.ptr + 1, host.len - 2);
    if (span_ieq_str(host, check->cfg->myhostname) || span_ieq_str(host, "localhost"))
        return true;
    return net_addr_parse(host, 0, &addr) && addr_is_own(&addr);
}

bool port_is_ours(const struct check *check, struct span port)
{
    uint16_t wanted, number;

    if (!net_port_lookup(port.len ? port : SPAN_LIT("25"), &wanted))
        return false;
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span host, text = span_str(entry->name);

        if (entry->type != SERVICE_INET || !entry_runs(entry, "smtpd"))
            continue;
        if (span_chr(text, ':') >= 0 && !net_split_hostport(text, &host, &text))
            continue;
        if (net_port_lookup(text, &number) && number == wanted)
            return true;
    }
    return false;
}
