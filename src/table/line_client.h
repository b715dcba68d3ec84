/* Blocking connections to the servers of tcp and socketmap tables, which run on worker
 * threads or in plain commands: a small pool a table, a time limit a wait. */
#ifndef TABLE_LINE_CLIENT_H
#define TABLE_LINE_CLIENT_H

#include "util/err.h"
#include "util/strbuf.h"

struct line_client;

/* "host:port", "[v6]:port", "port" (of this host), or with is_unix a path. */
struct line_client *line_client_new(struct span endpoint, bool is_unix, int timeout_s,
                                    struct err *err);
void line_client_free(struct line_client *client); /* NULL allowed */

/* Is the reply in `in` complete? Positive: so many bytes are one; 0: more is needed;
 * negative: it cannot become one, err says why. */
typedef ssize_t line_client_complete(void *arg, struct span in, struct err *err);
/* Send request, and read until complete says so; on several threads at once. A kept
 * connection that turns out to be closed is replaced once. False: err says why, without
 * naming the server. */
bool line_client_call(struct line_client *client, struct span request,
                      line_client_complete *complete, void *arg, struct strbuf *reply,
                      struct err *err);

#endif
