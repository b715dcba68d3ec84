/* A few connections to interchangeable servers, shared by the worker threads that look
 * things up. Idle connections are kept for idle_s and then closed when the pool is next
 * used; a server that failed is left alone for retry_s; among the others one is chosen
 * at random, servers on UNIX sockets first. Every call is bounded in time, provided
 * that the client's own connect and use are. */
#ifndef TABLE_PLUGINS_CONN_POOL_H
#define TABLE_PLUGINS_CONN_POOL_H

#include "util/err.h"
#include "util/span.h"

struct conn_pool;

enum conn_verdict {
    CONN_OK,   /* the connection can be used again */
    CONN_LOST, /* it cannot, and the question was not answered: ask elsewhere */
    CONN_DROP, /* it cannot, but the question was answered (perhaps with an error) */
};

struct conn_pool_ops {
    /* A new connection, within the client's own time limit. NULL with err. Several
     * threads may be here at once. */
    void *(*connect)(void *arg, const char *host, struct err *err);
    void (*close)(void *arg, void *conn);
    /* May be NULL. Prefer this host to others? Default: "unix:..." or "/..." */
    bool (*preferred)(const char *host);
};

struct conn_pool_limits {
    unsigned connections; /* at a time; 0: 8 */
    unsigned wait_ms;     /* for a connection to become free, and for all servers */
    unsigned idle_s, retry_s;
};

/* hosts: separated by commas and white space, copied. ops and arg must outlive the
 * pool. Never NULL; connects to nothing yet. */
struct conn_pool *conn_pool_new(const struct conn_pool_ops *ops, void *arg,
                                struct span hosts,
                                const struct conn_pool_limits *limits);
void conn_pool_free(struct conn_pool *pool); /* NULL allowed; nobody is inside */

/* Call use with a connection, perhaps several times: until it says CONN_OK or CONN_DROP
 * or no server is left. True: use was called and said so; what it found is in its arg.
 * err may then hold a warning about servers that failed first. False with err: no
 * server could answer (or none became free in time). use leaves the reason for
 * CONN_LOST in err, and anything it likes for CONN_DROP. */
bool conn_pool_run(struct conn_pool *pool,
                   enum conn_verdict (*use)(void *conn, void *use_arg, struct err *err),
                   void *use_arg, struct err *err);

#endif
