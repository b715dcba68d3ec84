/* redis: tables. See redis_table(5). Reading order: redis_query.h (what is asked),
 * redis_servers.h (whom), redis_conn.h, redis_proto.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/plugins/redis_query.h"
#include "table/plugins/redis_servers.h"
#include "table/plugin.h"
#include "util/file.h"

#define MAX_PASSWORD 1024
#define SCAN_COUNT   "200" /* keys looked at by one SCAN; a hint for the server */

struct redis_table {
    struct table table;
    struct backend *backend;
    struct redis_query query;
    struct redis_settings settings;
    struct redis_servers *servers;
    int64_t ttl_s; /* of stored values; 0: for ever */
    /* Walking through all keys: */
    redisReply *page; /* reply of SCAN */
    size_t page_pos;
    bool started;
};

/* -- opening -- */

static char *copy_or_null(const char *text)
{
    return text && *text ? xstrdup(text) : NULL;
}

/* NULL with err; otherwise err may hold a warning. */
static char *read_password(const char *path, struct err *err)
{
    char buf[MAX_PASSWORD + 1];
    struct stat st;
    int fd = file_open_safe(path, O_RDONLY, 0, (uid_t)-1, (gid_t)-1, &st, err);

    if (fd < 0)
        return NULL;
    ssize_t got = read(fd, buf, sizeof(buf));
    int problem = errno;
    close(fd);
    err->text[0] = '\0';
    if (st.st_mode & S_IROTH)
        err_set(err, "%s holds a password and can be read by every user", path);
    char *password = NULL;
    if (got < 0) {
        err_set(err, "read %s: %s", path, strerror(problem));
    } else if (got > MAX_PASSWORD) {
        err_set(err, "%s: more than %d bytes", path, MAX_PASSWORD);
    } else {
        struct span rest = span_of(buf, (size_t)got);
        struct span line = span_trim(span_cut(&rest, '\n'));
        if (line.len == 0)
            err_set(err, "%s: no password in the first line", path);
        else
            password = xstrndup(line.ptr, line.len);
    }
    explicit_bzero(buf, sizeof(buf));
    return password;
}

static void configure_login(struct redis_table *rt, struct backend_conf *conf,
                            struct err *warning)
{
    struct redis_settings *set = &rt->settings;
    const char *file = backend_conf_str(conf, "password_file", "");

    set->user = copy_or_null(backend_conf_str(conf, "user", NULL));
    set->password = copy_or_null(backend_conf_str(conf, "password", NULL));
    if (*file && set->password)
        backend_conf_bad(conf, "password_file", "there is a password already");
    else if (*file && !(set->password = read_password(file, warning)))
        backend_conf_bad(conf, "password_file", "%s", warning->text);
    if (set->user && !set->password)
        backend_conf_bad(conf, "user", "there is no password");
    set->db = (unsigned)backend_conf_num(conf, "db", 0, 0, 100000);
}

static void configure_tls(struct redis_table *rt, struct backend_conf *conf)
{
    struct redis_tls_attrs attrs = {
        .ca_file = backend_conf_str(conf, "tls_ca_cert_file", NULL),
        .ca_dir = backend_conf_str(conf, "tls_ca_cert_dir", NULL),
        .cert = backend_conf_str(conf, "tls_cert", NULL),
        .key = backend_conf_str(conf, "tls_key", NULL),
        .require_cert = backend_conf_bool(conf, "tls_require_cert", true),
    };
    struct err err;

    rt->settings.tls_server_name =
        copy_or_null(backend_conf_str(conf, "tls_server_name", NULL));
    if (!backend_conf_bool(conf, "tls", false))
        return;
    rt->settings.tls = redis_tls_new(&attrs, &err);
    if (!rt->settings.tls)
        backend_conf_bad(conf, "tls", "%s", err.text);
}

static void check_hosts(struct backend_conf *conf, const char *hosts)
{
    struct span rest = span_str(hosts), item;
    char host[REDIS_MAX_HOST + 1], port[6];

    while (span_token(&rest, ", \t\r\n", &item)) {
        char *text = xstrndup(item.ptr, item.len);
        if (strncmp(text, "unix:", 5) != 0 && !redis_host_split(text, host, port))
            backend_conf_bad(conf, "hosts",
                             "\"%s\" is not host, host:port, "
                             "[address]:port or unix:path",
                             text);
        free(text);
    }
}

