/* memcache:/path.cf: a memcached server, shared by hosts and processes, which forgets.
 * With "backup" a second table keeps everything: it is asked for what the server does
 * not have, and it alone decides whether a change succeeded.
 *
 * A key that cannot stand in the protocol (longer than 250 bytes, or with blanks or
 * control characters) is never sent; only the backup knows it. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/backend.h"
#include "table/line_client.h"
#include "util/escape.h"

#define KEY_MAX 250

struct memcache {
    struct table table;
    struct backend *backend;
    struct line_client *client;
    struct table *backup; /* NULL: none */
    pthread_mutex_t lock; /* of a backup that serves one at a time */
    char *source, *server, *key_format;
    size_t line_max, value_max;
    int64_t flags, ttl;
    int tries, pause_s;
};

static struct memcache *self(const struct table *table)
{
    return (struct memcache *)table;
}

/* -- opening -- */

static bool open_client(struct memcache *mc, int timeout_s, struct err *err)
{
    struct span endpoint = span_str(mc->server);
    struct span transport = span_cut(&endpoint, ':');
    bool is_unix = span_eq_str(transport, "unix");

    if (!is_unix && !span_eq_str(transport, "inet"))
        return err_set(err, "%s: invalid transport name: %.*s in service: %s",
                       mc->source, SPAN_ARG(transport), mc->server);
    mc->client = line_client_new(endpoint, is_unix, timeout_s, err);
    return mc->client || err_prefix(err, "%s", mc->source);
}

/* Changes are saved at once: a worker thread cannot collect them. */
static bool open_backup(struct memcache *mc, const char *name, struct err *err)
{
    unsigned asked = mc->table.flags & TABLE_ASKED & ~(unsigned)TABLE_BATCH;

    if (!name[0])
        return true;
    mc->backup = table_open(mc->table.env, name, mc->table.mode, asked, err);
    return mc->backup;
}

static void read_settings(struct memcache *mc, struct backend_conf *conf)
{
    mc->source = xstrdup(backend_conf_source(conf));
    mc->server = xstrdup(backend_conf_str(conf, "memcache", "inet:localhost:11211"));
    mc->key_format = xstrdup(backend_conf_template(conf, "key_format", "%s"));
    mc->flags = backend_conf_num(conf, "flags", 0, 0, UINT32_MAX);
    mc->ttl = backend_conf_num(conf, "ttl", 3600, 0, INT32_MAX);
    mc->line_max = (size_t)backend_conf_num(conf, "line_size_limit", 1024, 1, 1 << 20);
    mc->value_max =
        (size_t)backend_conf_num(conf, "data_size_limit", 10240, 1, 1 << 30);
    mc->tries = (int)backend_conf_num(conf, "max_try", 2, 1, 100);
    mc->pause_s = (int)backend_conf_num(conf, "retry_pause", 1, 0, 100);
    if (backend_conf_str(conf, "key_digest", "")[0])
        backend_conf_bad(conf, "key_digest", "this is not supported");
}

static bool memcache_open(struct table *table, struct err *err)
{
    struct memcache *mc = self(table);

    pthread_mutex_init(&mc->lock, NULL);
    struct backend_conf *conf = backend_conf_open(table, err);
    if (!conf)
        return false;
    read_settings(mc, conf);
    int timeout_s = (int)backend_conf_num(conf, "timeout", 2, 1, 3600);
    mc->backend = backend_new(table, conf);
    bool ok = backend_conf_ok(conf, err) && open_client(mc, timeout_s, err) &&
              open_backup(mc, backend_conf_str(conf, "backup", ""), err);
    backend_conf_free(conf);
    return ok;
}

static void memcache_close(struct table *table)
{
    struct memcache *mc = self(table);

    table_close(mc->backup);
    line_client_free(mc->client);
    backend_free(mc->backend);
    free(mc->source);
    free(mc->server);
    free(mc->key_format);
    pthread_mutex_destroy(&mc->lock);
}

/* -- the server -- */

enum answer {
    NO_ANSWER, /* err says why */
    YES,
    NO,
};

