/* Replies of the servers of tcp tables. */
#ifndef TABLE_TCP_REPLY_H
#define TABLE_TCP_REPLY_H

#include "table/table.h"

#define TCP_REPLY_MAX 4096 /* bytes of a line, without its end */

/* A line_client_complete. */
ssize_t tcp_reply_complete(void *arg, struct span in, struct err *err);
/* A line without its end: FOUND with value, NOT_FOUND, or RETRY with err, which names
 * the server. */
enum table_status tcp_reply_judge(const char *server, struct span line,
                                  struct strbuf *value, struct err *err);

#endif
