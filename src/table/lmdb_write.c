#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/lmdb_file.h"
#include "table/lmdb_internal.h"
#include "util/file.h"
#include "util/msg.h"

static enum table_status write_error(const struct lmdb_file *file, const char *what,
                                     int rc, struct err *err)
{
    err_set(err, "%s %s: %s", what, file->path, mdb_strerror(rc));
    return rc == ENOSPC ? TABLE_RETRY : TABLE_BROKEN;
}

static int begin_write(struct lmdb_file *file, MDB_txn **txn_out)
{
    int rc = mdb_txn_begin(file->env, NULL, 0, txn_out);

    if (rc == MDB_MAP_RESIZED && mdb_env_set_mapsize(file->env, 0) == 0)
        rc = mdb_txn_begin(file->env, NULL, 0, txn_out);
    return rc;
}

static bool grow(struct lmdb_file *file)
{
    MDB_envinfo info;

    return mdb_env_info(file->env, &info) == 0 &&
           mdb_env_set_mapsize(file->env, info.me_mapsize * 2) == 0;
}

/* Without a transaction of the caller each change is one of its own, repeated with a
 * larger map when it does not fit. */
static int single_change(struct lmdb_file *file,
                         int (*change)(struct lmdb_file *, MDB_txn *, MDB_val *,
                                       MDB_val *),
                         MDB_val *key, MDB_val *value)
{
    for (;;) {
        MDB_txn *txn;
        int rc = begin_write(file, &txn);
        if (rc != 0)
            return rc;
        MDB_val k = *key, v = value ? *value : (MDB_val){0};
        rc = change(file, txn, &k, value ? &v : NULL);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
        if (rc != MDB_MAP_FULL || !grow(file))
            return rc;
    }
}

static int run_change(struct lmdb_file *file,
                      int (*change)(struct lmdb_file *, MDB_txn *, MDB_val *,
                                    MDB_val *),
                      MDB_val *key, MDB_val *value, struct err *err)
{
    if (file->write_txn)
        return change(file, file->write_txn, key, value);
    if (!lmdb_wait_lock(file, LOCK_EXCLUSIVE, err))
        return EAGAIN;
    int rc = single_change(file, change, key, value);
    lmdb_release_lock(file);
    return rc;
}

static int change_put(struct lmdb_file *file, MDB_txn *txn, MDB_val *key,
                      MDB_val *value)
{
    bool keep = file->flags & (TABLE_IGNORE_DUP | TABLE_WARN_DUP);

    return mdb_put(txn, file->dbi, key, value, keep ? MDB_NOOVERWRITE : 0);
}

static int change_remove(struct lmdb_file *file, MDB_txn *txn, MDB_val *key,
                         MDB_val *value UNUSED)
{
    return mdb_del(txn, file->dbi, key, NULL);
}

/* Text with or without the NUL that ends it. */
static MDB_val stored(const struct strbuf *text, bool with_nul)
{
    return (MDB_val){.mv_size = text->len + with_nul, .mv_data = text->ptr};
}

enum table_status lmdb_file_put(struct lmdb_file *file, struct span key,
                                struct span value, struct err *err)
{
    struct strbuf key_text = STRBUF_INIT, value_text = STRBUF_INIT;
    bool with_nul = !(file->flags & TABLE_NO_NUL) && file->try_nul;

    strbuf_add_span(&key_text, key);
    strbuf_add_span(&value_text, value);
    MDB_val k = stored(&key_text, with_nul), v = stored(&value_text, with_nul);
    err->text[0] = '\0';
    int rc = run_change(file, change_put, &k, &v, err);
    strbuf_free(&key_text);
    strbuf_free(&value_text);
    if (rc == 0)
        return TABLE_FOUND;
    if (rc == MDB_KEYEXIST)
        return TABLE_NOT_FOUND;
    return err->text[0] ? TABLE_RETRY : write_error(file, "error writing", rc, err);
}

enum table_status lmdb_file_remove(struct lmdb_file *file, struct span key,
                                   struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    int rc = MDB_NOTFOUND;

    if (key.len == 0 || key.len >= (size_t)mdb_env_get_maxkeysize(file->env))
        return TABLE_NOT_FOUND;
    strbuf_add_span(&text, key);
    err->text[0] = '\0';
    for (int with_nul = 1; with_nul >= 0 && rc == MDB_NOTFOUND; with_nul--) {
        MDB_val k = stored(&text, with_nul);
        rc = run_change(file, change_remove, &k, NULL, err);
    }
    strbuf_free(&text);
    if (rc == 0)
        return TABLE_FOUND;
    if (rc == MDB_NOTFOUND)
        return TABLE_NOT_FOUND;
    return err->text[0] ? TABLE_RETRY
                        : write_error(file, "error deleting from", rc, err);
}

bool lmdb_file_lock(struct lmdb_file *file, struct err *err)
{
    if (!lmdb_wait_lock(file, LOCK_EXCLUSIVE, err))
        return false;
    int rc = begin_write(file, &file->write_txn);
    if (rc == 0)
        return true;
    file->write_txn = NULL;
    lmdb_release_lock(file);
    write_error(file, "begin transaction on", rc, err);
    return false;
}

bool lmdb_file_unlock(struct lmdb_file *file, struct err *err)
{
    int rc = mdb_txn_commit(file->write_txn);

    file->write_txn = NULL;
    lmdb_release_lock(file);
    if (rc != 0)
        write_error(file, "save changes to", rc, err);
    return rc == 0;
}

static bool sync_directory(const char *path)
{
    char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');

    if (slash)
        slash[slash == dir] = '\0';
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    free(dir);
    return ok;
}

bool lmdb_file_commit(struct lmdb_file *file, struct err *err)
{
    int rc = mdb_txn_commit(file->write_txn);

    file->write_txn = NULL;
    if (rc == 0)
        rc = mdb_env_sync(file->env, 1);
    if (rc != 0) {
        write_error(file, "save", rc, err);
        return false;
    }
    if (rename(file->build_path, file->path) < 0)
        return err_set(err, "rename %s to %s: %s", file->build_path, file->path,
                       strerror(errno));
    free(file->build_path);
    file->build_path = NULL;
    return sync_directory(file->path) ||
           err_set(err, "fsync directory of %s: %s", file->path, strerror(errno));
}
