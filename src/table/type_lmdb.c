/* lmdb:/path is the LMDB file /path.lmdb. hash: and btree: are served by the same
 * file; when there is none, or the source text is newer, a service is asked to build it
 * (struct table_env, reindex), and while there is none they answer from the source. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/lmdb_batch.h"
#include "table/lmdb_file.h"
#include "table/memory.h"
#include "util/file.h"
#include "util/msg.h"

#define MAP_SIZE_DEFAULT (16 * 1024 * 1024)
#define MAP_SIZE_MIN     (64 * 1024)
/* Address space, not memory: a build rarely has to stop and grow. */
#define MAP_SIZE_BUILD ((size_t)1 << (sizeof(size_t) > 4 ? 30 : 27))
#define TEXT_MAX       (256u * 1024 * 1024)

struct lmdb_table {
    struct table table;
    struct lmdb_file file;
    struct lmdb_batch *batch; /* TABLE_BATCH */
    char *path;               /* of the index */
    bool is_text;             /* the fallback is in use */
    int64_t checked_ms;       /* text: when the index was looked for */
    struct timespec mtime;    /* text: of the source */
    struct memory mem;
};

static struct lmdb_table *self(const struct table *table)
{
    return (struct lmdb_table *)table;
}

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec > b->tv_sec + 1;
}

static bool index_is_stale(const struct lmdb_table *lt)
{
    struct stat source, index;

    return stat(lt->table.name, &source) == 0 && stat(lt->path, &index) == 0 &&
           is_newer(&source.st_mtim, &index.st_mtim);
}

/* -- the source text in place of an index -- */

static bool text_load(struct lmdb_table *lt)
{
    struct strbuf text = STRBUF_INIT;
    struct err err;
    struct stat st;

    if (stat(lt->table.name, &st) < 0 ||
        !file_read_all(lt->table.name, TEXT_MAX, &text, &err)) {
        strbuf_free(&text);
        return false;
    }
    memory_free(&lt->mem);
    memory_init(&lt->mem);
    memory_load(&lt->mem, lt->table.name, strbuf_span(&text),
                !(lt->table.flags & TABLE_NO_FOLD));
    strbuf_free(&text);
    lt->mtime = st.st_mtim;
    lt->is_text = true;
    return true;
}

static bool text_open(struct lmdb_table *lt)
{
    if (!text_load(lt))
        return false;
    msg_warn("%s: there is no index %s: using the source text %s as it is now; run "
             "\"postmap %s\" (aliases: \"postalias %s\") to build the index",
             lt->table.full_name, lt->path, lt->table.name, lt->table.full_name,
             lt->table.full_name);
    return true;
}

static bool index_open(struct lmdb_table *lt, struct err *err);

/* The index may have appeared, or the text changed: once in a while look. */
static void text_poll(struct lmdb_table *lt)
{
    int64_t now = loop_now_exact();
    struct stat st;
    struct err err;

    if (now - lt->checked_ms < 10)
        return;
    lt->checked_ms = now;
    if (access(lt->path, F_OK) == 0 && index_open(lt, &err)) {
        memory_free(&lt->mem);
        lt->is_text = false;
    } else if (stat(lt->table.name, &st) == 0 &&
               (st.st_mtim.tv_sec != lt->mtime.tv_sec ||
                st.st_mtim.tv_nsec != lt->mtime.tv_nsec)) {
        text_load(lt);
    }
}

/* -- opening -- */

static size_t map_size(const struct table *table)
{
    int64_t size = table_param_num(table, "lmdb_map_size", MAP_SIZE_DEFAULT);

    if (table->mode == TABLE_CREATE && size < (int64_t)MAP_SIZE_BUILD)
        return MAP_SIZE_BUILD;
    return size < MAP_SIZE_MIN ? MAP_SIZE_MIN : (size_t)size;
}

static bool index_open(struct lmdb_table *lt, struct err *err)
{
    const struct table *table = &lt->table;

    lmdb_file_close(&lt->file);
    if (lmdb_file_open(&lt->file, lt->path, table->mode, table->flags, map_size(table),
                       err))
        return true;
    lmdb_file_close(&lt->file);
    return false;
}

static bool lmdb_open(struct table *table, struct err *err)
{
    struct lmdb_table *lt = self(table);
    struct strbuf path = STRBUF_INIT;

    strbuf_addf(&path, "%s.lmdb", table->name);
    lt->path = strbuf_detach(&path);
    if (!index_open(lt, err))
        return false;
    if (table->mode == TABLE_READ && index_is_stale(lt))
        msg_warn("database %s is older than source file %s", lt->path, table->name);
    if (table->mode != TABLE_WRITE || !(table->flags & TABLE_BATCH))
        return true;
    lt->batch = lmdb_batch_open(lt->path, table->flags, map_size(table), err);
    return lt->batch != NULL;
}

/* Why the service that builds indexes has work. */
static bool index_is_missing(const char *path)
{
    return access(path, F_OK) < 0 && errno == ENOENT;
}

static void ask_for_index(const struct table *table, const char *path, bool stale)
{
    const struct table_env *env = table->env;
    struct err err;

    if (!env || !env->reindex)
        return;
    err.text[0] = '\0';
    if (!env->reindex(env->arg, table->type->name, table->name, &err) && err.text[0])
        msg_warn("%s: cannot have the %s index %s built: %s", table->full_name,
                 stale ? "old" : "missing", path, err.text);
}

