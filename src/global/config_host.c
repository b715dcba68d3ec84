/* Defaults that depend on the host and the process, and values that a type and
 * bounds cannot describe. */
#include <arpa/inet.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/config_internal.h"
#include "global/macro.h"
#include "util/file.h"
#include "util/net.h"

#define LABEL_MAX    63
#define HOSTNAME_MAX 255

static const char *row_text(struct config *cfg, const char *name, struct err *err)
{
    return config_row_value(cfg, param_find(span_str(name)), err);
}

/* The host's name, qualified with mydomain when it is a bare label. */
static const char *default_myhostname(struct config *cfg, struct err *err)
{
    char name[HOST_NAME_MAX + 1] = "localhost";
    const struct setting *domain = config_setting(cfg, SPAN_LIT("mydomain"));
    const char *suffix = "localdomain";

    if (gethostname(name, sizeof name) != 0 || !name[0])
        snprintf(name, sizeof name, "localhost");
    name[sizeof name - 1] = '\0';
    if (strchr(name, '.'))
        return arena_str(cfg->arena, name);
    if (domain) {
        suffix = row_text(cfg, "mydomain", err);
        if (!suffix)
            return NULL;
    }
    return arena_printf(cfg->arena, "%s.%s", name, suffix);
}

static const char *default_mydomain(struct config *cfg, struct err *err)
{
    const char *host = row_text(cfg, "myhostname", err);
    const char *dot;

    if (!host)
        return NULL;
    dot = strchr(host, '.');
    return dot && dot[1] ? dot + 1 : "localdomain";
}

static bool list_has(const char *list, const char *word)
{
    struct span rest = span_str(list), token;

    while (span_token(&rest, ", \t\r\n", &token))
        if (span_ieq_str(token, word))
            return true;
    return false;
}

static bool protocol_enabled(int family, const char *protocols)
{
    return list_has(protocols, "all") ||
           list_has(protocols, family == AF_INET ? "ipv4" : "ipv6");
}

static bool name_matches(const char *name, const struct net_addr *addr)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_family = addr->sa.sa_family};
    struct addrinfo *found = NULL;
    bool match = false;

    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    for (struct addrinfo *ai = found; ai && !match; ai = ai->ai_next) {
        struct net_addr one = {.len = ai->ai_addrlen};

        memcpy(&one.ss, ai->ai_addr, ai->ai_addrlen);
        match = net_addr_equal_host(&one, addr);
    }
    freeaddrinfo(found);
    return match;
}

static bool word_matches(struct config *cfg, struct span word,
                         const struct net_addr *addr)
{
    struct net_addr wanted;

    if (span_ieq_str(word, "all"))
        return true;
    if (span_ieq_str(word, "loopback-only"))
        return net_addr_is_loopback(addr);
    if (net_addr_parse(word, 0, &wanted))
        return net_addr_equal_host(&wanted, addr);
    return name_matches(arena_span_str(cfg->arena, word), addr);
}

static bool interface_used(struct config *cfg, const char *interfaces,
                           const struct net_addr *addr)
{
    struct span rest = span_str(interfaces), word;

    while (span_token(&rest, ", \t\r\n", &word))
        if (word_matches(cfg, word, addr))
            return true;
    return false;
}

enum net_style { STYLE_CLASS, STYLE_SUBNET, STYLE_HOST };

static bool parse_style(const char *text, enum net_style *style_out, struct err *err)
{
    static const char *const names[] = {"class", "subnet", "host"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_ieq_str(span_str(text), names[i])) {
            *style_out = (enum net_style)i;
            return true;
        }
    }
    return err_set(err, "unknown mynetworks mask style value \"%s\" in \"%s\"", text,
                   text);
}

/* Class A, B or C by the first bits; IPv6 has no classes. */
static unsigned style_prefix(const struct net_interface *interface,
                             enum net_style style)
{
    bool ipv4 = interface->addr.sa.sa_family == AF_INET;
    uint8_t first;

    if (style == STYLE_HOST)
        return ipv4 ? 32 : 128;
    if (style == STYLE_SUBNET || !ipv4)
        return interface->prefix_len;
    first = (uint8_t)(ntohl(interface->addr.in.sin_addr.s_addr) >> 24);
    return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
}

static void add_network(struct strbuf *out, const struct net_interface *interface,
                        enum net_style style)
{
    bool ipv4 = interface->addr.sa.sa_family == AF_INET;
    unsigned prefix = style_prefix(interface, style);
    size_t len = ipv4 ? 4 : 16;
    uint8_t bytes[16];
    char host[INET6_ADDRSTRLEN];
    char block[INET6_ADDRSTRLEN + 8];

    memcpy(bytes,
           ipv4 ? (const void *)&interface->addr.in.sin_addr
                : (const void *)&interface->addr.in6.sin6_addr,
           len);
    for (size_t i = 0; i < len; i++) {
        unsigned kept = prefix > i * 8 ? prefix - (unsigned)i * 8 : 0;

        if (kept < 8)
            bytes[i] &= (uint8_t)(0xff00 >> kept);
    }
    if (!inet_ntop(interface->addr.sa.sa_family, bytes, host, sizeof host))
        return;
    snprintf(block, sizeof block, ipv4 ? "%s/%u" : "[%s]/%u", host, prefix);
    if (list_has(out->ptr, block))
        return;
    if (out->len)
        strbuf_add_char(out, ' ');
    strbuf_add_str(out, block);
}

