/* One connection to a redis server over TCP, TLS or a UNIX socket, used by one thread
 * at a time. Every wait ends at the time limit of the settings. The sockets and TLS are
 * handled here instead of by hiredis, whose older releases know no TLS. */
#ifndef TABLE_PLUGINS_REDIS_CONN_H
#define TABLE_PLUGINS_REDIS_CONN_H

#include <openssl/ssl.h>

#include "table/plugins/redis_proto.h"

/* Shared by all connections of a table and not changed after opening it. */
struct redis_settings {
    char *user, *password; /* NULL: none */
    unsigned db;
    unsigned timeout_ms; /* for connecting with all that belongs to it; for a command */
    SSL_CTX *tls;        /* NULL: no TLS */
    char *tls_server_name; /* NULL: the host's own name */
};

/* Attributes of TLS, as configured; NULL or empty: not set. */
struct redis_tls_attrs {
    const char *ca_file, *ca_dir, *cert, *key;
    bool require_cert;
};
/* NULL with err. */
SSL_CTX *redis_tls_new(const struct redis_tls_attrs *attrs, struct err *err);

struct redis_conn;

/* host: "unix:path", "host", "host:port" or "[address]:port". Connects, greets, selects
 * the data base. NULL with err, which never has the password. */
struct redis_conn *redis_conn_open(const struct redis_settings *settings,
                                   const char *host, struct err *err);
void redis_conn_close(struct redis_conn *conn); /* NULL allowed */
const char *redis_conn_host(const struct redis_conn *conn);

/* One command and its reply (freeReplyObject). NULL with err: the connection cannot be
 * used any more. An error reply of the server is a reply. */
redisReply *redis_conn_call(struct redis_conn *conn, const struct span *args,
                            size_t count, struct err *err);

/* Text of an error reply, printable and short. */
void redis_error_text(const redisReply *reply, struct strbuf *out);

/* Cut "host", "host:port", "[address]:port" into what getaddrinfo wants; port is a
 * number, 6379 unless given. False: not of that form. */
bool redis_host_split(const char *text, char host[REDIS_MAX_HOST + 1], char port[6]);

#endif
