/* cdb:/path is the constant data base /path.cdb: built whole into /path.cdb.tmp, then
 * renamed. Keys and values have no trailing NUL; files with one are read as well. */
#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "table/plugin.h"
#include "util/file.h"

#define FRESH_S 100 /* a source changed just now is perhaps being built */

struct cdb_table {
    struct table table;
    char *path, *build_path;
    int fd;
    struct cdb cdb;
    struct cdb_make make;
    bool is_open, is_building;
    unsigned position; /* of the walk through all entries */
};

static struct cdb_table *self(const struct table *table)
{
    return (struct cdb_table *)table;
}

static bool fail(const char *what, const char *path, struct err *err)
{
    return err_set(err, "%s %s: %s", what, path, strerror(errno));
}

static void warn_if_stale(const struct cdb_table *ct, struct err *err)
{
    struct stat source, index;

    if (stat(ct->table.name, &source) == 0 && fstat(ct->fd, &index) == 0 &&
        source.st_mtime > index.st_mtime + 1 && source.st_mtime < time(NULL) - FRESH_S)
        err_set(err, "database %s is older than source file %s", ct->path,
                ct->table.name);
}

static bool open_read(struct cdb_table *ct, struct err *err)
{
    ct->fd = open(ct->path, O_RDONLY | O_CLOEXEC);
    if (ct->fd < 0)
        return fail("open database", ct->path, err);
    if (cdb_init(&ct->cdb, ct->fd) < 0)
        return fail("dict_cdbq_open: unable to init", ct->path, err);
    ct->is_open = true;
    cdb_seqinit(&ct->position, &ct->cdb);
    table_host()->watch(&ct->table, ct->fd);
    warn_if_stale(ct, err);
    return true;
}

