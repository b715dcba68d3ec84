/* pgsql:/path.cf asks PostgreSQL servers. Keys are quoted by the client library for the
 * encoding and the settings of the very connection that carries the query. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "table/plugin.h"
#include "table/plugins/sql_common.h"

#define CONNECT_S "10"
#define QUERY_S   15

struct pgsql_table {
    struct table table;
    struct backend *backend;
    struct conn_pool *pool;
    char *source; /* file or prefix, for messages */
    char *query;
    char *user, *password, *dbname, *encoding;
};

struct pgsql_lookup {
    struct pgsql_table *pt;
    PGconn *conn;
    struct span key;
    struct backend_result result;
    enum table_status status;
    bool good, lost;
    int64_t deadline;
};

static struct pgsql_table *self(const struct table *table)
{
    return (struct pgsql_table *)table;
}

static bool is_uri(const char *text)
{
    return strncmp(text, "postgresql://", 13) == 0 ||
           strncmp(text, "postgres://", 11) == 0;
}

/* A host as it may be logged: without user and password. */
static const char *shown_host(const char *text)
{
    const char *at = is_uri(text) ? strrchr(text, '@') : NULL;

    if (at)
        return at + 1;
    return is_uri(text) ? strstr(text, "//") + 2 : text;
}

struct parameters {
    const char *names[12], *values[12];
    size_t count;
};

static void add(struct parameters *p, const char *name, const char *value)
{
    if (!value)
        return;
    p->names[p->count] = name;
    p->values[p->count++] = value;
}

/* What the library says may quote a URI, and with it a password. */
static void connect_failed(PGconn *conn, const char *text, struct err *err)
{
    struct span why = span_trim(span_str(PQerrorMessage(conn)));

    if (is_uri(text) && (PQsocket(conn) < 0 && !PQhost(conn)))
        why = SPAN_LIT("bad URI");
    err_set(err, "connect to pgsql server %s: %.*s", shown_host(text), SPAN_ARG(why));
    for (char *cp = err->text; *cp; cp++)
        if (*cp == '\n')
            *cp = ' ';
}

static PGconn *connect_with(struct pgsql_table *pt, const char *text,
                            const struct sql_host *host)
{
    struct parameters p = {.count = 0};
    char port[16];

    add(&p, "connect_timeout", CONNECT_S);
    add(&p, "application_name", "gatepost");
    if (host) {
        add(&p, "host", host->name);
        add(&p, "dbname", pt->dbname);
        snprintf(port, sizeof port, "%u", host->port);
        add(&p, "port", host->port ? port : NULL);
    } else {
        add(&p, "dbname", text);
    }
    add(&p, "user", pt->user);
    add(&p, "password", pt->password);
    add(&p, "client_encoding", pt->encoding);
    return PQconnectdbParams(p.names, p.values, 1);
}

/* A socket is given as its file; the library wants directory and port. */
static void split_socket(struct sql_host *host)
{
    char *slash = host->is_unix ? strrchr(host->name, '/') : NULL;
    uint32_t port;

    if (!slash || strncmp(slash, "/.s.PGSQL.", 10) != 0 ||
        !span_u32(span_str(slash + 10), &port))
        return;
    host->port = port;
    *slash = '\0';
}

static void *connect_server(void *arg, const char *text, struct err *err)
{
    struct sql_host host = {0};

    if (!is_uri(text) && !sql_host_parse(text, &host, err))
        return NULL;
    split_socket(&host);
    PGconn *conn = connect_with(arg, text, is_uri(text) ? NULL : &host);
    free(host.name);
    if (PQstatus(conn) == CONNECTION_OK && PQsetnonblocking(conn, 1) == 0)
        return conn;
    connect_failed(conn, text, err);
    PQfinish(conn);
    return NULL;
}

static void close_server(void *arg UNUSED, void *conn)
{
    PQfinish(conn);
}

static bool quote_key(void *arg, struct strbuf *out, struct span text)
{
    int error = 0;

    strbuf_reserve(out, text.len * 2 + 1);
    size_t len =
        PQescapeStringConn(arg, out->ptr + out->len, text.ptr, text.len, &error);
    if (error)
        return false;
    out->len += len;
    out->ptr[out->len] = '\0';
    return true;
}

/* Until a result can be fetched without waiting. */
static bool wait_result(struct pgsql_lookup *look)
{
    for (;;) {
        int unsent = PQflush(look->conn);
        if (unsent < 0 || PQconsumeInput(look->conn) == 0)
            return false;
        if (unsent == 0 && !PQisBusy(look->conn))
            return true;
        int64_t left = look->deadline - sql_now_s();
        struct pollfd pfd = {.fd = PQsocket(look->conn),
                             .events = (short)(POLLIN | (unsent ? POLLOUT : 0))};
        int ready = left > 0 ? poll(&pfd, 1, (int)left * 1000) : 0;
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return false;
    }
}

static void note_failure(struct pgsql_lookup *look, const char *text, struct err *err)
{
    if (look->good)
        err_set(err, "%s: pgsql query failed: %.*s", look->pt->source,
                SPAN_ARG(span_trim(span_str(text))));
    look->good = false;
}

