/* One session with a directory server, used by one thread at a time; every operation
 * ends at the configured time limit. */
#ifndef TABLE_PLUGINS_LDAP_CONN_H
#define TABLE_PLUGINS_LDAP_CONN_H

#include "table/plugins/ldap_config.h"
#include "table/plugins/ldap_deadline.h"

struct ldap_session {
    LDAP *ld;
    struct ldap_deadline deadline;
    size_t server; /* these belong to the caller */
    bool used;
};

/* Once, before the first session. */
void ldap_conn_prepare(void);
/* Connected, encrypted and bound as config says, all within its time limit. NULL with
 * err, which never has the password. */
struct ldap_session *ldap_conn_open(const struct ldap_config *config, const char *uri,
                                    struct err *err);
void ldap_conn_close(struct ldap_session *session); /* NULL allowed */

/* One search. Returns an LDAP result code; LDAP_SUCCESS: *result_out is to be freed
 * with ldap_msgfree. Otherwise err. */
int ldap_conn_search(const struct ldap_config *config, struct ldap_session *session,
                     const char *base, int scope, const char *filter, char **attributes,
                     LDAPMessage **result_out, struct err *err);
/* Is the session of no use after this result? */
bool ldap_conn_is_lost(int rc);

#endif
