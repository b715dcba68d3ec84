/* Names of this host, its networks, and mail that would come back to it. */
#include "global/mail_table.h"
#include "postfix/check.h"

#define SEPARATORS ", \t\r\n"

static void unqualified(struct check *check)
{
    const char *name = check->cfg->myhostname;

    if (!strchr(name, '.') || strcmp(name, "localhost.localdomain") == 0 ||
        span_iends(span_str(name), SPAN_LIT(".localdomain")))
        check_found(check, at_main(check, "myhostname"),
                    "myhostname \"%s\" is not a fully qualified name", name);
}

static void odd_domain(struct check *check)
{
    const char *name = check->cfg->mydomain;

    /* "host.localdomain" is reported as what it is. */
    if (!strchr(name, '.') && strcmp(name, "localdomain") != 0)
        check_found(check, at_main(check, "mydomain"), "mydomain \"%s\" has no dot",
                    name);
}

static void bare_origin(struct check *check)
{
    const char *name = check->cfg->myorigin;

    if (!strchr(name, '.') && config_line(check->cfg, "myorigin"))
        check_found(check, at_main(check, "myorigin"), "myorigin \"%s\" has no dot",
                    name);
}

/* -- mynetworks -- */

static bool in_block(const char *block, const struct net_block *what)
{
    struct net_block wide;
    struct net_addr addr = {.ss.ss_family = (sa_family_t)what->family};
    struct err err;

    if (!net_block_parse(span_str(block), &wide, &err) || wide.family != what->family ||
        what->prefix_len < wide.prefix_len)
        return false;
    if (what->family == AF_INET)
        memcpy(&addr.in.sin_addr, what->bytes, 4);
    else
        memcpy(&addr.in6.sin6_addr, what->bytes, 16);
    addr.len = what->family == AF_INET ? sizeof addr.in : sizeof addr.in6;
    return net_block_match(&wide, &addr);
}

/* Not routed in the Internet: RFC 1918, 6598, 3927, 4193, 4291, 3849, 5737. */
static bool is_local_block(const struct net_block *block)
{
    static const char *const blocks[] = {
        "127.0.0.0/8",    "10.0.0.0/8",     "172.16.0.0/12",
        "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
        "[::1]/128",      "[fc00::]/7",     "[fe80::]/10",
    };

    for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
        if (in_block(blocks[i], block))
            return true;
    return false;
}

static void each_network(struct check *check,
                         void (*fn)(struct check *check, const struct check_view *view,
                                    struct span text, const struct net_block *block))
{
    struct net_block block;
    struct span rest, word;
    struct err err;

    for (size_t i = 0; i < check->view_count; i++) {
        const struct check_view *view = &check->views[i];

        if (!view_sets(view, "mynetworks"))
            continue;
        rest = span_str(view->cfg->mynetworks);
        while (table_next_element(&rest, &word))
            if (net_block_parse(word, &block, &err))
                fn(check, view, word, &block);
    }
}

static void report_world(struct check *check, const struct check_view *view,
                         struct span text, const struct net_block *block)
{
    if (block->prefix_len < 2)
        check_found(check, at_view(check, view, "mynetworks"), "mynetworks holds %.*s",
                    SPAN_ARG(text));
}

static void open_networks(struct check *check)
{
    each_network(check, report_world);
}

static void report_large(struct check *check, const struct check_view *view,
                         struct span text, const struct net_block *block)
{
    if (block->prefix_len >= 2 &&
        block->prefix_len < (block->family == AF_INET ? 16u : 32u) &&
        !is_local_block(block))
        check_found(check, at_view(check, view, "mynetworks"), "mynetworks holds %.*s",
                    SPAN_ARG(text));
}

static void large_networks(struct check *check)
{
    each_network(check, report_large);
}

static void bad_networks(struct check *check)
{
    struct span rest = span_str(check->cfg->mynetworks), word;
    struct net_block block;
    struct err err;

    while (table_next_element(&rest, &word)) {
        struct span text = word.ptr[0] == '!' ? span_skip(word, 1) : word;

        if (text.len && (ascii_digit(text.ptr[0]) || text.ptr[0] == '[') &&
            !net_block_parse(text, &block, &err))
            check_found(check, at_main(check, "mynetworks"), "mynetworks: %s",
                        err.text);
    }
}

/* -- mail that comes back -- */