struct exchange {
    const struct memcache *mc;
    struct span key;
    bool is_get;
    enum answer answer;
    size_t value_at, value_len;
};

static ssize_t unexpected(struct span line, struct err *err)
{
    struct strbuf shown = STRBUF_INIT;

    escape_printable(&shown, span_first(line, 100), '?', true);
    err_set(err, "unexpected reply: %s", shown.ptr ? shown.ptr : "");
    strbuf_free(&shown);
    return -1;
}

/* "VALUE key flags size" and maybe a fifth word, then the bytes, then "END". */
static ssize_t value_complete(struct exchange *ex, struct span line, size_t start,
                              struct span in, struct err *err)
{
    const struct span end = SPAN_LIT("\r\nEND\r\n");
    struct span rest = line;
    uint64_t size;

    span_cut(&rest, ' ');
    struct span key = span_cut(&rest, ' ');
    span_cut(&rest, ' ');
    if (!span_eq(key, ex->key) || !span_u64(span_cut(&rest, ' '), &size))
        return unexpected(line, err);
    if (size > ex->mc->value_max) {
        err_set(err, "a value of %llu bytes (data_size_limit=%zu)",
                (unsigned long long)size, ex->mc->value_max);
        return -1;
    }
    ex->value_at = start;
    ex->value_len = (size_t)size;
    struct span tail = span_first(span_skip(in, start + (size_t)size), end.len);
    if (!span_eq(tail, span_first(end, tail.len)))
        return unexpected(tail, err);
    if (tail.len < end.len)
        return 0;
    ex->answer = YES;
    return (ssize_t)(start + (size_t)size + end.len);
}

static ssize_t reply_complete(void *arg, struct span in, struct err *err)
{
    static const struct {
        const char *word;
        bool is_get;
        enum answer answer;
    } words[] = {{"END", true, NO},         {"STORED", false, YES},
                 {"NOT_STORED", false, NO}, {"DELETED", false, YES},
                 {"NOT_FOUND", false, NO},  {"EXISTS", false, NO}};
    struct exchange *ex = arg;
    ssize_t end = span_chr(in, '\n');

    if ((end < 0 ? in.len : (size_t)end) > ex->mc->line_max) {
        err_set(err, "a reply line of more than %zu bytes", ex->mc->line_max);
        return -1;
    }
    if (end < 0)
        return 0;
    struct span line = span_rtrim(span_first(in, (size_t)end));
    if (ex->is_get && span_starts(line, SPAN_LIT("VALUE ")))
        return value_complete(ex, line, (size_t)end + 1, in, err);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (ex->is_get != words[i].is_get || !span_eq_str(line, words[i].word))
            continue;
        ex->answer = words[i].answer;
        return end + 1;
    }
    return unexpected(line, err);
}

/* Waiting makes sense only for those who have nobody else to ask. */
static enum answer ask(const struct memcache *mc, struct exchange *ex,
                       const struct strbuf *request, struct strbuf *value,
                       struct err *err)
{
    int tries = mc->backup ? 1 : mc->tries;
    struct strbuf reply = STRBUF_INIT;
    bool ok = false;

    for (int i = 0; i < tries && !ok; i++) {
        if (i > 0)
            sleep((unsigned)mc->pause_s);
        err->text[0] = '\0';
        ok = line_client_call(mc->client, strbuf_span(request), reply_complete, ex,
                              &reply, err);
    }
    if (!ok) {
        ex->answer = NO_ANSWER;
        err_prefix(err, "%s: memcache server %s", mc->source, mc->server);
    } else if (ex->value_len > 0) {
        strbuf_add(value, reply.ptr + ex->value_at, ex->value_len);
    }
    strbuf_free(&reply);
    return ex->answer;
}

static enum answer get(const struct memcache *mc, struct span key, struct strbuf *value,
                       struct err *err)
{
    struct exchange ex = {.mc = mc, .key = key, .is_get = true};
    struct strbuf request = STRBUF_INIT;

    strbuf_addf(&request, "get %.*s\r\n", SPAN_ARG(key));
    enum answer answer = ask(mc, &ex, &request, value, err);
    strbuf_free(&request);
    return answer;
}

