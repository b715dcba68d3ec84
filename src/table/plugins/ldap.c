/* ldap: tables. See ldap_table(5). Reading order: ldap_config.h, ldap_query.h,
 * ldap_conn.h. */
#include <pthread.h>
#include <stdlib.h>

#include "table/plugins/conn_pool.h"
#include "table/plugins/ldap_query.h"
#include "table/plugin.h"

#define IDLE_S  300
#define SHUN_MS 1000  /* a server that failed is left alone for so long, */
#define LAST_MS 30000 /* and then tried behind the others for so long */

struct ldap_table {
    struct table table;
    struct backend *backend;
    struct ldap_config config;
    struct conn_pool *pool;
    pthread_mutex_t lock;
    int64_t *failed_ms; /* for each of config.uris: when it failed; 0: it works */
};

/* -- servers that failed -- */

static void set_failed(struct ldap_table *lt, size_t server, bool failed)
{
    pthread_mutex_lock(&lt->lock);
    lt->failed_ms[server] = failed ? ldap_now_ms() : 0;
    pthread_mutex_unlock(&lt->lock);
}

/* INT64_MAX: it did not. Negative: later than now_ms. */
static int64_t failed_ago_ms(struct ldap_table *lt, size_t server, int64_t now_ms)
{
    pthread_mutex_lock(&lt->lock);
    int64_t failed_ms = lt->failed_ms[server];
    pthread_mutex_unlock(&lt->lock);
    return failed_ms ? now_ms - failed_ms : INT64_MAX;
}

/* -- connections -- */

static struct ldap_session *try_server(struct ldap_table *lt, size_t server,
                                       struct err *err)
{
    struct ldap_session *session =
        ldap_conn_open(&lt->config, lt->config.uris[server], err);

    set_failed(lt, server, !session);
    if (session)
        session->server = server;
    return session;
}

/* The servers are tried in the order that was configured, so for the pool they are
 * one; first those that did not fail a short while ago. Silent servers take the time
 * limit each, so after two of them the rest is left to the next look-up. */
static void *op_connect(void *arg, const char *host UNUSED, struct err *err)
{
    struct ldap_table *lt = arg;
    int64_t begun = ldap_now_ms(),
            enough = begun + 2000 * (int64_t)lt->config.timeout_s;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < lt->config.uri_count && ldap_now_ms() < enough; i++) {
            int64_t ago = failed_ago_ms(lt, i, begun);
            if (ago < SHUN_MS || (ago < LAST_MS) != (pass == 1))
                continue;
            struct ldap_session *session = try_server(lt, i, err);
            if (session)
                return session;
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
    ldap_conn_prepare();
    lt->failed_ms = xcalloc(lt->config.uri_count + 1, sizeof(*lt->failed_ms));
    lt->backend = backend_new(table, conf);
    bool good = backend_conf_ok(conf, err);
    if (good && lt->config.warning[0] && !err->text[0])
        err_set(err, "%s: %s", backend_conf_source(conf), lt->config.warning);
    backend_conf_free(conf);
    if (lt->config.debug_level > 0)
        ldap_set_option(NULL, LDAP_OPT_DEBUG_LEVEL, &lt->config.debug_level);
    struct conn_pool_limits limits = {.wait_ms = 2000u * (unsigned)lt->config.timeout_s,
                                      .idle_s = IDLE_S};
    lt->pool = conn_pool_new(&pool_ops, lt, SPAN_LIT("ldap"), &limits);
    return good;
}

static void ldap_table_close(struct table *table)
{
    struct ldap_table *lt = (struct ldap_table *)table;

    conn_pool_free(lt->pool);
    free(lt->failed_ms);
    ldap_config_free(&lt->config);
    backend_free(lt->backend);
    pthread_mutex_destroy(&lt->lock);
}

struct question {
    struct ldap_table *lt;
    struct ldap_query query;
};

/* That a server closed an idle connection says nothing about it; that it is silent
 * does. */
static enum conn_verdict use_session(void *conn, void *arg, struct err *err)
{
    struct ldap_session *session = conn;
    struct question *question = arg;
    struct ldap_table *lt = question->lt;
    bool is_new = !session->used;

    if (!is_new && failed_ago_ms(lt, session->server, ldap_now_ms()) < SHUN_MS)
        return CONN_LOST;
    session->used = true;
    if (ldap_query_run(&question->query, session, err))
        return CONN_OK;
    if (is_new || question->query.timed_out)
        set_failed(lt, session->server, true);
    err_prefix(err, "LDAP server %s", lt->config.uris[session->server]);
    return CONN_LOST;
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
        struct question question = {.lt = lt,
                                    .query = {.config = &lt->config,
                                              .backend = lt->backend,
                                              .key = key,
                                              .base = base.ptr,
                                              .filter = filter.ptr,
                                              .value = value}};
        bool answered = conn_pool_run(lt->pool, use_session, &question, err);
        status = answered ? question.query.status : TABLE_RETRY;
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