static void configure_servers(struct redis_table *rt, struct backend_conf *conf)
{
    const char *hosts = backend_conf_str(conf, "hosts", "localhost");
    int64_t timeout = backend_conf_time(conf, "timeout", 5, 1, 3600);
    int64_t idle = backend_conf_time(conf, "idle_interval", 60, 0, 86400);
    int64_t retry = backend_conf_time(conf, "retry_interval", 60, 0, 86400);

    check_hosts(conf, hosts);
    rt->settings.timeout_ms = (unsigned)timeout * 1000;
    rt->servers =
        redis_servers_new(&rt->settings, hosts, (unsigned)idle, (unsigned)retry);
}

static void configure_query(struct redis_table *rt, struct backend_conf *conf)
{
    const char *query = backend_conf_str(conf, "query", "GET %s");
    struct err err;

    if (!redis_query_parse(&rt->query, query, backend_conf_str(conf, "key_prefix", ""),
                           &err))
        backend_conf_bad(conf, "query", "%s", err.text);
    rt->ttl_s = backend_conf_time(conf, "ttl", 0, 0, INT32_MAX);
}

static bool redis_open(struct table *table, struct err *err)
{
    struct redis_table *rt = (struct redis_table *)table;
    struct backend_conf *conf = backend_conf_open(table, err);
    struct err warning = {0};

    if (!conf)
        return false;
    configure_login(rt, conf, &warning);
    configure_tls(rt, conf);
    configure_servers(rt, conf);
    configure_query(rt, conf);
    rt->backend = backend_new(table, conf);
    bool good = backend_conf_ok(conf, err);
    backend_conf_free(conf);
    if (good && !err->text[0])
        *err = warning;
    return good;
}

static void redis_close(struct table *table)
{
    struct redis_table *rt = (struct redis_table *)table;

    if (rt->page)
        freeReplyObject(rt->page);
    redis_servers_free(rt->servers);
    SSL_CTX_free(rt->settings.tls);
    if (rt->settings.password)
        explicit_bzero(rt->settings.password, strlen(rt->settings.password));
    free(rt->settings.password);
    free(rt->settings.user);
    free(rt->settings.tls_server_name);
    redis_query_free(&rt->query);
    backend_free(rt->backend);
}

/* -- looking up -- */

struct collect {
    struct backend_result result;
    struct err err; /* apart: one about a value hides a warning about servers */
    bool too_many;
};

static bool collect_value(void *arg, struct span value)
{
    struct collect *collect = arg;

    collect->too_many = !backend_result_add(&collect->result, value, &collect->err);
    return !collect->too_many;
}

static enum table_status read_values(struct redis_table *rt, struct span key,
                                     const redisReply *reply, struct strbuf *value,
                                     struct err *err)
{
    struct collect collect = {.result = backend_result_start(rt->backend, key, value)};

    if (redis_query_is_test(&rt->query) && reply->type == REDIS_REPLY_INTEGER &&
        reply->integer == 0)
        return TABLE_NOT_FOUND;
    bool good = redis_reply_each(reply, collect_value, &collect);
    if (!good && !collect.too_many)
        err_set(&collect.err, "%s: unexpected kind of reply", rt->table.full_name);
    if (collect.err.text[0])
        *err = collect.err;
    return good ? backend_result_status(&collect.result) : TABLE_RETRY;
}

static enum table_status redis_lookup(struct table *table, struct span key,
                                      struct strbuf *value, struct err *err)
{
    struct redis_table *rt = (struct redis_table *)table;
    enum table_status status = backend_wanted(rt->backend, key, err);
    struct redis_args args;
    redisReply *reply;

    if (status != TABLE_FOUND)
        return status;
    if (!redis_query_expand(&rt->query, key, &args)) {
        redis_args_free(&args);
        return TABLE_NOT_FOUND;
    }
    struct redis_request request = {
        .args = args.arg, .count = args.count, .key = args.arg[1]};
    status = redis_servers_ask(rt->servers, &request, &reply, err);
    if (status == TABLE_FOUND) {
        status = read_values(rt, key, reply, value, err);
        freeReplyObject(reply);
    }
    redis_args_free(&args);
    return status;
}