const char *config_host_networks(struct config *cfg, const char *style_text,
                                 struct err *err)
{
    const char *interfaces = row_text(cfg, "inet_interfaces", err);
    const char *protocols = row_text(cfg, "inet_protocols", err);
    struct net_interface *list = NULL;
    struct strbuf out = STRBUF_INIT;
    enum net_style style = STYLE_SUBNET;
    const char *result;
    size_t count;

    if (!interfaces || !protocols || !parse_style(style_text, &style, err))
        return NULL;
    count = net_interfaces(&list);
    for (size_t i = 0; i < count; i++)
        if (protocol_enabled(list[i].addr.sa.sa_family, protocols) &&
            interface_used(cfg, interfaces, &list[i].addr))
            add_network(&out, &list[i], style);
    result = arena_span_str(cfg->arena, strbuf_span(&out));
    strbuf_free(&out);
    free(list);
    return result;
}

static const char *default_mynetworks(struct config *cfg, struct err *err)
{
    const char *style = row_text(cfg, "mynetworks_style", err);

    return style ? config_host_networks(cfg, style, err) : NULL;
}

static const char *own_process_id(struct config *cfg, struct err *err)
{
    (void)err;
    return arena_printf(cfg->arena, "%ld", (long)getpid());
}

static const char *own_process_name(struct config *cfg, struct err *err)
{
    (void)err;
    return cfg->program;
}

static const char *own_service_name(struct config *cfg, struct err *err)
{
    (void)err;
    return cfg->service;
}

static const struct {
    const char *name;
    const char *(*compute)(struct config *cfg, struct err *err);
} computed[] = {
    {"mydomain", default_mydomain},     {"myhostname", default_myhostname},
    {"mynetworks", default_mynetworks}, {"process_id", own_process_id},
    {"process_name", own_process_name}, {"service_name", own_service_name},
};

const char *config_host_default(struct config *cfg, const struct param_row *row,
                                struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(computed); i++)
        if (strcmp(computed[i].name, row->name) == 0)
            return computed[i].compute(cfg, err);
    panic("config: nobody computes %s", row->name);
}

static bool hostname_ok(const char *name)
{
    struct span rest = span_str(name);

    if (!rest.len || rest.len > HOSTNAME_MAX)
        return false;
    while (rest.ptr) {
        struct span label = span_cut(&rest, '.');

        if (!label.len || label.len > LABEL_MAX || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!ascii_alnum(label.ptr[i]) && !strchr("-_", label.ptr[i]) &&
                !(label.ptr[i] & 0x80))
                return false;
    }
    return true;
}

static bool check_protocols(struct config *cfg, struct err *err)
{
    static const char *const known[] = {"all", "ipv4", "ipv6"};
    struct span rest = span_str(cfg->inet_protocols), token;

    while (span_token(&rest, ", \t\r\n", &token)) {
        bool ok = false;

        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            ok = ok || span_ieq_str(token, known[i]);
        if (!ok)
            return err_set(err, "%s: unknown inet_protocols value \"%.*s\" in \"%s\"",
                           cfg->store->path, SPAN_ARG(token), cfg->inet_protocols);
    }
    return true;
}

/* myorigin = /file: the name is the first line of the file. */
static bool read_myorigin(struct config *cfg, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    struct span rest, line;

    if (cfg->myorigin[0] != '/')
        return true;
    if (!file_read_all(cfg->myorigin, 65536, &text, err)) {
        strbuf_free(&text);
        return err_prefix(err, "%s: parameter myorigin", cfg->store->path);
    }
    rest = strbuf_span(&text);
    line = span_trim(span_cut(&rest, '\n'));
    if (line.len) {
        const struct param_row *row = param_find(SPAN_LIT("myorigin"));

        cfg->myorigin = arena_span_str(cfg->arena, line);
        cfg->store->value[row - param_table] = cfg->myorigin;
    }
    strbuf_free(&text);
    return line.len || err_set(err, "%s: parameter myorigin: file %s is empty",
                               cfg->store->path, cfg->myorigin);
}

static bool check_host(struct config *cfg, const char *name, const char *value,
                       struct err *err)
{
    return hostname_ok(value) ||
           err_set(err, "file %s: parameter %s: bad parameter value: %s",
                   cfg->store->path, name, value);
}

static bool check_myhostname(struct config *cfg, struct err *err)
{
    return check_host(cfg, "myhostname", cfg->myhostname, err);
}

static bool check_mydomain(struct config *cfg, struct err *err)
{
    return check_host(cfg, "mydomain", cfg->mydomain, err);
}

static bool check_level(struct config *cfg, struct err *err)
{
    struct span level = span_str(cfg->compatibility_level);
    int order;

    return macro_level_compare(level, level, &order, err) ||
           err_prefix(err, "file %s: parameter compatibility_level", cfg->store->path);
}

const struct config_value_check config_value_checks[] = {
    {"myhostname", check_myhostname},     {"mydomain", check_mydomain},
    {"compatibility_level", check_level}, {"inet_protocols", check_protocols},
    {"myorigin", read_myorigin},          {NULL, NULL},
};
