/* mongodb:/path.cf asks MongoDB servers: "query_filter" in a collection, and of the
 * documents found the values of result_attribute, or what "projection" leaves of them.
 * A connection of the pool is a client of the library without threads of its own: it
 * knows all servers that the URI leads to and asks the one that is right just now. */
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "table/plugin.h"
#include "table/plugins/mongodb_filter.h"
#include "table/plugins/mongodb_value.h"
#include "table/plugins/sql_common.h"

#define SELECT_MS  10000
#define CONNECT_MS 5000
#define SOCKET_MS  15000
#define WAIT_MS    20000
#define RESULT_S   30 /* for all documents of one key */
#define IDLE_S     60
#define RETRY_S    1

struct mongodb_table {
    struct table table;
    struct backend *backend;
    struct conn_pool *pool;
    char *source; /* file or prefix, for messages */
    char *dbname, *collection, *fields;
    mongoc_uri_t *uri;
    bson_t *filter;
    bson_t *options; /* of find */
};

struct mongodb_lookup {
    struct mongodb_table *mt;
    const bson_t *filter;
    struct backend_result result;
    enum table_status status;
};

static struct mongodb_table *self(const struct table *table)
{
    return (struct mongodb_table *)table;
}

/* -- connections -- */

static void *connect_servers(void *arg, const char *host UNUSED, struct err *err)
{
    struct mongodb_table *mt = arg;
    bson_error_t error = {0};
    mongoc_client_t *client = mongoc_client_new_from_uri_with_error(mt->uri, &error);

    if (client)
        mongoc_client_set_error_api(client, MONGOC_ERROR_API_VERSION_2);
    else
        err_set(err, "%s: mongodb client: %s", mt->source, error.message);
    return client;
}

static void close_client(void *arg UNUSED, void *conn)
{
    mongoc_client_destroy(conn);
}

/* Would another connection help? */
static bool is_lost(const bson_error_t *error)
{
    switch (error->domain) {
    case MONGOC_ERROR_CLIENT:
    case MONGOC_ERROR_STREAM:
    case MONGOC_ERROR_PROTOCOL:
    case MONGOC_ERROR_SASL:
    case MONGOC_ERROR_SCRAM:
    case MONGOC_ERROR_SERVER_SELECTION:
        return true;
    default:
        return false;
    }
}

/* -- looking up -- */

static bool collect(struct mongodb_lookup *look, mongoc_cursor_t *cursor,
                    struct err *err)
{
    int64_t deadline = sql_now_s() + RESULT_S;
    const bson_t *doc;

    while (mongoc_cursor_next(cursor, &doc)) {
        if (!mongodb_values(&look->result, doc, span_str(look->mt->fields), err))
            return false;
        if (sql_now_s() > deadline)
            return err_set(err, "%s: mongodb query failed: not all documents in %d s",
                           look->mt->source, RESULT_S);
    }
    return true;
}

static enum conn_verdict ask(void *conn, void *arg, struct err *err)
{
    struct mongodb_lookup *look = arg;
    struct mongodb_table *mt = look->mt;
    enum conn_verdict verdict = CONN_OK;
    bson_error_t error;

    look->result.count = 0;
    strbuf_reset(look->result.value);
    mongoc_collection_t *collection =
        mongoc_client_get_collection(conn, mt->dbname, mt->collection);
    mongoc_cursor_t *cursor =
        mongoc_collection_find_with_opts(collection, look->filter, mt->options, NULL);
    bool good = collect(look, cursor, err);
    if (good && mongoc_cursor_error(cursor, &error)) {
        err_set(err, "%s: mongodb query failed: %s", mt->source, error.message);
        good = false;
        verdict = is_lost(&error) ? CONN_LOST : CONN_OK;
    }
    look->status = good ? backend_result_status(&look->result) : TABLE_RETRY;
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(collection);
    return verdict;
}

