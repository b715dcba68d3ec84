/* A point in time at which everything that the library does on the sockets of a session
 * fails with ETIMEDOUT. The library bounds connecting and waiting for answers itself,
 * but not what happens inside of a TLS handshake or record. */
#ifndef TABLE_PLUGINS_LDAP_DEADLINE_H
#define TABLE_PLUGINS_LDAP_DEADLINE_H

#include <ldap.h>

#include "util/base.h"

struct ldap_deadline {
    int64_t at_ms; /* on the clock of ldap_now_ms; to be set before each operation */
    struct ldap_conncb callback; /* for the library */
};

int64_t ldap_now_ms(void); /* monotonic */

/* Before ld connects. The deadline stays where it is and outlives ld. Returns an LDAP
 * result code. */
int ldap_deadline_attach(struct ldap_deadline *deadline, LDAP *ld);

#endif