static void collect_rows(struct pgsql_lookup *look, const PGresult *rows,
                         struct err *err)
{
    for (int row = 0; row < PQntuples(rows); row++)
        for (int column = 0; column < PQnfields(rows); column++) {
            if (PQgetisnull(rows, row, column))
                continue;
            struct span value = span_of(PQgetvalue(rows, row, column),
                                        (size_t)PQgetlength(rows, row, column));
            if (look->good && !backend_result_add(&look->result, value, err))
                look->good = false;
        }
}

/* All results are fetched, so that the connection can be used again. */
static void collect_sets(struct pgsql_lookup *look, struct err *err)
{
    PGresult *rows = NULL;

    while (!look->lost) {
        look->lost = !wait_result(look);
        rows = look->lost ? NULL : PQgetResult(look->conn);
        if (!rows)
            break;
        ExecStatusType state = PQresultStatus(rows);
        if (state == PGRES_TUPLES_OK)
            collect_rows(look, rows, err);
        else if (state != PGRES_COMMAND_OK && state != PGRES_EMPTY_QUERY)
            note_failure(look, PQresultErrorMessage(rows), err);
        look->lost = state == PGRES_COPY_IN || state == PGRES_COPY_OUT;
        PQclear(rows);
    }
    if (look->lost || PQstatus(look->conn) != CONNECTION_OK) {
        look->lost = true;
        note_failure(look,
                     sql_now_s() >= look->deadline ? "timeout"
                                                   : PQerrorMessage(look->conn),
                     err);
    }
}

static enum conn_verdict ask(void *conn, void *arg, struct err *err)
{
    struct pgsql_lookup *look = arg;
    const struct backend_quote quote = {.add = quote_key, .arg = conn};
    struct strbuf query = STRBUF_INIT;

    look->conn = conn;
    look->good = true;
    look->lost = false;
    look->deadline = sql_now_s() + QUERY_S;
    look->result.count = 0;
    strbuf_reset(look->result.value);
    if (!backend_expand(look->pt->query, look->key, look->key, &quote, &query)) {
        strbuf_free(&query);
        look->status = TABLE_NOT_FOUND;
        return CONN_OK;
    }
    if (PQsendQuery(conn, query.ptr) == 0) {
        look->lost = true;
        note_failure(look, PQerrorMessage(conn), err);
    } else {
        collect_sets(look, err);
    }
    strbuf_free(&query);
    look->status = look->good ? backend_result_status(&look->result) : TABLE_RETRY;
    return look->lost ? CONN_LOST : CONN_OK;
}

static enum table_status pgsql_lookup(struct table *table, struct span key,
                                      struct strbuf *value, struct err *err)
{
    struct pgsql_table *pt = self(table);
    struct pgsql_lookup look = {.pt = pt, .key = key};
    struct strbuf trial = STRBUF_INIT;

    /* No connection is made for a key that is not to be asked for. */
    look.status = backend_query(pt->backend, pt->query, key, NULL, &trial, err);
    strbuf_free(&trial);
    if (look.status != TABLE_FOUND)
        return look.status;
    look.result = backend_result_start(pt->backend, key, value);
    if (!conn_pool_run(pt->pool, ask, &look, err))
        return TABLE_RETRY;
    return look.status;
}

/* select_function stands between the query and the older attributes. */
static char *query_template(struct backend_conf *conf)
{
    const char *function = backend_conf_str(conf, "select_function", "");
    struct strbuf made = STRBUF_INIT;

    if (backend_conf_str(conf, "query", "")[0] || !function[0])
        return sql_query_template(conf);
    strbuf_addf(&made, "SELECT %s('%%s')", function);
    return strbuf_detach(&made);
}

static bool pgsql_open(struct table *table, struct err *err)
{
    static const struct conn_pool_ops ops = {.connect = connect_server,
                                             .close = close_server};
    struct pgsql_table *pt = self(table);
    struct backend_conf *conf = backend_conf_open(table, err);

    if (!conf)
        return false;
    pt->source = xstrdup(backend_conf_source(conf));
    pt->backend = backend_new(table, conf);
    pt->query = query_template(conf);
    pt->user = sql_copy_str(conf, "user");
    pt->password = sql_copy_str(conf, "password");
    const char *hosts = backend_conf_str(conf, "hosts", "");
    const char *first = span_ltrim(span_str(hosts)).ptr;
    pt->dbname = first && is_uri(first) ? sql_copy_str(conf, "dbname")
                                        : xstrdup(backend_conf_need(conf, "dbname"));
    pt->encoding = xstrdup(backend_conf_str(conf, "encoding", "UTF8"));
    struct conn_pool_limits limits = sql_pool_limits(conf);
    pt->pool =
        conn_pool_new(&ops, pt, span_str(hosts[0] ? hosts : "localhost"), &limits);
    bool ok = backend_conf_ok(conf, err);
    backend_conf_free(conf);
    return ok;
}

static void pgsql_close_table(struct table *table)
{
    struct pgsql_table *pt = self(table);

    conn_pool_free(pt->pool);
    backend_free(pt->backend);
    free(pt->source);
    free(pt->query);
    free(pt->user);
    free(pt->dbname);
    free(pt->encoding);
    if (pt->password)
        explicit_bzero(pt->password, strlen(pt->password));
    free(pt->password);
}

static const struct table_type pgsql_type = {
    .name = "pgsql",
    .size = sizeof(struct pgsql_table),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .thread_safe = true,
    .open = pgsql_open,
    .close = pgsql_close_table,
    .lookup = pgsql_lookup,
};

TABLE_PLUGIN(&pgsql_type);