static enum table_status mongodb_lookup(struct table *table, struct span key,
                                        struct strbuf *value, struct err *err)
{
    struct mongodb_table *mt = self(table);
    struct mongodb_lookup look = {.mt = mt};

    look.status = backend_wanted(mt->backend, key, err);
    if (look.status != TABLE_FOUND)
        return look.status;
    bson_t *filter = mongodb_filter_expand(mt->filter, key);
    if (!filter)
        return TABLE_NOT_FOUND;
    look.filter = filter;
    look.result = backend_result_start(mt->backend, key, value);
    if (!conn_pool_run(mt->pool, ask, &look, err))
        look.status = TABLE_RETRY;
    bson_destroy(filter);
    return look.status;
}

/* -- opening -- */

/* A limit of the library that the URI does not set, or sets to "for ever". */
static void limit(mongoc_uri_t *uri, const char *option, int32_t ms)
{
    if (mongoc_uri_get_option_as_int32(uri, option, 0) <= 0)
        mongoc_uri_set_option_as_int32(uri, option, ms);
}

/* What the library says of a bad URI may quote it, and with it a password. */
static mongoc_uri_t *read_uri(struct backend_conf *conf)
{
    const char *text = backend_conf_need(conf, "uri");
    bson_error_t error = {0};

    if (!text[0])
        return NULL;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &error);
    if (!uri) {
        error.message[strcspn(error.message, "\"'")] = '\0';
        backend_conf_bad(conf, "uri", "%s", error.message);
        return NULL;
    }
    limit(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, SELECT_MS);
    limit(uri, MONGOC_URI_CONNECTTIMEOUTMS, CONNECT_MS);
    limit(uri, MONGOC_URI_SOCKETTIMEOUTMS, SOCKET_MS);
    if (!mongoc_uri_get_appname(uri))
        mongoc_uri_set_appname(uri, "gatepost");
    return uri;
}

static bool is_option(const char *name)
{
    /* Those that have no simple type. */
    static const char *const others[] = {
        MONGOC_URI_AUTHMECHANISM,
        MONGOC_URI_AUTHMECHANISMPROPERTIES,
        MONGOC_URI_AUTHSOURCE,
        MONGOC_URI_COMPRESSORS,
        MONGOC_URI_GSSAPISERVICENAME,
        MONGOC_URI_READCONCERNLEVEL,
        MONGOC_URI_READPREFERENCETAGS,
        MONGOC_URI_SLAVEOK,
        MONGOC_URI_W,
    };

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (strcasecmp(name, others[i]) == 0)
            return true;
    return mongoc_uri_option_is_int32(name) || mongoc_uri_option_is_int64(name) ||
           mongoc_uri_option_is_bool(name) || mongoc_uri_option_is_utf8(name);
}

/* The library only logs that it ignores an option, which may be a misspelt "tls=true".
 * A question mark before the last "@" belongs to a password. */
static void warn_of_options(struct backend_conf *conf, struct err *err)
{
    const char *text = backend_conf_str(conf, "uri", "");
    const char *hosts = strrchr(text, '@');
    const char *query = strchr(hosts ? hosts : text, '?');
    struct span options = span_str(query ? query + 1 : ""), option;

    while (!err->text[0] && span_token(&options, "&;", &option)) {
        struct span name = span_cut(&option, '=');
        if (!is_option(strndupa(name.ptr, name.len)))
            err_set(err, "%s: unknown option in uri: \"%.*s\" -- ignored",
                    backend_conf_source(conf), SPAN_ARG(name));
    }
}

static void add_fields(bson_t *projection, struct span fields)
{
    struct span name;

    while (span_token(&fields, ", \t\r\n", &name))
        BSON_APPEND_INT32(projection, strndupa(name.ptr, name.len), 1);
}

/* The attribute, or one made of result_attribute. The server sends "_id" unless it is
 * told not to. */