/* "[127.0.0.1]:25", "127.0.0.1", "host:port": one of our own doors? */
static bool leads_here(const struct check *check, struct span next_hop)
{
    struct span host, port = SPAN_EMPTY;
    ssize_t end = next_hop.len && next_hop.ptr[0] == '[' ? span_chr(next_hop, ']') : -1;

    next_hop = span_trim(next_hop);
    if (end > 0) {
        host = span_first(next_hop, (size_t)end + 1);
        port = span_skip(next_hop, (size_t)end + 1);
        if (port.len && port.ptr[0] == ':')
            port = span_skip(port, 1);
    } else {
        port = next_hop;
        host = span_cut(&port, ':');
    }
    return host.len && host_is_self(check, host) && port_is_ours(check, port);
}

static void self_relayhost(struct check *check)
{
    struct span rest = span_str(check->cfg->relayhost), word;

    while (span_token(&rest, SEPARATORS, &word))
        if (leads_here(check, word))
            check_found(check, at_main(check, "relayhost"),
                        "relayhost %.*s is this mail system itself", SPAN_ARG(word));
}

/* "smtp:[127.0.0.1]:25" */
static bool transport_loops(const struct check *check, struct span value)
{
    struct span next_hop = value, transport = span_trim(span_cut(&next_hop, ':'));
    const struct master_entry *entry =
        find_entry(check, arena_span_str(check->arena, transport), SERVICE_UNIX);

    return entry && entry_runs(entry, "smtp") && next_hop.len &&
           leads_here(check, next_hop);
}

static void transport_parameters(struct check *check)
{
    static const char *const names[] = {"default_transport", "relay_transport",
                                        "local_transport",   "virtual_transport",
                                        "mailbox_transport", "fallback_transport"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = view_value(&check->views[0], names[i]);

        if (transport_loops(check, span_str(value)))
            check_found(check, at_main(check, names[i]),
                        "%s %s is this mail system itself", names[i], value);
    }
}

/* The tables whose entries can be listed. */
static void transport_table(struct check *check, const char *name)
{
    struct table *table;
    struct span key, value;
    struct err err;

    if (strncmp(name, "texthash:", 9) != 0 && strncmp(name, "lmdb:", 5) != 0 &&
        strncmp(name, "hash:", 5) != 0 && strncmp(name, "btree:", 6) != 0 &&
        strncmp(name, "inline:", 7) != 0)
        return;
    table = table_open(mail_table_env_as_is(check->cfg), name, TABLE_READ,
                       mail_table_flags(check->cfg), &err);
    for (bool first = true;
         table && table_next(table, first, &key, &value, &err) == TABLE_FOUND;
         first = false)
        if (transport_loops(check, value))
            check_found(check, at_main(check, "transport_maps"),
                        "transport_maps: %s: entry \"%.*s %.*s\" is this mail system "
                        "itself",
                        name, SPAN_ARG(key), SPAN_ARG(value));
    table_close(table);
}

static void transport_tables(struct check *check)
{
    struct span rest = span_str(check->cfg->transport_maps), name;

    while (table_next_element(&rest, &name))
        transport_table(check, arena_span_str(check->arena, name));
}

static void transport_loop(struct check *check)
{
    transport_parameters(check);
    transport_tables(check);
}

const struct check_rule check_host_rules[] = {
    {"myhostname", CHECK_WARNING, 0, unqualified,
     "other servers may refuse mail from a host without a real name",
     "set myhostname to the full name of this host in the DNS"},
    {"mydomain", CHECK_WARNING, 0, odd_domain,
     "addresses without a full domain are completed with it",
     "set mydomain to the domain of this host"},
    {"myorigin", CHECK_WARNING, 0, bare_origin,
     "senders of local mail have an address to which nobody can reply",
     "set myorigin to a full name, such as $myhostname or $mydomain"},
    {"mynetworks-syntax", CHECK_ERROR, 0, bad_networks,
     "clients are turned away until it is corrected", "correct the network"},
    {"mynetworks-open", CHECK_ERROR, 0, open_networks,
     "every client in the Internet may send mail through this host: an open relay",
     "list your own networks only"},
    {"mynetworks-large", CHECK_WARNING, 0, large_networks,
     "very many strangers may send mail through this host",
     "list your own networks only"},
    {"relayhost-loop", CHECK_ERROR, 0, self_relayhost,
     "mail goes round until it is returned for too many hops",
     "name the host that takes your mail, or leave relayhost empty"},
    {"transport-loop", CHECK_ERROR, 0, transport_loop,
     "mail goes round until it is returned for too many hops",
     "name another host, or the port of a content filter"},
    {.code = NULL},
};
