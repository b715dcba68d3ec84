#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/lmdb_file.h"
#include "table/lmdb_internal.h"
#include "util/file.h"

#define LOCK_TRIES    1000
#define LOCK_PAUSE_MS 10
/* Address space, not memory: a build never has to stop and grow. */
#define BUILD_MAP_SIZE ((size_t)1 << (sizeof(size_t) > 4 ? 36 : 29))

static bool lmdb_error(const struct lmdb_file *file, const char *what, int rc,
                       struct err *err)
{
    return err_set(err, "%s %s: %s", what, file->path, mdb_strerror(rc));
}

static bool set_map(struct lmdb_file *file, size_t size, struct err *err)
{
    int rc = mdb_env_set_mapsize(file->env, size);

    return rc == 0 || lmdb_error(file, "set map size of", rc, err);
}

/* Another process has made the file larger than our map: take its size. */
static int adopt_size(struct lmdb_file *file, int rc)
{
    return rc == MDB_MAP_RESIZED ? mdb_env_set_mapsize(file->env, 0) : rc;
}

bool lmdb_wait_lock(struct lmdb_file *file, enum lock_mode mode, struct err *err)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        enum lock_result result = lock_try(file->fd, LOCK_FCNTL, mode);
        if (result == LOCK_OK)
            return true;
        if (result == LOCK_FAILED)
            return err_set(err, "lock %s: %s", file->path, strerror(errno));
        if (!table_in_fiber())
            usleep(LOCK_PAUSE_MS * 1000);
        else if (fiber_sleep(LOCK_PAUSE_MS) == WAIT_CANCELLED)
            break;
    }
    return err_set(err, "lock %s: still locked by another process", file->path);
}

void lmdb_release_lock(struct lmdb_file *file)
{
    lock_try(file->fd, LOCK_FCNTL, LOCK_UNLOCK);
}

/* -- opening -- */

/* The build belongs to whoever owns the source text, with its permissions: a table
 * made readable for a group stays so. */
static bool prepare_build(struct lmdb_file *file, struct err *err)
{
    struct strbuf path = STRBUF_INIT;

    strbuf_addf(&path, "%s.%ld.tmp", file->path, (long)getpid());
    file->build_path = strbuf_detach(&path);
    int fd = open(file->build_path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                  0644);
    if (fd < 0)
        return err_set(err, "create %s: %s", file->build_path, strerror(errno));
    close(fd);
    return true;
}

static bool begin_read(struct lmdb_file *file, struct err *err)
{
    int rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &file->read_txn);

    if (rc != 0 && adopt_size(file, rc) == 0)
        rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &file->read_txn);
    if (rc == 0)
        rc = mdb_dbi_open(file->read_txn, NULL, 0, &file->dbi);
    if (file->read_txn)
        mdb_txn_reset(file->read_txn);
    return rc == 0 || lmdb_error(file, "open database", rc, err);
}

static bool begin_build(struct lmdb_file *file, struct err *err)
{
    int rc = mdb_txn_begin(file->env, NULL, 0, &file->write_txn);

    if (rc == 0)
        rc = mdb_dbi_open(file->write_txn, NULL, 0, &file->dbi);
    return rc == 0 || lmdb_error(file, "create database", rc, err);
}

static bool open_env(struct lmdb_file *file, enum table_mode mode, struct err *err)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS;
    const char *path = mode == TABLE_CREATE ? file->build_path : file->path;
    int rc = mdb_env_create(&file->env);

    if (rc != 0)
        return lmdb_error(file, "create environment for", rc, err);
    if (mode == TABLE_READ)
        flags |= MDB_RDONLY;
    if (mode == TABLE_CREATE)
        flags |= MDB_NOSYNC; /* once, at the end */
    if (!set_map(file, file->map_size, err))
        return false;
    rc = mdb_env_open(file->env, path, flags, 0644);
    if (rc != 0)
        return lmdb_error(file, "open database", rc, err);
    mdb_env_get_fd(file->env, &file->fd);
    return true;
}

bool lmdb_file_open(struct lmdb_file *file, const char *path, enum table_mode mode,
                    unsigned flags, size_t map_size, struct err *err)
{
    file->path = xstrdup(path);
    file->fd = -1;
    strbuf_init(&file->last);
    file->flags = flags;
    file->map_size = map_size;
    file->try_nul = file->try_plain = true;
    if (mode == TABLE_CREATE) {
        if (file->map_size < BUILD_MAP_SIZE)
            file->map_size = BUILD_MAP_SIZE;
        return prepare_build(file, err) && open_env(file, mode, err) &&
               begin_build(file, err);
    }
    if (!open_env(file, mode, err) || !lmdb_wait_lock(file, LOCK_SHARED, err))
        return false;
    bool ok = begin_read(file, err);
    lmdb_release_lock(file);
    return ok;
}

