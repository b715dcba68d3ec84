#include "table/plugins/redis_servers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "table/plugins/conn_pool.h"

#define HOST_SIZE (REDIS_MAX_HOST + 16) /* "[host]:port" */

struct node {
    char *host;
    struct conn_pool *pool;
};

struct redis_servers {
    const struct redis_settings *settings;
    struct conn_pool_limits limits;
    /* For reading and for changes: a server that can only be read is put aside for
     * changes alone. */
    struct conn_pool *configured[2];
    bool several;         /* are configured */
    pthread_mutex_t lock; /* of the rest */
    struct node nodes[REDIS_MAX_NODES];
    size_t node_count;
    uint8_t *slots; /* number of the node plus 1; NULL before the first redirect */
};

/* -- connections -- */

static void *op_connect(void *arg, const char *host, struct err *err)
{
    const struct redis_servers *servers = arg;

    return redis_conn_open(servers->settings, host, err);
}

static void op_close(void *arg UNUSED, void *conn)
{
    redis_conn_close(conn);
}

static const struct conn_pool_ops pool_ops = {.connect = op_connect, .close = op_close};

struct redis_servers *redis_servers_new(const struct redis_settings *settings,
                                        const char *hosts, unsigned idle_s,
                                        unsigned retry_s)
{
    struct redis_servers *servers = xcalloc(1, sizeof(*servers));
    struct span rest = span_str(hosts), host;

    servers->several =
        span_token(&rest, ", \t\r\n", &host) && span_token(&rest, ", \t\r\n", &host);
    servers->settings = settings;
    servers->limits = (struct conn_pool_limits){
        .wait_ms = 2 * settings->timeout_ms, .idle_s = idle_s, .retry_s = retry_s};
    for (int i = 0; i < 2; i++)
        servers->configured[i] =
            conn_pool_new(&pool_ops, servers, span_str(hosts), &servers->limits);
    pthread_mutex_init(&servers->lock, NULL);
    return servers;
}

void redis_servers_free(struct redis_servers *servers)
{
    if (!servers)
        return;
    for (int i = 0; i < 2; i++)
        conn_pool_free(servers->configured[i]);
    for (size_t i = 0; i < servers->node_count; i++) {
        conn_pool_free(servers->nodes[i].pool);
        free(servers->nodes[i].host);
    }
    pthread_mutex_destroy(&servers->lock);
    free(servers->slots);
    free(servers);
}

/* -- nodes of a cluster -- */

/* Number of the node with this name, made when it is new. REDIS_MAX_NODES: no room. */
static size_t node_number(struct redis_servers *servers, const char *host)
{
    size_t i;

    for (i = 0; i < servers->node_count; i++)
        if (strcmp(servers->nodes[i].host, host) == 0)
            return i;
    if (i == REDIS_MAX_NODES)
        return i;
    servers->nodes[i].host = xstrdup(host);
    servers->nodes[i].pool =
        conn_pool_new(&pool_ops, servers, span_str(host), &servers->limits);
    servers->node_count++;
    return i;
}

static struct conn_pool *pool_for_redirect(struct redis_servers *servers,
                                           const struct redis_redirect *to)
{
    char host[HOST_SIZE];
    struct conn_pool *pool = NULL;

    snprintf(host, sizeof(host), "[%s]:%u", to->host, (unsigned)to->port);
    pthread_mutex_lock(&servers->lock);
    size_t number = node_number(servers, host);
    if (!servers->slots)
        servers->slots = xcalloc(REDIS_SLOTS, 1);
    if (number < REDIS_MAX_NODES) {
        pool = servers->nodes[number].pool;
        if (!to->ask)
            servers->slots[to->slot] = (uint8_t)(number + 1);
    }
    pthread_mutex_unlock(&servers->lock);
    return pool;
}

static struct conn_pool *pool_for(struct redis_servers *servers,
                                  const struct redis_request *request)
{
    struct conn_pool *pool = servers->configured[request->change];

    pthread_mutex_lock(&servers->lock);
    unsigned number = servers->slots ? servers->slots[redis_key_slot(request->key)] : 0;
    if (number > 0)
        pool = servers->nodes[number - 1].pool;
    pthread_mutex_unlock(&servers->lock);
    return pool;
}

/* The node has gone: ask the configured servers who has its slots now. */
static void forget_node(struct redis_servers *servers, const struct conn_pool *pool)
{
    pthread_mutex_lock(&servers->lock);
    for (size_t i = 0; servers->slots && i < REDIS_SLOTS; i++)
        if (servers->slots[i] > 0 && servers->nodes[servers->slots[i] - 1].pool == pool)
            servers->slots[i] = 0;
    pthread_mutex_unlock(&servers->lock);
}

