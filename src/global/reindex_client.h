/* Client of nbdb_reindexd(8), which builds the LMDB index of a hash or btree table
 * that has none, or an old one (private/$non_bdb_migration_service_name, frames):
 *   type=hash|btree path=/of/the/source  -> status=0: there is an index as new as its
 *                                            source; 1: there is none, the log says why
 */
#ifndef GLOBAL_REINDEX_CLIENT_H
#define GLOBAL_REINDEX_CLIENT_H

#include "global/config.h"
#include "util/err.h"

/* A fiber waits at most a minute; start-up code and commands some seconds, after which
 * the build goes on without them. False: no index. err is empty when there is no such
 * service, this user may not ask it, or it has refused (and logged why). */
bool reindex_ask(const struct config *cfg, const char *type, const char *path,
                 struct err *err);

#endif
