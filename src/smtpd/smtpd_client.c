#include <stdio.h>

#include "smtpd/smtpd_lists.h"
#include "util/msg.h"

static const char *port_text(struct arena *arena, const struct net_addr *addr)
{
    return arena_printf(arena, "%u", net_addr_port(addr));
}

/* A parent process, as with sendmail -bs. */
static void local_client(struct smtpd_client *client)
{
    client->name = client->reverse_name = "localhost";
    client->address = client->rfc_address = client->server_address = "127.0.0.1";
    client->port = client->server_port = "0";
}

static void look_up_name(struct smtpd_session *s)
{
    struct smtpd_client *client = &s->client;
    struct client_name found;

    client->name = client->reverse_name = "unknown";
    client->name_status = client->reverse_name_status = CLIENT_NAME_PERM;
    if (!s->cfg->smtpd_peername_lookup)
        return;
    client_name_lookup(&client->addr, &found);
    if (found.warning[0])
        msg_warn("%s", found.warning);
    client->name = arena_str(s->arena, found.name);
    client->reverse_name = strcmp(found.reverse_name, found.name) == 0
                               ? client->name
                               : arena_str(s->arena, found.reverse_name);
    client->name_status = found.name_status;
    client->reverse_name_status = found.reverse_name_status;
}

static void network_client(struct smtpd_session *s)
{
    struct smtpd_client *client = &s->client;
    char text[NET_ADDR_STRLEN];

    net_addr_unmap(&client->addr);
    net_addr_host(&client->addr, text);
    client->address = arena_str(s->arena, text);
    client->rfc_address = client->address;
    if (client->addr.sa.sa_family == AF_INET6)
        client->rfc_address = arena_printf(s->arena, "IPv6:%s", text);
    client->port = port_text(s->arena, &client->addr);
    client->server_addr.len = sizeof client->server_addr.ss;
    if (getsockname(stream_fd(s->stream), &client->server_addr.sa,
                    &client->server_addr.len) < 0) {
        client->server_addr.len = 0;
        client->server_address = "0.0.0.0";
        client->server_port = "0";
    } else {
        net_addr_unmap(&client->server_addr);
        net_addr_host(&client->server_addr, text);
        client->server_address = arena_str(s->arena, text);
        client->server_port = port_text(s->arena, &client->server_addr);
    }
    look_up_name(s);
}

static bool listed(struct match_list *list, const struct smtpd_client *client)
{
    return match_list_find_host(list, span_str(client->name), &client->addr) ==
           MATCH_YES;
}

/* "192.0.2.1", or the network that counts as one client. */
static const char *count_name(struct smtpd_session *s)
{
    const struct smtpd_client *client = &s->client;
    bool is_v6 = client->addr.sa.sa_family == AF_INET6;
    unsigned bits = is_v6 ? 128 : 32;
    unsigned keep = (unsigned)(is_v6 ? s->cfg->smtpd_client_ipv6_prefix_length
                                     : s->cfg->smtpd_client_ipv4_prefix_length);
    struct net_addr masked = client->addr;
    char text[NET_ADDR_STRLEN];
    uint8_t *bytes;

    if (keep >= bits)
        return client->address;
    bytes = is_v6 ? (uint8_t *)&masked.in6.sin6_addr : (uint8_t *)&masked.in.sin_addr;
    for (unsigned i = keep; i < bits; i++)
        bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    net_addr_host(&masked, text);
    return arena_printf(s->arena, "%s/%u", text, keep);
}

/* permit_inet_interfaces, permit_mynetworks, and tables of client addresses; the
 * others are about logins and certificates. */
static bool wants_local_rewriting(struct smtpd_session *s)
{
    struct span rest = span_str(s->cfg->local_header_rewrite_clients), token;
    const struct smtpd_lists *lists = s->ss->lists;

    while (table_next_element(&rest, &token)) {
        if (span_ieq_str(token, "permit_inet_interfaces") &&
            local_host_owns(lists->local_host, &s->client.addr))
            return true;
        if (span_ieq_str(token, "permit_mynetworks") && s->client.is_trusted)
            return true;
    }
    return false;
}

static void classify(struct smtpd_session *s)
{
    struct smtpd_client *client = &s->client;
    const struct smtpd_lists *lists = s->ss->lists;

    if (client->addr.len == 0) {
        client->is_trusted = client->rewrite_local = client->may_send_bare_lf = true;
        return;
    }
    client->is_trusted = listed(lists->mynetworks, client);
    client->may_send_bare_lf = listed(lists->bare_lf_exclusions, client);
    client->rewrite_local = wants_local_rewriting(s);
    client->is_counted = !listed(lists->limit_exceptions, client);
    if (client->is_counted)
        client->count_name = count_name(s);
}

void smtpd_client_init(struct smtpd_session *s, const struct net_addr *peer)
{
    struct smtpd_client *client = &s->client;

    client->addr = *peer;
    if (peer->len == 0)
        local_client(client);
    else
        network_client(s);
    if (s->cfg->smtpd_client_port_logging)
        client->namaddr = arena_printf(s->arena, "%s[%s]:%s", client->name,
                                       client->address, client->port);
    else
        client->namaddr =
            arena_printf(s->arena, "%s[%s]", client->name, client->address);
    classify(s);
}
