#include "table/plugins/ldap_config.h"

#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>

static char *copy_or_null(const char *text)
{
    return text && *text ? xstrdup(text) : NULL;
}

static char *optional(struct backend_conf *conf, const char *name)
{
    return copy_or_null(backend_conf_str(conf, name, NULL));
}

/* -- servers -- */

static bool is_url(struct span text)
{
    return span_istarts(text, SPAN_LIT("ldap://")) ||
           span_istarts(text, SPAN_LIT("ldaps://")) ||
           span_istarts(text, SPAN_LIT("ldapi://"));
}

static bool has_only(struct span text, const char *others)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_alnum(text.ptr[i]) && (!text.ptr[i] || !strchr(others, text.ptr[i])))
            return false;
    return text.len > 0;
}

/* "[address]" or, with more than one colon, an address: host is the inside, port what
 * follows. Otherwise a name or an IPv4 address. */
static bool split_server(struct span server, struct span *host_out,
                         struct span *port_out)
{
    ssize_t first = span_chr(server, ':'), last = span_rchr(server, ':');
    ssize_t end = span_chr(server, ']');

    *port_out = SPAN_EMPTY;
    if (server.ptr[0] == '[') {
        if (end < 0)
            return false;
        *host_out = span_skip(span_first(server, (size_t)end), 1);
        *port_out = span_skip(server, (size_t)end + 1);
        return has_only(*host_out, ":.%");
    }
    if (first != last) {
        *host_out = server;
        return has_only(server, ":.%");
    }
    *host_out = last < 0 ? server : span_first(server, (size_t)last);
    if (last >= 0)
        *port_out = span_skip(server, (size_t)last);
    return has_only(*host_out, ".-_");
}

bool ldap_server_uri(struct span server, unsigned port, struct strbuf *out)
{
    struct span host, colon_port;
    uint32_t given = port;

    if (server.len == 0 || memchr(server.ptr, '\0', server.len))
        return false;
    if (is_url(server)) {
        strbuf_add_span(out, server);
        return true;
    }
    if (!split_server(server, &host, &colon_port))
        return false;
    if (colon_port.len > 0 &&
        (colon_port.ptr[0] != ':' || !span_u32(span_skip(colon_port, 1), &given) ||
         given == 0 || given > UINT16_MAX))
        return false;
    bool is_ipv6 = span_chr(host, ':') >= 0;
    strbuf_addf(out, "ldap://%s%.*s%s:%u", is_ipv6 ? "[" : "", SPAN_ARG(host),
                is_ipv6 ? "]" : "", (unsigned)given);
    return true;
}

static void read_servers(struct ldap_config *config, struct backend_conf *conf)
{
    struct span rest = span_str(backend_conf_str(conf, "server_host", "localhost"));
    unsigned port = (unsigned)backend_conf_num(conf, "server_port", 389, 1, UINT16_MAX);
    struct span server;

    while (span_token(&rest, ", \t\r\n", &server)) {
        struct strbuf uri = STRBUF_INIT;
        if (!ldap_server_uri(server, port, &uri)) {
            backend_conf_bad(conf, "server_host",
                             "\"%.*s\" is not host, host:port or an LDAP URL",
                             SPAN_ARG(server));
            strbuf_free(&uri);
            return;
        }
        config->uris =
            xrealloc(config->uris, (config->uri_count + 1) * sizeof(*config->uris));
        config->uris[config->uri_count++] = strbuf_detach(&uri);
    }
    if (config->uri_count == 0)
        backend_conf_bad(conf, "server_host", "no server");
}

/* -- attributes of entries -- */

static bool read_role(struct ldap_config *config, struct backend_conf *conf,
                      const char *name, const char *otherwise, enum ldap_role role)
{
    struct span rest = span_str(backend_conf_str(conf, name, otherwise)), item;
    bool any = false;

    while (span_token(&rest, ", \t\r\n", &item)) {
        config->attributes =
            xrealloc(config->attributes,
                     (config->attribute_count + 1) * sizeof(*config->attributes));
        config->attributes[config->attribute_count++] =
            (struct ldap_attribute){xstrndup(item.ptr, item.len), role};
        any = true;
    }
    return any;
}

static void read_attributes(struct ldap_config *config, struct backend_conf *conf)
{
    config->has_terminal =
        read_role(config, conf, "terminal_result_attribute", "", LDAP_ROLE_TERMINAL);
    config->has_leaf =
        read_role(config, conf, "leaf_result_attribute", "", LDAP_ROLE_LEAF);
    read_role(config, conf, "result_attribute", "maildrop", LDAP_ROLE_RESULT);
    read_role(config, conf, "special_result_attribute", "", LDAP_ROLE_SPECIAL);
}

/* -- the search, the bind, TLS -- */

struct word {
    const char *text;
    int value;
};

static const struct word scopes[] = {{"sub", LDAP_SCOPE_SUBTREE},
                                     {"one", LDAP_SCOPE_ONELEVEL},
                                     {"base", LDAP_SCOPE_BASE},
                                     {NULL, 0}};
static const struct word binds[] = {
    {"yes", LDAP_BIND_SIMPLE}, {"simple", LDAP_BIND_SIMPLE}, {"no", LDAP_BIND_NONE},
    {"none", LDAP_BIND_NONE},  {"sasl", LDAP_BIND_SASL},     {NULL, 0}};

