/* mysql:/path.cf asks MySQL or MariaDB servers. Keys are quoted by the client library
 * for the character set and the SQL mode of the very connection that carries the query;
 * one call carries one statement. */
#include <errmsg.h>
#include <mysql.h>
#include <stdlib.h>

#include "table/plugin.h"
#include "table/plugins/sql_common.h"

#define CONNECT_S 10
#define IO_S      15

/* Server errors that mean "ask elsewhere". */
#define SHUTDOWN_FIRST 1077
#define SHUTDOWN_LAST  1079
#define SHUTTING_DOWN  1053

struct mysql_table {
    struct table table;
    struct backend *backend;
    struct conn_pool *pool;
    char *source; /* file or prefix, for messages */
    char *query;
    char *user, *password, *dbname, *charset, *option_file, *option_group;
    char *tls_key, *tls_cert, *tls_ca, *tls_ca_path, *tls_ciphers;
    bool tls_verify, require_result;
};

struct mysql_lookup {
    struct mysql_table *mt;
    MYSQL *conn;
    struct span key;
    struct backend_result result;
    enum table_status status;
};

static struct mysql_table *self(const struct table *table)
{
    return (struct mysql_table *)table;
}

static void free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static bool wants_tls(const struct mysql_table *mt)
{
    return mt->tls_key || mt->tls_cert || mt->tls_ca || mt->tls_ca_path ||
           mt->tls_ciphers || mt->tls_verify;
}

