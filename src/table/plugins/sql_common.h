/* What the clients of SQL data bases share. */
#ifndef TABLE_PLUGINS_SQL_COMMON_H
#define TABLE_PLUGINS_SQL_COMMON_H

#include "table/backend.h"
#include "table/plugins/conn_pool.h"

/* "query", or one made of table, select_field, where_field and additional_conditions.
 * Caller frees; errors go to conf. */
char *sql_query_template(struct backend_conf *conf);
/* NULL when it is not set or empty: the library's default. Caller frees. */
char *sql_copy_str(struct backend_conf *conf, const char *name);
/* "idle_interval" and "retry_interval" with their defaults. */
struct conn_pool_limits sql_pool_limits(struct backend_conf *conf);
/* For backend_quote: the text of a standard SQL string between single quotes, where
 * only the quote is special. Not for MySQL. */
bool sql_quote_standard(void *arg, struct strbuf *out, struct span text);
int64_t sql_now_s(void); /* monotonic */

struct sql_host {
    char *name; /* host, or path of a socket; caller frees */
    bool is_unix;
    unsigned port; /* 0: the default */
};
/* "host", "host:port", "[::1]:port", "inet:host:port", "unix:/path". False with err. */
bool sql_host_parse(const char *text, struct sql_host *out, struct err *err);

#endif
