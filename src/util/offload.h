/* Worker threads for calls that block: fsync, NSS, Cyrus SASL, SQL and LDAP
 * clients. The calling fiber waits; others go on. A worker function touches only
 * its argument, never the loop, fibers, msg or arenas of others.
 *
 * Threads start on first use. Not cancellable: the call always runs to its end
 * before the fiber goes on, because the argument usually is on its stack.
 * Outside a fiber (start-up, commands) the function runs inline. */
#ifndef UTIL_OFFLOAD_H
#define UTIL_OFFLOAD_H

#include "util/base.h"

#define OFFLOAD_THREADS      16
#define OFFLOAD_WAIT_THREADS 64

void offload(void (*fn)(void *arg), void *arg);
/* The same for calls that may wait for another host (SQL, LDAP, name service): threads
 * of their own, so that a slow server never holds up a sync. */
void offload_wait(void (*fn)(void *arg), void *arg);

/* fsync through the pool. Returns 0, or an errno value. */
int offload_fsync(int fd);

#endif
