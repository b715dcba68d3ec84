#include "table/plugins/conn_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CONNECTIONS_DEFAULT 8
#define WAIT_MS_DEFAULT     20000

struct host {
    char *name;
    bool preferred;
    int64_t down_until; /* monotonic ms; 0: as far as known it works */
};

struct conn {
    struct conn *next;
    void *handle;
    size_t host;
    int64_t idle_since;
};

struct conn_pool {
    const struct conn_pool_ops *ops;
    void *arg;
    struct conn_pool_limits limits;
    struct host *hosts;
    size_t host_count;
    pthread_mutex_t lock; /* for all below, and the state of the hosts */
    pthread_cond_t freed;
    struct conn *idle; /* used last first */
    unsigned busy;
    unsigned seed;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_unix(const char *name)
{
    return name[0] == '/' || strncmp(name, "unix:", 5) == 0;
}

struct conn_pool *conn_pool_new(const struct conn_pool_ops *ops, void *arg,
                                struct span hosts,
                                const struct conn_pool_limits *limits)
{
    struct conn_pool *pool = xcalloc(1, sizeof(*pool));
    pthread_condattr_t attr;
    struct span name;

    pool->ops = ops;
    pool->arg = arg;
    pool->limits = *limits;
    if (pool->limits.connections == 0)
        pool->limits.connections = CONNECTIONS_DEFAULT;
    if (pool->limits.wait_ms == 0)
        pool->limits.wait_ms = WAIT_MS_DEFAULT;
    pool->seed = (unsigned)now_ms() ^ (unsigned)(uintptr_t)pool;
    while (span_token(&hosts, ", \t\r\n", &name)) {
        pool->hosts =
            xrealloc(pool->hosts, (pool->host_count + 1) * sizeof(*pool->hosts));
        struct host *host = &pool->hosts[pool->host_count++];
        host->name = xstrndup(name.ptr, name.len);
        host->preferred = (ops->preferred ? ops->preferred : is_unix)(host->name);
        host->down_until = 0;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->freed, &attr);
    pthread_condattr_destroy(&attr);
    return pool;
}

static void conn_close(struct conn_pool *pool, struct conn *conn)
{
    pool->ops->close(pool->arg, conn->handle);
    free(conn);
}

static void close_list(struct conn_pool *pool, struct conn *list)
{
    while (list) {
        struct conn *next = list->next;
        conn_close(pool, list);
        list = next;
    }
}

void conn_pool_free(struct conn_pool *pool)
{
    if (!pool)
        return;
    close_list(pool, pool->idle);
    for (size_t i = 0; i < pool->host_count; i++)
        free(pool->hosts[i].name);
    free(pool->hosts);
    pthread_cond_destroy(&pool->freed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* Those idle for too long; to be closed without the lock. */
static struct conn *take_stale(struct conn_pool *pool)
{
    int64_t limit = now_ms() - (int64_t)pool->limits.idle_s * 1000;
    struct conn **link = &pool->idle;

    while (*link && (*link)->idle_since >= limit)
        link = &(*link)->next;
    struct conn *stale = *link;
    *link = NULL;
    return stale;
}

/* One of those that are not down, preferred ones first; -1: none. */
static ssize_t choose_host(struct conn_pool *pool)
{
    int64_t now = now_ms();
    size_t seen = 0;
    ssize_t chosen = -1;
    bool preferred = false;

    for (size_t i = 0; i < pool->host_count; i++) {
        const struct host *host = &pool->hosts[i];
        if (host->down_until > now || (preferred && !host->preferred))
            continue;
        if (host->preferred && !preferred) {
            preferred = true;
            seen = 0;
        }
        seen++;
        if ((size_t)rand_r(&pool->seed) % seen == 0)
            chosen = (ssize_t)i;
    }
    return chosen;
}

/* Enter with the right to use one connection. */
static bool enter(struct conn_pool *pool, int64_t deadline, struct err *err)
{
    struct timespec until = {.tv_sec = deadline / 1000,
                             .tv_nsec = deadline % 1000 * 1000000};
    bool ok = true;

    pthread_mutex_lock(&pool->lock);
    while (ok && pool->busy >= pool->limits.connections)
        ok = pthread_cond_timedwait(&pool->freed, &pool->lock, &until) != ETIMEDOUT;
    if (ok)
        pool->busy++;
    struct conn *stale = take_stale(pool);
    pthread_mutex_unlock(&pool->lock);
    close_list(pool, stale);
    return ok ||
           err_set(err, "all %u connections are in use", pool->limits.connections);
}

static void leave(struct conn_pool *pool, struct conn *conn)
{
    pthread_mutex_lock(&pool->lock);
    if (conn) {
        conn->idle_since = now_ms();
        conn->next = pool->idle;
        pool->idle = conn;
    }
    pool->busy--;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

static struct conn *take_idle(struct conn_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct conn *conn = pool->idle;
    if (conn)
        pool->idle = conn->next;
    pthread_mutex_unlock(&pool->lock);
    return conn;
}

static struct conn *take_idle_of(struct conn_pool *pool, size_t host)
{
    struct conn *taken = NULL, **link = &pool->idle;

    pthread_mutex_lock(&pool->lock);
    while (*link) {
        struct conn *conn = *link;
        if (conn->host != host) {
            link = &conn->next;
            continue;
        }
        *link = conn->next;
        conn->next = taken;
        taken = conn;
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

static void host_failed(struct conn_pool *pool, size_t host)
{
    pthread_mutex_lock(&pool->lock);
    pool->hosts[host].down_until = now_ms() + (int64_t)pool->limits.retry_s * 1000;
    pthread_mutex_unlock(&pool->lock);
}

static struct conn *connect_host(struct conn_pool *pool, size_t host, struct err *err)
{
    err->text[0] = '\0';
    void *handle = pool->ops->connect(pool->arg, pool->hosts[host].name, err);
    if (!handle)
        return NULL;
    struct conn *conn = xcalloc(1, sizeof(*conn));
    conn->handle = handle;
    conn->host = host;
    return conn;
}

/* Append "; text". */
static void note(struct err *notes, const char *text)
{
    size_t len = strlen(notes->text);

    if (text[0] && len + 3 < sizeof notes->text)
        snprintf(notes->text + len, sizeof notes->text - len, "%s%s", len ? "; " : "",
                 text);
}

struct attempt {
    enum conn_verdict (*use)(void *conn, void *use_arg, struct err *err);
    void *use_arg;
    struct err err;   /* of the last call */
    struct err notes; /* servers that failed */
    struct conn *conn;
};

/* Was the question answered? conn then is what can be used again. */
static bool ask(struct conn_pool *pool, struct attempt *at)
{
    at->err.text[0] = '\0';
    enum conn_verdict verdict = at->use(at->conn->handle, at->use_arg, &at->err);
    if (verdict == CONN_OK)
        return true;
    conn_close(pool, at->conn);
    at->conn = NULL;
    return verdict == CONN_DROP;
}

/* Idle connections first: that one is lost says nothing of its server, which may have
 * closed it long ago; but then those that are idle for longer are of no use either, and
 * each could cost the time limit of a question. */
static bool ask_idle(struct conn_pool *pool, struct attempt *at, int64_t deadline)
{
    while (now_ms() < deadline && (at->conn = take_idle(pool)) != NULL) {
        size_t host = at->conn->host;
        if (ask(pool, at))
            return true;
        close_list(pool, take_idle_of(pool, host));
    }
    return false;
}

static bool ask_hosts(struct conn_pool *pool, struct attempt *at, int64_t deadline)
{
    for (size_t tries = 0; tries <= pool->host_count && now_ms() < deadline; tries++) {
        pthread_mutex_lock(&pool->lock);
        ssize_t host = choose_host(pool);
        pthread_mutex_unlock(&pool->lock);
        if (host < 0)
            return false;
        at->conn = connect_host(pool, (size_t)host, &at->err);
        if (at->conn && ask(pool, at))
            return true;
        host_failed(pool, (size_t)host);
        note(&at->notes, at->err.text);
    }
    return false;
}

bool conn_pool_run(struct conn_pool *pool,
                   enum conn_verdict (*use)(void *conn, void *use_arg, struct err *err),
                   void *use_arg, struct err *err)
{
    struct attempt at = {.use = use, .use_arg = use_arg};
    int64_t deadline = now_ms() + pool->limits.wait_ms;

    if (!enter(pool, deadline, err))
        return false;
    bool answered = ask_idle(pool, &at, deadline) || ask_hosts(pool, &at, deadline);
    leave(pool, at.conn);
    if (answered) {
        note(&at.notes, at.err.text);
        *err = at.notes;
        return true;
    }
    const char *why = at.notes.text[0] ? at.notes.text : at.err.text;
    return err_set(err, "no server can be asked%s%s", why[0] ? ": " : "",
                   why[0] ? why : " (each failed a short while ago)");
}
