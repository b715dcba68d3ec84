/* sqlite:/path.cf asks an SQLite data base: "query" (or the older table, select_field,
 * where_field and additional_conditions), the first column of each row. The data base
 * is opened for reading at once, because a chrooted service could not do so later, and
 * one look-up runs at a time. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/plugin.h"
#include "table/plugins/sql_common.h"

#define BUSY_MS      5000
#define STEPS_A_CALL 10000
#define SECONDS_MAX  30

struct sqlite_table {
    struct table table;
    struct backend *backend;
    char *query;
    char *path;
    sqlite3 *db;
    int fd; /* to see that the file was replaced; closed last: see sqlite_close */
    int64_t deadline;
};

static struct sqlite_table *self(const struct table *table)
{
    return (struct sqlite_table *)table;
}

/* A query that reads everything again and again must end some day. */
static int check_time(void *arg)
{
    return sql_now_s() > ((struct sqlite_table *)arg)->deadline;
}

static bool open_db(struct sqlite_table *st, struct err *err)
{
    st->fd = open(st->path, O_RDONLY | O_CLOEXEC);
    int rc = sqlite3_open_v2(st->path, &st->db,
                             SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX, NULL);
    if (rc != SQLITE_OK)
        return err_set(err, "open database %s: %s", st->path,
                       st->db ? sqlite3_errmsg(st->db) : sqlite3_errstr(rc));
    sqlite3_busy_timeout(st->db, BUSY_MS);
    sqlite3_db_config(st->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_progress_handler(st->db, STEPS_A_CALL, check_time, st);
    if (st->fd >= 0)
        table_host()->watch(&st->table, st->fd);
    return true;
}

static bool sqlite_open(struct table *table, struct err *err)
{
    struct sqlite_table *st = self(table);
    struct backend_conf *conf;

    st->fd = -1;
    conf = backend_conf_open(table, err);
    if (!conf)
        return false;
    st->path = xstrdup(backend_conf_need(conf, "dbpath"));
    st->backend = backend_new(table, conf);
    st->query = sql_query_template(conf);
    bool ok = backend_conf_ok(conf, err);
    if (ok && strchr(st->query, '"') && !err->text[0])
        err_set(err,
                "%s: query with \"double\" quotes, which quote names and not what is "
                "looked for: use 'single' quotes",
                backend_conf_source(conf));
    backend_conf_free(conf);
    return ok && open_db(st, err);
}

/* Closing any descriptor of the file would end the locks that SQLite holds on it. */
static void sqlite_close(struct table *table)
{
    struct sqlite_table *st = self(table);

    sqlite3_close_v2(st->db);
    if (st->fd >= 0)
        close(st->fd);
    backend_free(st->backend);
    free(st->query);
    free(st->path);
}

/* Changed in place is what a data base does; only a new file matters. */
static bool sqlite_changed(const struct table *table)
{
    struct stat st;

    return self(table)->fd >= 0 && fstat(self(table)->fd, &st) == 0 && st.st_nlink == 0;
}

static enum table_status sqlite_error(const struct sqlite_table *st, const char *what,
                                      struct err *err)
{
    err_set(err, "%s: SQL %s failed: %s", st->path, what, sqlite3_errmsg(st->db));
    return TABLE_RETRY;
}

static enum table_status collect(struct sqlite_table *st, sqlite3_stmt *statement,
                                 struct backend_result *result, struct err *err)
{
    int rc;

    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const void *text = sqlite3_column_text(statement, 0);
        int len = sqlite3_column_bytes(statement, 0);
        if (text && !backend_result_add(result, span_of(text, (size_t)len), err))
            return TABLE_RETRY;
    }
    if (rc != SQLITE_DONE)
        return sqlite_error(st, "step", err);
    return backend_result_status(result);
}

static enum table_status sqlite_lookup(struct table *table, struct span key,
                                       struct strbuf *value, struct err *err)
{
    struct sqlite_table *st = self(table);
    const struct backend_quote quote = {.add = sql_quote_standard};
    struct backend_result result = backend_result_start(st->backend, key, value);
    struct strbuf query = STRBUF_INIT;
    sqlite3_stmt *statement = NULL;

    enum table_status status =
        backend_query(st->backend, st->query, key, &quote, &query, err);
    if (status == TABLE_FOUND) {
        st->deadline = sql_now_s() + SECONDS_MAX;
        if (sqlite3_prepare_v2(st->db, query.ptr, (int)query.len + 1, &statement,
                               NULL) != SQLITE_OK)
            status = sqlite_error(st, "prepare", err);
        else
            status = collect(st, statement, &result, err);
        sqlite3_finalize(statement);
    }
    strbuf_free(&query);
    return status;
}

static const struct table_type sqlite_type = {
    .name = "sqlite",
    .size = sizeof(struct sqlite_table),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .open = sqlite_open,
    .close = sqlite_close,
    .lookup = sqlite_lookup,
    .changed = sqlite_changed,
};

TABLE_PLUGIN(&sqlite_type);
