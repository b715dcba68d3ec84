/* One session with a directory server, used by one thread at a time; every operation
 * ends at the configured time limit. */
#ifndef TABLE_PLUGINS_LDAP_CONN_H
#define TABLE_PLUGINS_LDAP_CONN_H

#include <ldap.h>

#include "table/plugins/ldap_config.h"

/* Once, before the first session. */
void ldap_conn_prepare(struct ldap_config *config);
/* Connected, encrypted and bound as config says. NULL with err, which never has the
 * password. */
LDAP *ldap_conn_open(const struct ldap_config *config, const char *uri,
                     struct err *err);
void ldap_conn_close(LDAP *ld); /* NULL allowed */

/* One search. Returns an LDAP result code; LDAP_SUCCESS: *result_out is to be freed
 * with ldap_msgfree. Otherwise err. */
int ldap_conn_search(const struct ldap_config *config, LDAP *ld, const char *base,
                     int scope, const char *filter, char **attributes,
                     LDAPMessage **result_out, struct err *err);
int64_t ldap_now_ms(void); /* monotonic */
/* Is the session of no use after this result? */
bool ldap_conn_is_lost(int rc);

#endif
