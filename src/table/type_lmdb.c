/* lmdb:/path is the LMDB file /path.lmdb. hash: and btree: are served by the same
 * file; so that an old configuration works before its indexes are rebuilt, they fall
 * back to the source text while there is no index. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/lmdb_file.h"
#include "table/memory.h"
#include "util/file.h"
#include "util/msg.h"

#define MAP_SIZE_DEFAULT (16 * 1024 * 1024)
#define TEXT_MAX         (256u * 1024 * 1024)

struct lmdb_table {
    struct table table;
    struct lmdb_file file;
    bool is_text; /* the fallback is in use */
    struct memory mem;
};

static struct lmdb_table *self(const struct table *table)
{
    return (struct lmdb_table *)table;
}

static char *index_path(const struct table *table)
{
    struct strbuf path = STRBUF_INIT;

    strbuf_addf(&path, "%s.lmdb", table->name);
    return strbuf_detach(&path);
}

static void warn_if_stale(const struct table *table, const char *path, int fd)
{
    struct stat source, index;

    if (stat(table->name, &source) == 0 && fstat(fd, &index) == 0 &&
        (source.st_mtim.tv_sec > index.st_mtim.tv_sec + 1))
        msg_warn("database %s is older than source file %s", path, table->name);
}

static bool text_open(struct lmdb_table *lt, const char *path)
{
    struct strbuf text = STRBUF_INIT;
    struct err err;

    if (!file_read_all(lt->table.name, TEXT_MAX, &text, &err)) {
        strbuf_free(&text);
        return false;
    }
    msg_warn("%s: there is no index %s: using the source text %s as it is now; run "
             "\"postmap %s\" (aliases: \"postalias %s\") to build the index",
             lt->table.full_name, path, lt->table.name, lt->table.full_name,
             lt->table.full_name);
    lt->is_text = true;
    memory_init(&lt->mem);
    memory_load(&lt->mem, lt->table.name, strbuf_span(&text),
                !(lt->table.flags & TABLE_NO_FOLD));
    strbuf_free(&text);
    return true;
}

static bool open_file(struct table *table, bool may_fall_back, struct err *err)
{
    struct lmdb_table *lt = self(table);
    size_t map_size = (size_t)table_param_num(table, "lmdb_map_size", MAP_SIZE_DEFAULT);
    char *path = index_path(table);
    bool ok = true;

    if (may_fall_back && table->mode == TABLE_READ && access(path, F_OK) < 0 &&
        errno == ENOENT && text_open(lt, path)) {
        free(path);
        return true;
    }
    ok = lmdb_file_open(&lt->file, path, table->mode, table->flags, map_size, err);
    if (ok && table->mode == TABLE_READ) {
        table_watch(table, lt->file.fd);
        warn_if_stale(table, path, lt->file.fd);
    }
    free(path);
    return ok;
}

static bool lmdb_open(struct table *table, struct err *err)
{
    return open_file(table, false, err);
}

static bool hash_open(struct table *table, struct err *err)
{
    return open_file(table, true, err);
}

static void lmdb_close(struct table *table)
{
    memory_free(&self(table)->mem);
    lmdb_file_close(&self(table)->file);
}

static enum table_status lmdb_lookup(struct table *table, struct span key,
                                     struct strbuf *value, struct err *err)
{
    if (!self(table)->is_text)
        return lmdb_file_get(&self(table)->file, key, value, err);
    const char *text = memory_get(&self(table)->mem, key);
    if (!text)
        return TABLE_NOT_FOUND;
    strbuf_add_str(value, text);
    return TABLE_FOUND;
}

static enum table_status lmdb_update(struct table *table, struct span key,
                                     struct span value, struct err *err)
{
    enum table_status status = lmdb_file_put(&self(table)->file, key, value, err);

    if (status == TABLE_NOT_FOUND && (table->flags & TABLE_WARN_DUP))
        msg_warn("%s: duplicate entry: \"%.*s\"", table->full_name, SPAN_ARG(key));
    return status;
}

static enum table_status lmdb_remove(struct table *table, struct span key,
                                     struct err *err)
{
    return lmdb_file_remove(&self(table)->file, key, err);
}

static enum table_status lmdb_next(struct table *table, bool first, struct strbuf *key,
                                   struct strbuf *value, struct err *err)
{
    if (self(table)->is_text)
        return memory_next(&self(table)->mem, first, key, value);
    return lmdb_file_next(&self(table)->file, first, key, value, err);
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
    return lmdb_file_lock(&self(table)->file, err);
}

static bool lmdb_unlock(struct table *table, struct err *err)
{
    return lmdb_file_unlock(&self(table)->file, err);
}

/* A table read as text has changed when its index appears. */
static bool lmdb_changed(const struct table *table)
{
    if (self(table)->is_text) {
        char *path = index_path(table);
        bool appeared = access(path, F_OK) == 0;
        free(path);
        return appeared;
    }
    return table_file_changed(table);
}

#define LMDB_TYPE(type_name, opener)                                                   \
    {                                                                                  \
        .name = type_name, .size = sizeof(struct lmdb_table), .flags = TABLE_FIXED,    \
        .buildable = true, .updatable = true, .open = opener, .close = lmdb_close,     \
        .lookup = lmdb_lookup, .update = lmdb_update, .remove = lmdb_remove,           \
        .next = lmdb_next, .build_fd = lmdb_build_fd, .commit = lmdb_commit,           \
        .lock = lmdb_lock, .unlock = lmdb_unlock, .changed = lmdb_changed,             \
    }

extern const struct table_type table_type_lmdb, table_type_hash, table_type_btree;
const struct table_type table_type_lmdb = LMDB_TYPE("lmdb", lmdb_open);
const struct table_type table_type_hash = LMDB_TYPE("hash", hash_open);
const struct table_type table_type_btree = LMDB_TYPE("btree", hash_open);