static int read_bind(struct backend_conf *conf)
{
    const char *text = backend_conf_str(conf, "bind", binds[0].text);

    for (size_t i = 0; binds[i].text; i++)
        if (strcasecmp(text, binds[i].text) == 0)
            return binds[i].value;
    backend_conf_bad(conf, "bind", "\"%.40s\"", text);
    return LDAP_BIND_NONE;
}

/* These were never fatal: anything unknown means the default. */
static int warn_of(struct ldap_config *config, const char *name, const char *text)
{
    snprintf(config->warning, sizeof config->warning,
             "unrecognized value of %s: \"%.40s\"; using the default", name, text);
    return 0;
}

static int read_scope(struct ldap_config *config, struct backend_conf *conf)
{
    const char *text = backend_conf_str(conf, "scope", scopes[0].text);

    for (size_t i = 0; scopes[i].text; i++)
        if (strcasecmp(text, scopes[i].text) == 0)
            return scopes[i].value;
    warn_of(config, "scope", text);
    return LDAP_SCOPE_SUBTREE;
}

static int read_dereference(struct ldap_config *config, struct backend_conf *conf)
{
    const char *text = backend_conf_str(conf, "dereference", "0");

    if (text[0] >= '0' && text[0] <= '3' && !text[1])
        return text[0] - '0';
    return warn_of(config, "dereference", text);
}

static int read_int(struct backend_conf *conf, const char *name, int otherwise, int min,
                    int max)
{
    return (int)backend_conf_num(conf, name, otherwise, min, max);
}

static void read_search(struct ldap_config *config, struct backend_conf *conf)
{
    config->timeout_s = (int)backend_conf_time(conf, "timeout", 10, 1, 3600);
    config->search_base = xstrdup(backend_conf_template(conf, "search_base", ""));
    backend_conf_need(conf, "search_base");
    config->query_filter = xstrdup(
        backend_conf_template(conf, "query_filter", "(mailacceptinggeneralid=%s)"));
    config->scope = read_scope(config, conf);
    config->version = read_int(conf, "version", 3, 2, 3);
    int limit = read_int(conf, "expansion_limit", 0, INT32_MIN, INT32_MAX);
    config->size_limit =
        read_int(conf, "size_limit", limit > 0 ? limit : 0, 0, INT32_MAX);
    config->dereference = read_dereference(config, conf);
    config->recursion_limit = read_int(conf, "recursion_limit", 1000, 1, INT32_MAX);
    config->chase_referrals = backend_conf_bool(conf, "chase_referrals", false);
    config->debug_level = read_int(conf, "debuglevel", 0, 0, INT32_MAX);
}

static void read_login(struct ldap_config *config, struct backend_conf *conf)
{
    config->bind = (enum ldap_bind)read_bind(conf);
    config->bind_dn = xstrdup(backend_conf_str(conf, "bind_dn", ""));
    config->bind_pw = xstrdup(backend_conf_str(conf, "bind_pw", ""));
    config->sasl_mechs = optional(conf, "sasl_mechs");
    config->sasl_realm = optional(conf, "sasl_realm");
    config->sasl_authz_id = optional(conf, "sasl_authz_id");
    config->sasl_minssf = read_int(conf, "sasl_minssf", 0, 0, 4096);
    config->start_tls = backend_conf_bool(conf, "start_tls", false);
    config->tls_require_cert = backend_conf_bool(conf, "tls_require_cert", false);
    config->tls_ca_cert_dir = optional(conf, "tls_ca_cert_dir");
    config->tls_ca_cert_file = optional(conf, "tls_ca_cert_file");
    config->tls_cert = optional(conf, "tls_cert");
    config->tls_key = optional(conf, "tls_key");
    config->tls_cipher_suite = optional(conf, "tls_cipher_suite");
#if !LDAP_HAVE_SASL
    if (config->bind == LDAP_BIND_SASL)
        backend_conf_bad(conf, "bind", "\"sasl\": this program was built without SASL");
#endif
    if (config->version < 3 && (config->start_tls || config->bind == LDAP_BIND_SASL))
        backend_conf_bad(conf, "version", "start_tls and SASL need version 3");
}

void ldap_config_read(struct ldap_config *config, struct backend_conf *conf)
{
    read_servers(config, conf);
    read_search(config, conf);
    read_attributes(config, conf);
    read_login(config, conf);
}

void ldap_config_free(struct ldap_config *config)
{
    char *texts[] = {
        config->search_base,     config->query_filter,     config->bind_dn,
        config->sasl_mechs,      config->sasl_realm,       config->sasl_authz_id,
        config->tls_ca_cert_dir, config->tls_ca_cert_file, config->tls_cert,
        config->tls_key,         config->tls_cipher_suite};

    if (config->bind_pw)
        explicit_bzero(config->bind_pw, strlen(config->bind_pw));
    free(config->bind_pw);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < config->uri_count; i++)
        free(config->uris[i]);
    free(config->uris);
    for (size_t i = 0; i < config->attribute_count; i++)
        free(config->attributes[i].name);
    free(config->attributes);
}