/* -- changing -- */

/* One command that changes the value of a key. FOUND: *reply_out is to be freed. */
static enum table_status change(struct redis_table *rt, const char *command,
                                struct span key, const struct span *value,
                                redisReply **reply_out, struct err *err)
{
    struct redis_args args;
    char ttl[24];

    if (!redis_query_is_get(&rt->query)) {
        err_set(err, "%s: only tables with a GET query can be changed",
                rt->table.full_name);
        return TABLE_BROKEN;
    }
    enum table_status status = backend_wanted(rt->backend, key, err);
    if (status != TABLE_FOUND)
        return status;
    if (!redis_query_expand(&rt->query, key, &args)) {
        redis_args_free(&args);
        return TABLE_NOT_FOUND;
    }
    struct span words[5] = {span_str(command), args.arg[1]};
    size_t count = 2;
    if (value)
        words[count++] = *value;
    if (value && rt->ttl_s > 0) {
        snprintf(ttl, sizeof(ttl), "%lld", (long long)rt->ttl_s);
        words[count++] = SPAN_LIT("EX");
        words[count++] = span_str(ttl);
    }
    struct redis_request request = {
        .args = words, .count = count, .key = words[1], .change = true};
    status = redis_servers_ask(rt->servers, &request, reply_out, err);
    redis_args_free(&args);
    return status;
}

static enum table_status redis_update(struct table *table, struct span key,
                                      struct span value, struct err *err)
{
    struct redis_table *rt = (struct redis_table *)table;
    redisReply *reply;
    enum table_status status = change(rt, "SET", key, &value, &reply, err);

    if (status == TABLE_FOUND)
        freeReplyObject(reply);
    if (status == TABLE_NOT_FOUND) {
        err_set(err, "%s: the query and domain settings exclude this key",
                table->full_name);
        return TABLE_BROKEN;
    }
    return status;
}

static enum table_status redis_remove(struct table *table, struct span key,
                                      struct err *err)
{
    struct redis_table *rt = (struct redis_table *)table;
    redisReply *reply;
    enum table_status status = change(rt, "DEL", key, NULL, &reply, err);

    if (status != TABLE_FOUND)
        return status;
    bool gone = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
    freeReplyObject(reply);
    return gone ? TABLE_FOUND : TABLE_NOT_FOUND;
}

/* -- walking -- */

static bool page_is_good(const redisReply *page)
{
    return page->type == REDIS_REPLY_ARRAY && page->elements == 2 &&
           page->element[0]->type == REDIS_REPLY_STRING &&
           page->element[1]->type == REDIS_REPLY_ARRAY;
}

/* FOUND: rt->page is the next page of keys. */
static enum table_status scan(struct redis_table *rt, struct err *err)
{
    struct strbuf pattern = STRBUF_INIT, cursor = STRBUF_INIT;

    strbuf_add_str(&cursor, rt->page ? rt->page->element[0]->str : "0");
    redis_scan_pattern(rt->query.prefix, &pattern);
    struct span words[] = {SPAN_LIT("SCAN"),  strbuf_span(&cursor),
                           SPAN_LIT("MATCH"), strbuf_span(&pattern),
                           SPAN_LIT("COUNT"), SPAN_LIT(SCAN_COUNT)};
    struct redis_request request = {.args = words, .count = ARRAY_LEN(words)};
    if (rt->page)
        freeReplyObject(rt->page);
    rt->page = NULL;
    rt->page_pos = 0;
    enum table_status status = redis_servers_ask(rt->servers, &request, &rt->page, err);
    strbuf_free(&pattern);
    strbuf_free(&cursor);
    if (status == TABLE_FOUND && !page_is_good(rt->page)) {
        freeReplyObject(rt->page);
        rt->page = NULL;
        err_set(err, "%s: unexpected kind of reply to SCAN", rt->table.full_name);
        return TABLE_RETRY;
    }
    return status;
}

