#include <stdio.h>

#include "smtpd/smtpd.h"
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
        client->namaddr = arena_printf(s->arena, "%s[%s]", client->name, client->address);
}
