#include <errno.h>
#include <sys/stat.h>

#include "table/lmdb_guard.h"
#include "table/lmdb_internal.h"
#include "table/lmdb_lock.h"

#define REOPEN_TRIES 5

static bool is_answer(int rc)
{
    return rc == 0 || rc == MDB_NOTFOUND || rc == MDB_KEYEXIST || rc == MDB_BAD_VALSIZE;
}

/* After an error nothing of the library's state is trusted: the transaction is lost,
 * the environment closed, and opened again for the next change. */
enum table_status lmdb_write_failed(struct lmdb_file *file, const char *what, int rc,
                                    struct err *err)
{
    bool damaged = rc == MDB_PANIC || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND ||
                   rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH;

    err_set(err, "%s %s: %s", what, file->path,
            damaged ? "the file is damaged" : mdb_strerror(rc));
    if (rc == MDB_BAD_VALSIZE)
        return TABLE_BROKEN;
    lmdb_env_drop(file);
    if (file->mode == TABLE_WRITE && file->fd >= 0)
        lmdb_lock_release(file->fd);
    return damaged ? TABLE_BROKEN : TABLE_RETRY;
}

/* -- entering and leaving: the exclusive lock, and a transaction -- */

static bool env_is_of(const struct lmdb_file *file)
{
    struct stat st;
    int fd;

    return mdb_env_get_fd(file->env, &fd) == 0 && fstat(fd, &st) == 0 &&
           st.st_dev == file->id.dev && st.st_ino == file->id.ino;
}

struct check {
    struct lmdb_file *file;
    struct span key;
    bool neighbours;
    enum view_status status;
};

static void check_free(void *arg)
{
    struct check *check = arg;

    check->status = lmdb_view_check_free(&check->file->view);
}

static void check_path(void *arg)
{
    struct check *check = arg;

    check->status =
        lmdb_view_check_path(&check->file->view, check->key, check->neighbours);
}

static bool is_sound(struct lmdb_file *file, void (*fn)(void *), struct check *check)
{
    const struct lmdb_view *view = &file->view;

    check->file = file;
    return lmdb_guard(fn, check, view->map, view->map_size) == GUARD_OK &&
           check->status == VIEW_OK;
}

static size_t newest_commit(const struct lmdb_file *file)
{
    const size_t *txnid = file->view.txnid;

    return txnid[0] > txnid[1] ? txnid[0] : txnid[1];
}

/* What this process has committed itself needs no second look. */
static bool free_list_is_sound(struct lmdb_file *file)
{
    struct check check = {0};

    if (file->checked_txn != newest_commit(file) && !is_sound(file, check_free, &check))
        return false;
    return true;
}

/* The lock is of the file that the name leads to now: another may have taken its place
 * while we waited. */
static enum table_status lock_current(struct lmdb_file *file, struct err *err)
{
    enum table_status status = lmdb_file_settle(file, true, err);

    for (int i = 0; status == TABLE_FOUND && i < REOPEN_TRIES; i++) {
        struct lmdb_id id = file->id;
        if (!lmdb_lock_wait(file->fd, LOCK_EXCLUSIVE, file->path, err))
            return TABLE_RETRY;
        int fd = file->fd;
        status = lmdb_file_settle(file, true, err);
        if (status != TABLE_FOUND)
            break;
        if (file->fd == fd && file->id.ino == id.ino && file->id.dev == id.dev)
            return TABLE_FOUND;
    }
    if (file->fd >= 0)
        lmdb_lock_release(file->fd);
    if (status == TABLE_FOUND)
        err_set(err, "lock %s: it is being replaced all the time", file->path);
    return status == TABLE_FOUND ? TABLE_RETRY : status;
}

static enum table_status enter(struct lmdb_file *file, struct err *err)
{
    enum table_status status = lock_current(file, err);
    int rc = 0;