static void set_options(const struct mysql_table *mt, MYSQL *conn)
{
    unsigned connect_s = CONNECT_S, io_s = IO_S;
    my_bool yes = 1, verify = mt->tls_verify;

    mysql_options(conn, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    mysql_options(conn, MYSQL_OPT_READ_TIMEOUT, &io_s);
    mysql_options(conn, MYSQL_OPT_WRITE_TIMEOUT, &io_s);
    if (mt->option_file)
        mysql_options(conn, MYSQL_READ_DEFAULT_FILE, mt->option_file);
    if (mt->option_file || mt->option_group)
        mysql_options(conn, MYSQL_READ_DEFAULT_GROUP,
                      mt->option_group ? mt->option_group : "client");
    if (mt->charset)
        mysql_options(conn, MYSQL_SET_CHARSET_NAME, mt->charset);
    if (!wants_tls(mt))
        return;
    mysql_ssl_set(conn, mt->tls_key, mt->tls_cert, mt->tls_ca, mt->tls_ca_path,
                  mt->tls_ciphers);
    mysql_options(conn, MYSQL_OPT_SSL_ENFORCE, &yes);
    mysql_options(conn, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

static void *connect_server(void *arg, const char *text, struct err *err)
{
    const struct mysql_table *mt = arg;
    struct sql_host host;

    if (!sql_host_parse(text, &host, err))
        return NULL;
    MYSQL *conn = mysql_init(NULL);
    if (!conn) {
        free(host.name);
        err_set(err, "connect to mysql server %s: out of memory", text);
        return NULL;
    }
    set_options(mt, conn);
    if (!mysql_real_connect(conn, host.is_unix ? NULL : host.name, mt->user,
                            mt->password, mt->dbname, host.port,
                            host.is_unix ? host.name : NULL, CLIENT_MULTI_RESULTS)) {
        err_set(err, "connect to mysql server %s: %s", text, mysql_error(conn));
        mysql_close(conn);
        conn = NULL;
    }
    free(host.name);
    return conn;
}

static void close_server(void *arg UNUSED, void *conn)
{
    mysql_close(conn);
}

static bool is_lost(unsigned error)
{
    return (error >= CR_MIN_ERROR && error <= CR_MAX_ERROR) || error == SHUTTING_DOWN ||
           (error >= SHUTDOWN_FIRST && error <= SHUTDOWN_LAST);
}

static enum conn_verdict query_failed(struct mysql_lookup *look, struct err *err)
{
    err_set(err, "%s: mysql query failed: %s", look->mt->source,
            mysql_error(look->conn));
    look->status = TABLE_RETRY;
    return is_lost(mysql_errno(look->conn)) ? CONN_LOST : CONN_OK;
}

static bool quote_key(void *arg, struct strbuf *out, struct span text)
{
    strbuf_reserve(out, text.len * 2 + 1);
    unsigned long len = mysql_real_escape_string(arg, out->ptr + out->len, text.ptr,
                                                 (unsigned long)text.len);
    if (len == (unsigned long)-1)
        return false;
    out->len += len;
    out->ptr[out->len] = '\0';
    return true;
}

static bool collect_rows(struct mysql_lookup *look, MYSQL_RES *rows, struct err *err)
{
    unsigned columns = mysql_num_fields(rows);
    MYSQL_ROW row;

    while ((row = mysql_fetch_row(rows)) != NULL) {
        const unsigned long *lengths = mysql_fetch_lengths(rows);
        for (unsigned i = 0; i < columns; i++)
            if (row[i] &&
                !backend_result_add(&look->result, span_of(row[i], lengths[i]), err))
                return false;
    }
    return true;
}

/* A stored procedure may give several sets of rows, and none at all. The connection can
 * be used again only when all of them have been read. */
static enum conn_verdict collect_sets(struct mysql_lookup *look, struct err *err)
{
    bool good = true, any = false;
    int more;

    do {
        MYSQL_RES *rows = mysql_store_result(look->conn);
        if (!rows && mysql_field_count(look->conn) > 0)
            return query_failed(look, err);
        any = any || rows;
        if (rows && good)
            good = collect_rows(look, rows, err);
        if (rows)
            mysql_free_result(rows);
        more = mysql_next_result(look->conn);
    } while (more == 0);
    if (more > 0)
        return query_failed(look, err);
    if (!any && look->mt->require_result)
        good = err_set(err,
                       "%s: query did not return a result set (see "
                       "require_result_set)",
                       look->mt->source);
    look->status = good ? backend_result_status(&look->result) : TABLE_RETRY;
    return CONN_OK;
}

static enum conn_verdict ask(void *conn, void *arg, struct err *err)
{
    struct mysql_lookup *look = arg;
    const struct backend_quote quote = {.add = quote_key, .arg = conn};
    struct strbuf query = STRBUF_INIT;
    enum conn_verdict verdict = CONN_OK;

    look->conn = conn;
    look->result.count = 0;
    strbuf_reset(look->result.value);
    if (!backend_expand(look->mt->query, look->key, look->key, &quote, &query))
        look->status = TABLE_NOT_FOUND;
    else if (mysql_real_query(conn, query.ptr, (unsigned long)query.len) != 0)
        verdict = query_failed(look, err);
    else
        verdict = collect_sets(look, err);
    strbuf_free(&query);
    return verdict;
}

static enum table_status mysql_lookup(struct table *table, struct span key,
                                      struct strbuf *value, struct err *err)
{
    struct mysql_table *mt = self(table);
    struct mysql_lookup look = {.mt = mt, .key = key};
    struct strbuf trial = STRBUF_INIT;

    /* No connection is made for a key that is not to be asked for. */
    look.status = backend_query(mt->backend, mt->query, key, NULL, &trial, err);
    strbuf_free(&trial);
    if (look.status != TABLE_FOUND)
        return look.status;
    look.result = backend_result_start(mt->backend, key, value);
    if (!conn_pool_run(mt->pool, ask, &look, err))
        return TABLE_RETRY;
    return look.status;
}

static void read_tls(struct mysql_table *mt, struct backend_conf *conf)
{
    mt->tls_key = sql_copy_str(conf, "tls_key_file");
    mt->tls_cert = sql_copy_str(conf, "tls_cert_file");
    mt->tls_ca = sql_copy_str(conf, "tls_CAfile");
    mt->tls_ca_path = sql_copy_str(conf, "tls_CApath");
    mt->tls_ciphers = sql_copy_str(conf, "tls_ciphers");
    mt->tls_verify = backend_conf_bool(conf, "tls_verify_cert", false);
}

static bool mysql_open(struct table *table, struct err *err)
{
    static const struct conn_pool_ops ops = {.connect = connect_server,
                                             .close = close_server};
    struct mysql_table *mt = self(table);
    struct backend_conf *conf = backend_conf_open(table, err);

    if (!conf)
        return false;
    mysql_library_init(0, NULL, NULL);
    mt->source = xstrdup(backend_conf_source(conf));
    mt->backend = backend_new(table, conf);
    mt->query = sql_query_template(conf);
    mt->user = sql_copy_str(conf, "user");
    mt->password = sql_copy_str(conf, "password");
    mt->dbname = xstrdup(backend_conf_need(conf, "dbname"));
    mt->charset = xstrdup(backend_conf_str(conf, "charset", "utf8mb4"));
    mt->option_file = sql_copy_str(conf, "option_file");
    mt->option_group = sql_copy_str(conf, "option_group");
    mt->require_result = backend_conf_bool(conf, "require_result_set", true);
    read_tls(mt, conf);
    struct conn_pool_limits limits = sql_pool_limits(conf);
    const char *hosts = backend_conf_str(conf, "hosts", "");
    mt->pool =
        conn_pool_new(&ops, mt, span_str(hosts[0] ? hosts : "localhost"), &limits);
    bool ok = backend_conf_ok(conf, err);
    backend_conf_free(conf);
    return ok;
}

static void mysql_close_table(struct table *table)
{
    struct mysql_table *mt = self(table);
    char *texts[] = {mt->source,      mt->query,       mt->user,
                     mt->dbname,      mt->charset,     mt->tls_key,
                     mt->tls_cert,    mt->tls_ca,      mt->tls_ca_path,
                     mt->tls_ciphers, mt->option_file, mt->option_group};

    conn_pool_free(mt->pool);
    backend_free(mt->backend);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free_secret(mt->password);
}

static const struct table_type mysql_type = {
    .name = "mysql",
    .size = sizeof(struct mysql_table),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .thread_safe = true,
    .open = mysql_open,
    .close = mysql_close_table,
    .lookup = mysql_lookup,
};

TABLE_PLUGIN(&mysql_type);