static bool hash_open(struct table *table, struct err *err)
{
    struct lmdb_table *lt = self(table);
    struct strbuf path = STRBUF_INIT;

    if (table->mode != TABLE_READ)
        return lmdb_open(table, err);
    strbuf_addf(&path, "%s.lmdb", table->name);
    lt->path = strbuf_detach(&path);
    bool missing = index_is_missing(lt->path), stale = !missing && index_is_stale(lt);
    if (stale || (missing && access(table->name, F_OK) == 0))
        ask_for_index(table, lt->path, stale);
    if (index_is_missing(lt->path) && text_open(lt))
        return true;
    free(lt->path);
    lt->path = NULL;
    return lmdb_open(table, err);
}

static void lmdb_close(struct table *table)
{
    struct lmdb_table *lt = self(table);

    if (lt->is_text)
        memory_free(&lt->mem);
    lmdb_batch_close(lt->batch);
    lmdb_file_close(&lt->file);
    free(lt->path);
}

/* -- use -- */

static enum table_status lmdb_lookup(struct table *table, struct span key,
                                     struct strbuf *value, struct err *err)
{
    struct lmdb_table *lt = self(table);
    struct span changed;

    if (lt->is_text)
        text_poll(lt);
    if (lt->is_text) {
        const char *text = memory_get(&lt->mem, key);
        if (text)
            strbuf_add_str(value, text);
        return text ? TABLE_FOUND : TABLE_NOT_FOUND;
    }
    if (!lt->batch || !lmdb_batch_find(lt->batch, key, &changed))
        return lmdb_file_get(&lt->file, key, value, err);
    strbuf_add_span(value, changed);
    return changed.ptr ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static enum table_status look(struct table *table, struct span key, struct err *err)
{
    struct strbuf value = STRBUF_INIT;
    enum table_status status = lmdb_lookup(table, key, &value, err);

    strbuf_free(&value);
    return status;
}

static enum table_status batch_update(struct table *table, struct span key,
                                      struct span value, struct err *err)
{
    if (table->flags & (TABLE_IGNORE_DUP | TABLE_WARN_DUP)) {
        enum table_status status = look(table, key, err);
        if (status != TABLE_NOT_FOUND)
            return status == TABLE_FOUND ? TABLE_NOT_FOUND : status;
    }
    return lmdb_batch_add(self(table)->batch, key, value.ptr ? value : span_str(""),
                          err);
}

/* A transaction of table_lock writes by itself; the batch was saved before. */
static bool is_batched(const struct lmdb_table *lt)
{
    return lt->batch && !lt->file.txn;
}

static enum table_status lmdb_update(struct table *table, struct span key,
                                     struct span value, struct err *err)
{
    struct lmdb_table *lt = self(table);
    enum table_status status = is_batched(lt)
                                   ? batch_update(table, key, value, err)
                                   : lmdb_file_put(&lt->file, key, value, err);

    if (status == TABLE_NOT_FOUND && (table->flags & TABLE_WARN_DUP))
        msg_warn("%s: duplicate entry: \"%.*s\"", table->full_name, SPAN_ARG(key));
    return status;
}

static enum table_status lmdb_remove(struct table *table, struct span key,
                                     struct err *err)
{
    struct lmdb_table *lt = self(table);

    if (!is_batched(lt))
        return lmdb_file_remove(&lt->file, key, err);
    enum table_status status = look(table, key, err);
    return status == TABLE_FOUND ? lmdb_batch_add(lt->batch, key, SPAN_EMPTY, err)
                                 : status;
}

static bool lmdb_flush(struct table *table, struct err *err)
{
    struct lmdb_table *lt = self(table);

    return !is_batched(lt) || lmdb_batch_flush(lt->batch, err);
}

static enum table_status lmdb_next(struct table *table, bool first, struct strbuf *key,
                                   struct strbuf *value, struct err *err)
{
    struct lmdb_table *lt = self(table);

    if (lt->is_text)
        return memory_next(&lt->mem, first, key, value);
    if (first && !lmdb_flush(table, err))
        return TABLE_RETRY;
    return lmdb_file_next(&lt->file, first, key, value, err);
}

static int lmdb_build_fd(const struct table *table)
{
    return self(table)->file.fd;
}

static bool lmdb_commit(struct table *table, struct err *err)
{
    return table->mode != TABLE_CREATE || lmdb_file_commit(&self(table)->file, err);
}

static bool lmdb_lock(struct table *table, struct err *err)
{
    return lmdb_flush(table, err) &&
           lmdb_file_lock(&self(table)->file, err) == TABLE_FOUND;
}

static bool lmdb_unlock(struct table *table, struct err *err)
{
    return lmdb_file_unlock(&self(table)->file, err) == TABLE_FOUND;
}

/* A replaced file is opened again by the next look-up, unless it is out of reach. */
static bool lmdb_changed(const struct table *table)
{
    struct lmdb_table *lt = self(table);

    return !lt->is_text && lmdb_file_is_detached(&lt->file);
}

#define LMDB_TYPE(type_name, opener)                                                   \
    {                                                                                  \
        .name = type_name, .size = sizeof(struct lmdb_table), .flags = TABLE_FIXED,    \
        .buildable = true, .updatable = true, .open = opener, .close = lmdb_close,     \
        .lookup = lmdb_lookup, .update = lmdb_update, .remove = lmdb_remove,           \
        .next = lmdb_next, .build_fd = lmdb_build_fd, .commit = lmdb_commit,           \
        .lock = lmdb_lock, .unlock = lmdb_unlock, .flush = lmdb_flush,                 \
        .changed = lmdb_changed,                                                       \
    }

extern const struct table_type table_type_lmdb, table_type_hash, table_type_btree;
const struct table_type table_type_lmdb = LMDB_TYPE("lmdb", lmdb_open);
const struct table_type table_type_hash = LMDB_TYPE("hash", hash_open);
const struct table_type table_type_btree = LMDB_TYPE("btree", hash_open);