static enum answer drop(const struct memcache *mc, struct span key, struct err *err)
{
    struct exchange ex = {.mc = mc, .key = key};
    struct strbuf request = STRBUF_INIT;

    strbuf_addf(&request, "delete %.*s\r\n", SPAN_ARG(key));
    enum answer answer = ask(mc, &ex, &request, NULL, err);
    strbuf_free(&request);
    return answer;
}

static void too_long(const struct memcache *mc, struct span key, struct err *err)
{
    struct strbuf shown = STRBUF_INIT;

    escape_printable(&shown, key, '?', true);
    err_set(err, "%s: data for key %s is too long (data_size_limit=%zu) -- not stored",
            mc->source, shown.ptr, mc->value_max);
    strbuf_free(&shown);
}

/* verb: "set", or "add" for what must not replace a newer value. */
static enum answer put(const struct memcache *mc, const char *verb, struct span key,
                       struct span value, struct err *err)
{
    struct exchange ex = {.mc = mc, .key = key};
    struct strbuf request = STRBUF_INIT;

    strbuf_addf(&request, "%s %.*s %lld %lld %zu\r\n", verb, SPAN_ARG(key),
                (long long)mc->flags, (long long)mc->ttl, value.len);
    strbuf_add_span(&request, value);
    strbuf_add_str(&request, "\r\n");
    enum answer answer = ask(mc, &ex, &request, NULL, err);
    strbuf_free(&request);
    return answer;
}

/* -- the backup -- */

static void backup_lock(struct memcache *mc)
{
    if (!mc->backup->thread_safe)
        pthread_mutex_lock(&mc->lock);
}

static void backup_unlock(struct memcache *mc)
{
    if (!mc->backup->thread_safe)
        pthread_mutex_unlock(&mc->lock);
}

/* The key is folded already, and the backup's own functions do not log. */
static enum table_status backup_change(struct memcache *mc, struct span key,
                                       const struct span *value, struct err *err)
{
    const struct table_type *type = mc->backup->type;
    enum table_status status = TABLE_BROKEN;

    err->text[0] = '\0';
    backup_lock(mc);
    if (value && type->update)
        status = type->update(mc->backup, key, *value, err);
    else if (!value && type->remove)
        status = type->remove(mc->backup, key, err);
    else
        err_set(err, "%s: the backup %s cannot do this", mc->source,
                mc->backup->full_name);
    backup_unlock(mc);
    return status;
}

static enum table_status backup_lookup(struct memcache *mc, struct span key,
                                       struct strbuf *value, struct err *err)
{
    backup_lock(mc);
    enum table_status status = table_lookup_inner(mc->backup, key, value, err);
    backup_unlock(mc);
    return status;
}

/* -- the table -- */

static bool is_sendable(struct span key)
{
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.ptr[i] <= 32 || key.ptr[i] == 127)
            return false;
    return key.len > 0 && key.len <= KEY_MAX;
}

/* FOUND: name is the server's key, or empty when only the backup can have it. */
static enum table_status name_of(const struct memcache *mc, struct span key,
                                 struct strbuf *name, struct err *err)
{
    enum table_status status =
        backend_query(mc->backend, mc->key_format, key, NULL, name, err);

    if (status == TABLE_FOUND && !is_sendable(strbuf_span(name)))
        strbuf_reset(name);
    return status;
}

/* A text in err at success is what the server's trouble is, for the log. */
static enum table_status find(struct memcache *mc, struct span key, struct span name,
                              struct strbuf *value, struct err *err)
{
    struct err trouble = {.text = ""};
    enum answer answer = NO;

    if (name.len > 0)
        answer = get(mc, name, value, &trouble);
    if (answer == YES)
        return TABLE_FOUND;
    if (!mc->backup) {
        *err = trouble;
        return answer == NO ? TABLE_NOT_FOUND : TABLE_RETRY;
    }
    enum table_status status = backup_lookup(mc, key, value, err);
    if (status == TABLE_FOUND && name.len > 0 && answer == NO) {
        if (value->len > mc->value_max)
            too_long(mc, name, &trouble);
        else
            put(mc, "add", name, strbuf_span(value), &trouble);
    }
    if ((status == TABLE_FOUND || status == TABLE_NOT_FOUND) && trouble.text[0])
        *err = trouble;
    return status;
}