bool redis_servers_clustered(struct redis_servers *servers)
{
    pthread_mutex_lock(&servers->lock);
    bool clustered = servers->slots != NULL;
    pthread_mutex_unlock(&servers->lock);
    return clustered;
}

/* -- asking -- */

struct ask {
    const struct redis_servers *servers;
    const struct redis_request *request;
    bool asking; /* say ASKING first */
    bool redirected;
    struct redis_redirect redirect;
    redisReply *reply;
    enum table_status status;
};

/* Another server may do what this one cannot now; where there is no other, it is soon
 * asked again. */
static enum conn_verdict verdict_on(const struct ask *ask, struct span text)
{
    bool crowded = redis_error_is_crowded(text);
    struct span code = span_cut(&text, ' ');
    bool incapable = crowded || span_eq_str(code, "LOADING") ||
                     span_eq_str(code, "MASTERDOWN") || span_eq_str(code, "BUSY") ||
                     (ask->request->change && span_eq_str(code, "READONLY"));

    if (incapable && ask->servers->several)
        return CONN_LOST;
    return crowded ? CONN_DROP : CONN_OK;
}

static void fill_in_host(struct redis_redirect *redirect, const char *from)
{
    char host[REDIS_MAX_HOST + 1], port[6];

    if (!redirect->host[0] && redis_host_split(from, host, port))
        snprintf(redirect->host, sizeof(redirect->host), "%s", host);
}

static enum conn_verdict error_reply(struct ask *ask, const struct redis_conn *conn,
                                     struct err *err)
{
    struct span text = span_of(ask->reply->str, (size_t)ask->reply->len);
    struct strbuf printable = STRBUF_INIT;

    if (redis_redirect_parse(text, &ask->redirect)) {
        fill_in_host(&ask->redirect, redis_conn_host(conn));
        ask->redirected = true;
        return CONN_OK;
    }
    redis_error_text(ask->reply, &printable);
    err_set(err, "redis server %s: %s", redis_conn_host(conn), printable.ptr);
    strbuf_free(&printable);
    ask->status = redis_error_status(text);
    return verdict_on(ask, text);
}

static enum conn_verdict use_connection(void *arg, void *use_arg, struct err *err)
{
    struct redis_conn *conn = arg;
    struct ask *ask = use_arg;
    struct span asking = SPAN_LIT("ASKING");

    if (ask->reply)
        freeReplyObject(ask->reply);
    ask->reply = NULL;
    ask->redirected = false;
    ask->status = TABLE_RETRY;
    if (ask->asking) {
        redisReply *reply = redis_conn_call(conn, &asking, 1, err);
        if (!reply)
            return CONN_LOST;
        freeReplyObject(reply);
    }
    ask->reply = redis_conn_call(conn, ask->request->args, ask->request->count, err);
    if (!ask->reply)
        return CONN_LOST;
    if (ask->reply->type == REDIS_REPLY_ERROR)
        return error_reply(ask, conn, err);
    ask->status = TABLE_FOUND;
    return CONN_OK;
}

static enum table_status ask_nodes(struct redis_servers *servers, struct ask *ask,
                                   struct err *err)
{
    struct conn_pool *configured = servers->configured[ask->request->change];
    struct conn_pool *pool = pool_for(servers, ask->request), *failed = NULL;
    struct err why;

    for (int hops = 0; pool && hops <= REDIS_MAX_REDIRECTS; hops++) {
        if (!conn_pool_run(pool, use_connection, ask, err)) {
            if (pool == configured)
                return TABLE_RETRY;
            forget_node(servers, pool);
            failed = pool;
            why = *err;
            pool = configured;
            ask->asking = false;
            continue;
        }
        if (!ask->redirected)
            return ask->status;
        ask->asking = ask->redirect.ask;
        pool = pool_for_redirect(servers, &ask->redirect);
        if (pool && pool == failed) { /* nobody has taken over its slots yet */
            *err = why;
            return TABLE_RETRY;
        }
    }
    err_set(err,
            pool ? "redis cluster: more than %d redirects"
                 : "redis cluster: too many nodes (redirect %d)",
            REDIS_MAX_REDIRECTS);
    return TABLE_RETRY;
}

enum table_status redis_servers_ask(struct redis_servers *servers,
                                    const struct redis_request *request,
                                    redisReply **reply_out, struct err *err)
{
    struct ask ask = {.servers = servers, .request = request};
    enum table_status status = ask_nodes(servers, &ask, err);

    *reply_out = status == TABLE_FOUND ? ask.reply : NULL;
    if (status != TABLE_FOUND && ask.reply)
        freeReplyObject(ask.reply);
    return status;
}
