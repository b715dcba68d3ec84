/* ldap: tables. See ldap_table(5). Reading order: ldap_config.h, ldap_query.h,
 * ldap_conn.h. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "table/plugins/conn_pool.h"
#include "table/plugins/ldap_query.h"
#include "table/plugin.h"

#define IDLE_S     300
#define DOWN_S     30 /* a server that failed is tried behind the others so long */
#define DOWN_COUNT 64

struct ldap_table {
    struct table table;
    struct backend *backend;
    struct ldap_config config;
    struct conn_pool *pool;
    pthread_mutex_t lock;
    time_t down_until[DOWN_COUNT]; /* of the servers in config.uris */
};

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* -- connections -- */

static bool is_down(struct ldap_table *lt, size_t server)
{
    if (server >= DOWN_COUNT)
        return false;
    pthread_mutex_lock(&lt->lock);
    bool down = lt->down_until[server] > now_s();
    pthread_mutex_unlock(&lt->lock);
    return down;
}

static LDAP *try_server(struct ldap_table *lt, size_t server, struct err *err)
{
    LDAP *ld = ldap_conn_open(&lt->config, lt->config.uris[server], err);

    if (server < DOWN_COUNT) {
        pthread_mutex_lock(&lt->lock);
        lt->down_until[server] = ld ? 0 : now_s() + DOWN_S;
        pthread_mutex_unlock(&lt->lock);
    }
    return ld;
}

/* The servers are tried in the order that was configured, so for the pool they are
 * one; first those that did not fail a short while ago. */
static void *op_connect(void *arg, const char *host UNUSED, struct err *err)
{
    struct ldap_table *lt = arg;
    bool tried[DOWN_COUNT] = {false};

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < lt->config.uri_count && i < DOWN_COUNT; i++) {
            if (tried[i] || (pass == 0 && is_down(lt, i)))
                continue;
            tried[i] = true;
            LDAP *ld = try_server(lt, i, err);
            if (ld)
                return ld;
        }
    }
    return NULL;
}

static void op_close(void *arg UNUSED, void *conn)
{
    ldap_conn_close(conn);
}

static const struct conn_pool_ops pool_ops = {.connect = op_connect, .close = op_close};

/* -- the table -- */

static bool ldap_table_open(struct table *table, struct err *err)
{
    struct ldap_table *lt = (struct ldap_table *)table;

    pthread_mutex_init(&lt->lock, NULL);
    struct backend_conf *conf = backend_conf_open(table, err);
    if (!conf)
        return false;
    ldap_config_read(&lt->config, conf);
    ldap_conn_prepare(&lt->config);
    if (lt->config.uri_count > DOWN_COUNT)
        backend_conf_bad(conf, "server_host", "more than %d servers", DOWN_COUNT);
    lt->backend = backend_new(table, conf);
    bool good = backend_conf_ok(conf, err);
    backend_conf_free(conf);
    if (lt->config.debug_level > 0)
        ldap_set_option(NULL, LDAP_OPT_DEBUG_LEVEL, &lt->config.debug_level);
    struct conn_pool_limits limits = {.wait_ms = 3000u * (unsigned)lt->config.timeout_s,
                                      .idle_s = IDLE_S};
    lt->pool = conn_pool_new(&pool_ops, lt, SPAN_LIT("ldap"), &limits);
    return good;
}

static void ldap_table_close(struct table *table)
{
    struct ldap_table *lt = (struct ldap_table *)table;

    conn_pool_free(lt->pool);
    ldap_config_free(&lt->config);
    backend_free(lt->backend);
    pthread_mutex_destroy(&lt->lock);
}

static enum conn_verdict use_connection(void *conn, void *arg, struct err *err)
{
    return ldap_query_run(arg, conn, err) ? CONN_OK : CONN_LOST;
}

static enum table_status ldap_table_lookup(struct table *table, struct span key,
                                           struct strbuf *value, struct err *err)
{
    struct ldap_table *lt = (struct ldap_table *)table;
    const struct backend_quote in_dn = {.add = ldap_quote_dn};
    const struct backend_quote in_filter = {.add = ldap_quote_filter};
    struct strbuf base = STRBUF_INIT, filter = STRBUF_INIT;
    enum table_status status =
        backend_query(lt->backend, lt->config.search_base, key, &in_dn, &base, err);

    if (status == TABLE_FOUND &&
        !backend_expand(lt->config.query_filter, key, key, &in_filter, &filter))
        status = TABLE_NOT_FOUND;
    if (status == TABLE_FOUND) {
        struct ldap_query query = {.config = &lt->config,
                                   .backend = lt->backend,
                                   .key = key,
                                   .base = base.ptr,
                                   .filter = filter.ptr,
                                   .value = value};
        status = conn_pool_run(lt->pool, use_connection, &query, err) ? query.status
                                                                      : TABLE_RETRY;
        if (status == TABLE_RETRY)
            err_prefix(err, "%s", lt->table.full_name);
    }
    strbuf_free(&base);
    strbuf_free(&filter);
    return status;
}

static const struct table_type ldap_type = {
    .name = "ldap",
    .size = sizeof(struct ldap_table),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .thread_safe = true,
    .open = ldap_table_open,
    .close = ldap_table_close,
    .lookup = ldap_table_lookup,
};

TABLE_PLUGIN(&ldap_type);