void lmdb_file_close(struct lmdb_file *file)
{
    if (file->write_txn)
        mdb_txn_abort(file->write_txn);
    if (file->read_txn)
        mdb_txn_abort(file->read_txn);
    if (file->env)
        mdb_env_close(file->env);
    if (file->build_path)
        unlink(file->build_path);
    free(file->build_path);
    free(file->path);
    if (file->last.ptr)
        strbuf_free(&file->last);
}

/* -- reading -- */

/* Start a look-up: the transaction to read in, or NULL. */
static MDB_txn *enter_read(struct lmdb_file *file, struct err *err)
{
    if (file->write_txn)
        return file->write_txn;
    if (!lmdb_wait_lock(file, LOCK_SHARED, err))
        return NULL;
    int rc = mdb_txn_renew(file->read_txn);
    if (rc != 0 && adopt_size(file, rc) == 0)
        rc = mdb_txn_renew(file->read_txn);
    if (rc == 0)
        return file->read_txn;
    lmdb_release_lock(file);
    lmdb_error(file, "read database", rc, err);
    return NULL;
}

static void leave_read(struct lmdb_file *file)
{
    if (file->write_txn)
        return;
    mdb_txn_reset(file->read_txn);
    lmdb_release_lock(file);
}

static MDB_val to_val(struct span s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)s.ptr};
}

/* Keys and values may have been written with their NUL. */
static struct span from_val(const MDB_val *val)
{
    struct span s = span_of(val->mv_data, val->mv_size);

    if (s.len > 0 && s.ptr[s.len - 1] == '\0')
        s.len--;
    return s;
}

static int get_form(struct lmdb_file *file, MDB_txn *txn, struct span key, MDB_val *val)
{
    MDB_val k = to_val(key);

    if (key.len == 0 || key.len > (size_t)mdb_env_get_maxkeysize(file->env))
        return MDB_NOTFOUND;
    return mdb_get(txn, file->dbi, &k, val);
}

static int get(struct lmdb_file *file, MDB_txn *txn, struct span key, MDB_val *val)
{
    int rc = MDB_NOTFOUND;

    if (file->try_nul) {
        struct strbuf with_nul = STRBUF_INIT;
        strbuf_add_span(&with_nul, key);
        rc = get_form(file, txn, span_of(with_nul.ptr, key.len + 1), val);
        strbuf_free(&with_nul);
        if (rc == 0)
            file->try_plain = false;
    }
    if (rc == MDB_NOTFOUND && file->try_plain) {
        rc = get_form(file, txn, key, val);
        if (rc == 0)
            file->try_nul = false;
    }
    return rc;
}

enum table_status lmdb_file_get(struct lmdb_file *file, struct span key,
                                struct strbuf *value, struct err *err)
{
    MDB_val val;

    if (key.len == 0)
        return TABLE_NOT_FOUND;
    MDB_txn *txn = enter_read(file, err);
    if (!txn)
        return TABLE_RETRY;
    int rc = get(file, txn, key, &val);
    if (rc == 0)
        strbuf_add_span(value, from_val(&val));
    leave_read(file);
    if (rc == 0)
        return TABLE_FOUND;
    if (rc == MDB_NOTFOUND)
        return TABLE_NOT_FOUND;
    lmdb_error(file, "error reading", rc, err);
    return TABLE_BROKEN;
}

/* Position by the last key each time, so that nothing is held between calls. */
enum table_status lmdb_file_next(struct lmdb_file *file, bool first, struct strbuf *key,
                                 struct strbuf *value, struct err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_val k, v;

    MDB_txn *txn = enter_read(file, err);
    if (!txn)
        return TABLE_RETRY;
    int rc = mdb_cursor_open(txn, file->dbi, &cursor);
    if (rc == 0 && first) {
        rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    } else if (rc == 0) {
        k = to_val(strbuf_span(&file->last));
        rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        if (rc == 0 && span_eq(span_of(k.mv_data, k.mv_size), strbuf_span(&file->last)))
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (rc == 0) {
        strbuf_reset(&file->last);
        strbuf_add(&file->last, k.mv_data, k.mv_size);
        strbuf_add_span(key, from_val(&k));
        strbuf_add_span(value, from_val(&v));
    }
    if (cursor)
        mdb_cursor_close(cursor);
    leave_read(file);
    if (rc == 0)
        return TABLE_FOUND;
    if (rc == MDB_NOTFOUND)
        return TABLE_NOT_FOUND;
    lmdb_error(file, "error reading", rc, err);
    return TABLE_BROKEN;
}