static bson_t *read_projection(struct backend_conf *conf, const char *fields)
{
    const char *text = backend_conf_str(conf, "projection", "");
    bson_t *projection = NULL;
    struct err err;

    if (text[0]) {
        projection = mongodb_json(text, &err);
        if (!projection)
            backend_conf_bad(conf, "projection", "%s", err.text);
    } else if (fields[strspn(fields, ", \t\r\n")]) {
        projection = bson_new();
        add_fields(projection, span_str(fields));
    } else {
        backend_conf_bad(conf, "result_attribute", "neither this nor projection");
    }
    if (projection && !bson_has_field(projection, "_id"))
        BSON_APPEND_INT32(projection, "_id", 0);
    return projection;
}

static void read_query(struct mongodb_table *mt, struct backend_conf *conf)
{
    const char *filter = backend_conf_need(conf, "query_filter");
    bson_t *projection = read_projection(conf, mt->fields);
    struct err err;

    if (filter[0]) {
        mt->filter = mongodb_filter_parse(filter, &err);
        if (!mt->filter)
            backend_conf_bad(conf, "query_filter", "%s", err.text);
    }
    mt->options = bson_new();
    if (projection)
        BSON_APPEND_DOCUMENT(mt->options, "projection", projection);
    bson_destroy(projection);
    /* So that the server gives up, too. */
    if (mt->uri)
        BSON_APPEND_INT64(
            mt->options, "maxTimeMS",
            mongoc_uri_get_option_as_int32(mt->uri, MONGOC_URI_SOCKETTIMEOUTMS, 0));
}

/* When it is loaded the library puts statistics for tools of its own into shared
 * memory, which would stay behind a process that is in a chroot, killed, or does not
 * end by exit(). */
__attribute__((constructor)) static void forget_shared_memory(void)
{
    char name[40];

    snprintf(name, sizeof name, "/mongoc-%ld", (long)getpid());
    shm_unlink(name);
}

static bool mongodb_open(struct table *table, struct err *err)
{
    static const struct conn_pool_ops ops = {.connect = connect_servers,
                                             .close = close_client};
    const struct conn_pool_limits limits = {
        .wait_ms = WAIT_MS, .idle_s = IDLE_S, .retry_s = RETRY_S};
    struct mongodb_table *mt = self(table);
    struct backend_conf *conf = backend_conf_open(table, err);

    if (!conf)
        return false;
    /* Both may be called again and again; what matters is in the errors of calls. */
    mongoc_log_set_handler(NULL, NULL);
    mongoc_init();
    mt->source = xstrdup(backend_conf_source(conf));
    mt->backend = backend_new(table, conf);
    mt->uri = read_uri(conf);
    mt->dbname = xstrdup(backend_conf_need(conf, "dbname"));
    mt->collection = xstrdup(backend_conf_need(conf, "collection"));
    mt->fields = xstrdup(backend_conf_str(conf, "result_attribute", ""));
    read_query(mt, conf);
    mt->pool = conn_pool_new(&ops, mt, SPAN_LIT("mongodb"), &limits);
    bool ok = backend_conf_ok(conf, err);
    if (ok)
        warn_of_options(conf, err);
    backend_conf_free(conf);
    return ok;
}

static void mongodb_close(struct table *table)
{
    struct mongodb_table *mt = self(table);

    conn_pool_free(mt->pool);
    backend_free(mt->backend);
    mongoc_uri_destroy(mt->uri);
    bson_destroy(mt->filter);
    bson_destroy(mt->options);
    free(mt->source);
    free(mt->dbname);
    free(mt->collection);
    free(mt->fields);
}

static const struct table_type mongodb_type = {
    .name = "mongodb",
    .size = sizeof(struct mongodb_table),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .thread_safe = true,
    .open = mongodb_open,
    .close = mongodb_close,
    .lookup = mongodb_lookup,
};

TABLE_PLUGIN(&mongodb_type);