static enum table_status memcache_lookup(struct table *table, struct span key,
                                         struct strbuf *value, struct err *err)
{
    struct strbuf name = STRBUF_INIT;
    enum table_status status = name_of(self(table), key, &name, err);

    if (status == TABLE_FOUND)
        status = find(self(table), key, strbuf_span(&name), value, err);
    strbuf_free(&name);
    return status;
}

/* What cannot be stored must not leave an older value behind. */
static enum answer store(const struct memcache *mc, struct span name, struct span value,
                         struct err *err)
{
    struct err dropped = {.text = ""};

    if (value.len <= mc->value_max) {
        enum answer answer = put(mc, "set", name, value, err);
        if (answer == NO)
            err_set(err, "%s: update failed: NOT_STORED", mc->source);
        return answer == YES ? YES : NO_ANSWER;
    }
    drop(mc, name, &dropped);
    too_long(mc, name, err);
    return NO;
}

static enum table_status update(struct memcache *mc, struct span key, struct span name,
                                struct span value, struct err *err)
{
    struct err trouble = {.text = ""};
    enum table_status status = TABLE_FOUND;
    enum answer answer = YES;

    if (mc->backup)
        status = backup_change(mc, key, &value, err);
    if (status != TABLE_FOUND)
        return status;
    if (name.len > 0)
        answer = store(mc, name, value, &trouble);
    if (trouble.text[0])
        *err = trouble;
    if (mc->backup || (name.len > 0 && answer == YES))
        return TABLE_FOUND;
    if (name.len == 0)
        err_set(err, "%s: a key that memcached cannot hold -- not stored", mc->source);
    return name.len == 0 || answer == NO ? TABLE_BROKEN : TABLE_RETRY;
}

static enum table_status memcache_update(struct table *table, struct span key,
                                         struct span value, struct err *err)
{
    struct strbuf name = STRBUF_INIT;
    enum table_status status = name_of(self(table), key, &name, err);

    if (status == TABLE_FOUND)
        status = update(self(table), key, strbuf_span(&name), value, err);
    strbuf_free(&name);
    return status;
}

/* The server first: what is gone from the backup alone would still be found. */
static enum table_status memcache_remove(struct table *table, struct span key,
                                         struct err *err)
{
    struct memcache *mc = self(table);
    struct strbuf name = STRBUF_INIT;
    enum answer answer = NO;
    enum table_status status = name_of(mc, key, &name, err);

    if (status == TABLE_FOUND && name.len > 0)
        answer = drop(mc, strbuf_span(&name), err);
    strbuf_free(&name);
    if (status != TABLE_FOUND || answer == NO_ANSWER)
        return status == TABLE_FOUND ? TABLE_RETRY : status;
    if (!mc->backup)
        return answer == YES ? TABLE_FOUND : TABLE_NOT_FOUND;
    return backup_change(mc, key, NULL, err);
}

static enum table_status memcache_next(struct table *table, bool first,
                                       struct strbuf *key, struct strbuf *value,
                                       struct err *err)
{
    struct memcache *mc = self(table);

    if (!mc->backup || !mc->backup->type->next) {
        err_set(err, "database %s: first/next support requires backup database",
                table->full_name);
        return TABLE_BROKEN;
    }
    backup_lock(mc);
    enum table_status status =
        mc->backup->type->next(mc->backup, first, key, value, err);
    backup_unlock(mc);
    return status;
}

static bool memcache_changed(const struct table *table)
{
    return self(table)->backup && table_changed(self(table)->backup);
}

extern const struct table_type table_type_memcache;
const struct table_type table_type_memcache = {
    .name = "memcache",
    .size = sizeof(struct memcache),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .updatable = true,
    .thread_safe = true,
    .open = memcache_open,
    .close = memcache_close,
    .lookup = memcache_lookup,
    .update = memcache_update,
    .remove = memcache_remove,
    .next = memcache_next,
    .changed = memcache_changed,
};