/* Whoever held the lock may have renamed or removed the file meanwhile. */
static bool is_still_there(const struct cdb_table *ct)
{
    struct stat ours, named;

    return fstat(ct->fd, &ours) == 0 && stat(ct->build_path, &named) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static bool open_create(struct cdb_table *ct, struct err *err)
{
    ct->fd = open(ct->build_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (ct->fd < 0)
        return fail("open database", ct->build_path, err);
    if (lock_try(ct->fd, LOCK_FLOCK, LOCK_EXCLUSIVE) != LOCK_OK || !is_still_there(ct))
        return err_set(err, "%s: another process is building it", ct->build_path);
    ct->is_building = true;
    if (ftruncate(ct->fd, 0) < 0 || cdb_make_start(&ct->make, ct->fd) < 0)
        return fail("create", ct->build_path, err);
    return true;
}

static bool cdb_table_open(struct table *table, struct err *err)
{
    struct cdb_table *ct = self(table);
    struct strbuf path = STRBUF_INIT;

    ct->fd = -1;
    if (table->mode == TABLE_WRITE)
        return err_set(err,
                       "dict_cdb_open: inappropriate open flags for cdb database - "
                       "specify O_RDONLY or O_WRONLY|O_CREAT|O_TRUNC");
    strbuf_addf(&path, "%s.cdb", table->name);
    ct->path = strbuf_detach(&path);
    strbuf_addf(&path, "%s.cdb.tmp", table->name);
    ct->build_path = strbuf_detach(&path);
    return table->mode == TABLE_CREATE ? open_create(ct, err) : open_read(ct, err);
}

static void cdb_table_close(struct table *table)
{
    struct cdb_table *ct = self(table);

    if (ct->is_open)
        cdb_free(&ct->cdb);
    if (ct->is_building) {
        cdb_make_finish(&ct->make); /* for its memory */
        unlink(ct->build_path);
    }
    if (ct->fd >= 0)
        close(ct->fd);
    free(ct->path);
    free(ct->build_path);
}

static enum table_status broken(const struct cdb_table *ct, struct err *err)
{
    err_set(err, "%s: %s", ct->path, errno ? strerror(errno) : "bad format");
    return TABLE_BROKEN;
}

static struct span without_nul(const char *text, unsigned len)
{
    return span_of(text, len > 0 && text[len - 1] == '\0' ? len - 1 : len);
}

static enum table_status cdb_table_lookup(struct table *table, struct span key,
                                          struct strbuf *value, struct err *err)
{
    struct cdb_table *ct = self(table);
    struct strbuf with_nul = STRBUF_INIT;

    if (key.len >= UINT_MAX)
        return TABLE_NOT_FOUND;
    errno = 0;
    int found = cdb_find(&ct->cdb, key.ptr ? key.ptr : "", (unsigned)key.len);
    if (found == 0) {
        strbuf_add_span(&with_nul, key);
        strbuf_add_char(&with_nul, '\0');
        found = cdb_find(&ct->cdb, with_nul.ptr, (unsigned)with_nul.len);
        strbuf_free(&with_nul);
    }
    if (found == 0)
        return TABLE_NOT_FOUND;
    const void *data = found > 0 ? cdb_getdata(&ct->cdb) : NULL;
    if (!data)
        return broken(ct, err);
    strbuf_add_span(value, without_nul(data, cdb_datalen(&ct->cdb)));
    return TABLE_FOUND;
}

static enum table_status cdb_table_next(struct table *table, bool first,
                                        struct strbuf *key, struct strbuf *value,
                                        struct err *err)
{
    struct cdb_table *ct = self(table);

    if (first)
        cdb_seqinit(&ct->position, &ct->cdb);
    errno = 0;
    int found = cdb_seqnext(&ct->position, &ct->cdb);
    if (found == 0)
        return TABLE_NOT_FOUND;
    const void *key_data = found > 0 ? cdb_getkey(&ct->cdb) : NULL;
    const void *data = found > 0 ? cdb_getdata(&ct->cdb) : NULL;
    if (!key_data || !data)
        return broken(ct, err);
    strbuf_add_span(key, without_nul(key_data, cdb_keylen(&ct->cdb)));
    strbuf_add_span(value, without_nul(data, cdb_datalen(&ct->cdb)));
    return TABLE_FOUND;
}

static enum table_status cdb_table_update(struct table *table, struct span key,
                                          struct span value, struct err *err)
{
    struct cdb_table *ct = self(table);
    enum cdb_put_mode mode =
        table->flags & TABLE_REPLACE_DUP ? CDB_PUT_REPLACE : CDB_PUT_INSERT;

    if (key.len >= UINT_MAX || value.len >= UINT_MAX) {
        err_set(err, "%s: an entry is too large", ct->build_path);
        return TABLE_BROKEN;
    }
    int rc = cdb_make_put(&ct->make, key.ptr, (unsigned)key.len, value.ptr,
                          (unsigned)value.len, mode);
    if (rc < 0) {
        fail("write", ct->build_path, err);
        return TABLE_RETRY;
    }
    if (rc == 0 || mode == CDB_PUT_REPLACE)
        return TABLE_FOUND;
    if (table->flags & TABLE_WARN_DUP)
        err_set(err, "%s: duplicate entry: \"%.*s\"", table->name, SPAN_ARG(key));
    return TABLE_NOT_FOUND;
}

static int cdb_table_fd(const struct table *table)
{
    return self(table)->fd;
}

static bool sync_directory(const char *path, struct err *err)
{
    char *copy = xstrdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok)
        fail("sync directory of", path, err);
    if (fd >= 0)
        close(fd);
    free(copy);
    return ok;
}

static bool cdb_table_commit(struct table *table, struct err *err)
{
    struct cdb_table *ct = self(table);

    if (table->mode != TABLE_CREATE)
        return true;
    ct->is_building = false;
    if (cdb_make_finish(&ct->make) < 0 || fsync(ct->fd) < 0 ||
        rename(ct->build_path, ct->path) < 0) {
        fail("finish", ct->build_path, err);
        unlink(ct->build_path);
        return false;
    }
    return sync_directory(ct->path, err);
}

static const struct table_type cdb_type = {
    .name = "cdb",
    .size = sizeof(struct cdb_table),
    .flags = TABLE_FIXED,
    .buildable = true,
    .updatable = true,
    .open = cdb_table_open,
    .close = cdb_table_close,
    .lookup = cdb_table_lookup,
    .update = cdb_table_update,
    .next = cdb_table_next,
    .build_fd = cdb_table_fd,
    .commit = cdb_table_commit,
};

TABLE_PLUGIN(&cdb_type);
