/* Attributes of an ldap table. Not changed after opening, so threads share it. */
#ifndef TABLE_PLUGINS_LDAP_CONFIG_H
#define TABLE_PLUGINS_LDAP_CONFIG_H

#include <ldap.h>

#include "table/backend.h"

#if __has_include(<sasl/sasl.h>)
#define LDAP_HAVE_SASL 1
#else
#define LDAP_HAVE_SASL 0
#endif

enum ldap_bind { LDAP_BIND_NONE, LDAP_BIND_SIMPLE, LDAP_BIND_SASL };

/* What the value of a result attribute is good for. */
enum ldap_role {
    LDAP_ROLE_RESULT,
    LDAP_ROLE_LEAF,     /* a result, in entries that lead to no others */
    LDAP_ROLE_TERMINAL, /* a result, and the only ones of its entry */
    LDAP_ROLE_SPECIAL,  /* a DN or URL to go on with */
};

struct ldap_attribute {
    char *name;
    enum ldap_role role;
};

struct ldap_config {
    char **uris; /* to be tried in order */
    size_t uri_count;
    int timeout_s;
    char *search_base, *query_filter; /* templates */
    int scope;
    struct ldap_attribute *attributes; /* the first with a name counts */
    size_t attribute_count;
    bool has_leaf, has_terminal;
    enum ldap_bind bind;
    char *bind_dn, *bind_pw;
    char *sasl_mechs, *sasl_realm, *sasl_authz_id;
    int sasl_minssf;
    int version, size_limit, dereference, recursion_limit, debug_level;
    bool chase_referrals, start_tls, tls_require_cert;
    char *tls_ca_cert_dir, *tls_ca_cert_file, *tls_cert, *tls_key, *tls_cipher_suite;
    char warning[128]; /* about an attribute; "": none */
};

/* Reads all attributes but those of backend.h; errors go to conf. */
void ldap_config_read(struct ldap_config *config, struct backend_conf *conf);
void ldap_config_free(struct ldap_config *config);

/* Append the URI of one server: a URL stays as it is; "host", "host:port",
 * "[address]:port" and an IPv6 address become ldap URLs. False: nothing of the kind. */
bool ldap_server_uri(struct span server, unsigned port, struct strbuf *out);

#endif