/* The value as it is stored. NOT_FOUND: gone meanwhile, or of another kind. */
static enum table_status fetch(struct redis_table *rt, struct span stored_key,
                               struct strbuf *value, struct err *err)
{
    struct span words[] = {SPAN_LIT("GET"), stored_key};
    struct redis_request request = {.args = words, .count = 2, .key = stored_key};
    redisReply *reply;
    enum table_status status = redis_servers_ask(rt->servers, &request, &reply, err);

    if (status == TABLE_BROKEN)
        return TABLE_NOT_FOUND;
    if (status != TABLE_FOUND)
        return status;
    bool there = reply->type == REDIS_REPLY_STRING;
    if (there)
        strbuf_add(value, reply->str, (size_t)reply->len);
    freeReplyObject(reply);
    return there ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static enum table_status next_in_page(struct redis_table *rt, struct strbuf *key,
                                      struct strbuf *value, struct err *err)
{
    const redisReply *keys = rt->page->element[1];

    while (rt->page_pos < keys->elements) {
        const redisReply *item = keys->element[rt->page_pos++];
        struct span stored = span_of(item->str, (size_t)item->len);
        if (item->type != REDIS_REPLY_STRING ||
            !span_starts(stored, span_str(rt->query.prefix)))
            continue;
        enum table_status status = fetch(rt, stored, value, err);
        if (status == TABLE_FOUND)
            strbuf_add_span(key, span_skip(stored, strlen(rt->query.prefix)));
        if (status != TABLE_NOT_FOUND)
            return status;
    }
    return TABLE_NOT_FOUND;
}

/* A node of a cluster knows some of the keys only. A server that does not tell is taken
 * for one that is alone. */
static enum table_status check_alone(struct redis_table *rt, struct err *err)
{
    struct span words[] = {SPAN_LIT("INFO"), SPAN_LIT("cluster")};
    struct redis_request request = {.args = words, .count = ARRAY_LEN(words)};
    redisReply *reply;
    enum table_status status = redis_servers_ask(rt->servers, &request, &reply, err);
    bool alone = !redis_servers_clustered(rt->servers);

    if (status == TABLE_FOUND) {
        alone = alone && !(reply->type == REDIS_REPLY_STRING &&
                           strstr(reply->str, "cluster_enabled:1"));
        freeReplyObject(reply);
    }
    if (alone)
        return TABLE_FOUND;
    err_set(err, "%s: a cluster cannot be walked through", rt->table.full_name);
    return TABLE_BROKEN;
}

static bool last_page(const struct redis_table *rt)
{
    return span_eq_str(span_str(rt->page->element[0]->str), "0");
}

static enum table_status redis_next(struct table *table, bool first, struct strbuf *key,
                                    struct strbuf *value, struct err *err)
{
    struct redis_table *rt = (struct redis_table *)table;
    enum table_status status = TABLE_NOT_FOUND;

    if (!redis_query_is_plain(&rt->query)) {
        err_set(err, "%s: only tables with the query \"GET %%s\" can be walked through",
                table->full_name);
        return TABLE_BROKEN;
    }
    if (first && check_alone(rt, err) != TABLE_FOUND)
        return TABLE_BROKEN;
    if (first && rt->page)
        freeReplyObject(rt->page);
    if (first)
        rt->page = NULL;
    rt->started = rt->started && !first;
    while (status == TABLE_NOT_FOUND) {
        if (rt->page)
            status = next_in_page(rt, key, value, err);
        if (status != TABLE_NOT_FOUND)
            return status;
        if (rt->started && (!rt->page || last_page(rt)))
            return TABLE_NOT_FOUND;
        rt->started = true;
        enum table_status page = scan(rt, err);
        if (page != TABLE_FOUND)
            return page;
    }
    return status;
}

static const struct table_type redis_type = {
    .name = "redis",
    .size = sizeof(struct redis_table),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .updatable = true,
    .thread_safe = true,
    .open = redis_open,
    .close = redis_close,
    .lookup = redis_lookup,
    .update = redis_update,
    .remove = redis_remove,
    .next = redis_next,
};

TABLE_PLUGIN(&redis_type);
