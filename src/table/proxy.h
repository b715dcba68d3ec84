/* What the client of proxymap (type_proxy.c) and the service say to one another: frames
 * of util/frame.h, multiplexed (ipc_mux), on private/<proxymap_service_name> for tables
 * that are read and private/<proxywrite_service_name> for tables that are written.
 *
 * Request: "request" lookup, update, delete or sequence; "table" the name behind
 * "proxy:"; "asked" flags of TABLE_ASKED; "key" and "value" as the request needs;
 * "cursor" of sequence: 0 starts over, otherwise what the last reply said.
 * Reply: "status" enum table_status, or PROXY_REFUSED for a table that is not listed;
 * "flags" FIXED or PATTERN of the open table; "value"; "text" the reason for retry and
 * broken. A reply to sequence has groups "entry" of "key" and "value", and "cursor":
 * 0 when these were the last. */
#ifndef TABLE_PROXY_H
#define TABLE_PROXY_H

#include "table/table.h"

#define PROXY_REFUSED   100
#define PROXY_BATCH_MAX (64u * 1024) /* bytes of entries in one reply to sequence */

/* One blocking exchange on a connection of its own, for plain commands and worker
 * threads. *fd: -1 or a connection, kept for the next call. False: err says why. */
bool proxy_call_blocking(int *fd, const char *path, int64_t timeout_s,
                         const struct strbuf *request, struct strbuf *reply,
                         struct err *err);
/* How a table of this name will match (TABLE_FIXED, TABLE_PATTERN), found without
 * opening it: what is unknown here is taken for fixed. */
unsigned proxy_guess_flags(struct span name);

#endif