    if (status != TABLE_FOUND)
        return status;
    status = lmdb_file_refresh(file, err);
    if (status != TABLE_FOUND) {
        lmdb_file_drop(file);
        return status;
    }
    if (!free_list_is_sound(file))
        return lmdb_write_failed(file, "error writing", MDB_CORRUPTED, err);
    if (file->env && !env_is_of(file))
        lmdb_env_drop(file);
    if (!file->env)
        rc = lmdb_env_open(file, file->path);
    if (rc == 0 && !env_is_of(file)) { /* replaced just now */
        lmdb_file_drop(file);
        err_set(err, "open database %s: it was replaced meanwhile", file->path);
        return TABLE_RETRY;
    }
    if (rc == 0)
        rc = lmdb_txn_begin(file);
    return rc == 0 ? TABLE_FOUND
                   : lmdb_write_failed(file, "begin transaction on", rc, err);
}

enum table_status lmdb_file_lock(struct lmdb_file *file, struct err *err)
{
    return enter(file, err);
}

enum table_status lmdb_file_unlock(struct lmdb_file *file, struct err *err)
{
    if (!file->txn) { /* an error has ended it */
        err_set(err, "save changes to %s: they were lost by an earlier error",
                file->path);
        return TABLE_RETRY;
    }
    int rc = lmdb_txn_commit(file);
    if (rc != 0)
        return lmdb_write_failed(file, "save changes to", rc, err);
    file->checked_txn = newest_commit(file) + 1;
    strbuf_free(&file->log);
    lmdb_lock_release(file->fd);
    return TABLE_FOUND;
}

/* -- changes -- */

static int change_in_txn(struct lmdb_file *file, bool is_put, struct span key,
                         struct span value)
{
    struct check check = {.key = key, .neighbours = !is_put};
    int rc;

    if (file->mode != TABLE_CREATE && !is_sound(file, check_path, &check))
        return MDB_CORRUPTED;
    rc = lmdb_txn_change(file, is_put, key, value);
    if (rc == 0 && file->mode == TABLE_CREATE)
        rc = lmdb_build_checkpoint(file);
    return rc;
}

/* Without a transaction of the caller each change is one of its own. */
static enum table_status change(struct lmdb_file *file, const char *what, bool is_put,
                                struct span key, struct span value, struct err *err)
{
    bool single = file->mode == TABLE_WRITE && !file->txn;
    enum table_status status = single ? enter(file, err) : TABLE_FOUND;

    if (status != TABLE_FOUND)
        return status;
    if (!file->txn) {
        err_set(err, "%s %s: an earlier error has ended the build", what, file->path);
        return TABLE_RETRY;
    }
    int rc = change_in_txn(file, is_put, key, value);
    if (!is_answer(rc))
        return lmdb_write_failed(file, what, rc, err);
    status = rc == 0 ? TABLE_FOUND : TABLE_NOT_FOUND;
    if (rc == MDB_BAD_VALSIZE)
        status = lmdb_write_failed(file, what, rc, err);
    if (single && rc == 0)
        status = lmdb_file_unlock(file, err);
    else if (single) {
        lmdb_txn_abort(file);
        lmdb_lock_release(file->fd);
    }
    return status;
}

/* Text with or without the NUL that ends it. */
static struct span stored(struct strbuf *text, struct span s, bool with_nul)
{
    strbuf_reset(text);
    strbuf_add_span(text, s);
    if (with_nul)
        strbuf_add_char(text, '\0');
    return strbuf_span(text);
}

enum table_status lmdb_file_put(struct lmdb_file *file, struct span key,
                                struct span value, struct err *err)
{
    bool with_nul = !(file->flags & TABLE_NO_NUL) && file->try_nul;
    struct strbuf value_text = STRBUF_INIT;
    enum table_status status =
        change(file, "error writing", true, stored(&file->stored, key, with_nul),
               stored(&value_text, value, with_nul), err);

    strbuf_free(&value_text);
    return status;
}

enum table_status lmdb_file_remove(struct lmdb_file *file, struct span key,
                                   struct err *err)
{
    enum table_status status = TABLE_NOT_FOUND;

    if (key.len == 0)
        return TABLE_NOT_FOUND;
    for (int with_nul = 1; with_nul >= 0 && status == TABLE_NOT_FOUND; with_nul--) {
        struct span text = stored(&file->stored, key, with_nul);
        if (text.len <= LMDB_KEY_MAX)
            status = change(file, "error deleting from", false, text, SPAN_EMPTY, err);
    }
    return status;
}
