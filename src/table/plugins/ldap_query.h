/* What is asked of a directory for one key, and what is made of the entries. */
#ifndef TABLE_PLUGINS_LDAP_QUERY_H
#define TABLE_PLUGINS_LDAP_QUERY_H

#include "table/plugins/ldap_conn.h"

/* For backend_quote: RFC 4515 (in a filter) and RFC 4514 (in a DN). */
bool ldap_quote_filter(void *arg, struct strbuf *out, struct span text);
bool ldap_quote_dn(void *arg, struct strbuf *out, struct span text);

/* The searches of one look-up: the first, and where the special attributes of its
 * entries lead to, at most recursion_limit deep. An entry that leads to itself is used
 * once. */
struct ldap_query {
    const struct ldap_config *config;
    const struct backend *backend;
    struct span key;
    const char *base, *filter;
    struct strbuf *value; /* the answer */
    enum table_status status;
    bool timed_out;
};
/* False: the session is lost and the query may be put to another server. Otherwise
 * status is set; RETRY comes with err, and err may be a warning else. */
bool ldap_query_run(struct ldap_query *query, struct ldap_session *session,
                    struct err *err);

#endif
