#include "table/lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "table/lmdb_guard.h"
#include "table/lmdb_internal.h"
#include "table/lmdb_lock.h"

#define CHECK_MS 10 /* how often the name is looked up */

#ifdef CLOCK_MONOTONIC_COARSE
#define CHECK_CLOCK CLOCK_MONOTONIC_COARSE
#else
#define CHECK_CLOCK CLOCK_MONOTONIC
#endif

/* Not the loop's clock: look-ups may run on worker threads, and without a loop. */
static int64_t clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CHECK_CLOCK, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static struct lmdb_id id_of(const struct stat *st)
{
    return (struct lmdb_id){st->st_dev, st->st_ino};
}

static bool id_eq(struct lmdb_id a, struct lmdb_id b)
{
    return a.dev == b.dev && a.ino == b.ino;
}

static bool directory_id(const char *path, struct lmdb_id *id_out)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
    struct stat st;
    bool ok = stat(dir, &st) == 0;

    free(dir);
    if (ok)
        *id_out = id_of(&st);
    return ok;
}

enum table_status lmdb_view_failed(enum view_status status)
{
    return status == VIEW_DAMAGED ? TABLE_BROKEN : TABLE_RETRY;
}

static void drop_readers(struct lmdb_file *file)
{
    lmdb_view_close(&file->view);
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void lmdb_file_drop(struct lmdb_file *file)
{
    lmdb_env_drop(file);
    drop_readers(file);
}

/* -- opening -- */

static bool open_view(struct lmdb_file *file, int fd, struct lmdb_view *view,
                      struct err *err, enum table_status *status)
{
    enum view_status vs = lmdb_view_open(view, fd, file->path, err);

    *status = vs == VIEW_OK ? TABLE_FOUND : lmdb_view_failed(vs);
    return vs == VIEW_OK;
}

/* A new file gets its first pages under the exclusive lock, so that of several writers
 * one does it. */
static bool init_new(struct lmdb_file *file, int fd, struct err *err)
{
    struct stat st;
    int rc = 0;

    if (file->mode != TABLE_WRITE || fstat(fd, &st) < 0 || st.st_size > 0)
        return true;
    if (!lmdb_lock_wait(fd, LOCK_EXCLUSIVE, file->path, err))
        return false;
    if (fstat(fd, &st) == 0 && st.st_size == 0) {
        rc = lmdb_env_open(file, file->path);
        lmdb_env_drop(file);
    }
    lmdb_lock_release(fd);
    return rc == 0 ||
           err_set(err, "create database %s: %s", file->path, mdb_strerror(rc));
}

/* The file that path names now takes the place of the one that is open, if all is well
 * with it. */
static enum table_status open_path(struct lmdb_file *file, struct err *err)
{
    int flags = file->mode == TABLE_WRITE ? O_RDWR | O_CREAT : O_RDONLY;
    struct lmdb_view view = {0};
    enum table_status status = TABLE_RETRY;
    struct stat st;

    lmdb_guard_install();
    int fd = open(file->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (fd < 0) {
        err_set(err, "open database %s: %s", file->path, strerror(errno));
        return TABLE_RETRY;
    }
    if (!init_new(file, fd, err) || fstat(fd, &st) < 0 ||
        !open_view(file, fd, &view, err, &status)) {
        close(fd);
        return status;
    }
    lmdb_file_drop(file);
    file->fd = fd;
    file->view = view;
    file->id = id_of(&st);
    file->detached = false;
    file->checked_ms = clock_ms();
    file->try_nul = file->try_plain = true;
    return TABLE_FOUND;
}

/* The name leads nowhere. In a chroot, or without the rights that the process had when
 * it opened the file, that says nothing. */
static enum table_status name_is_gone(struct lmdb_file *file, int error,
                                      struct err *err)
{
    struct lmdb_id dir;
    struct stat st;

    if (error == ENOENT && directory_id(file->path, &dir) &&
        id_eq(dir, file->directory)) {
        err_set(err, "open database %s: %s", file->path, strerror(error));
        lmdb_file_drop(file);
        return TABLE_RETRY;
    }
    file->detached = fstat(file->fd, &st) == 0 && st.st_nlink == 0;
    return TABLE_FOUND;
}

static enum table_status file_is_there(struct lmdb_file *file, const struct stat *st,
                                       struct err *err)
{
    if (!id_eq(id_of(st), file->id)) {
        enum table_status status = open_path(file, err);
        if (status == TABLE_FOUND)
            return status;
        /* The old one will do while this process is asked to end. */
        file->detached = access(file->path, R_OK) < 0 && errno == EACCES;
        return file->detached ? TABLE_FOUND : status;
    }
    if ((uintmax_t)st->st_size < lmdb_view_file_size(&file->view)) {
        err_set(err, "error reading %s: the file has been cut off", file->path);
        lmdb_file_drop(file);
        return TABLE_RETRY;
    }
    return TABLE_FOUND;
}

enum table_status lmdb_file_settle(struct lmdb_file *file, bool now, struct err *err)
{
    struct stat st;

    if (file->fd < 0)
        return open_path(file, err);
    int64_t time = clock_ms();
    if (!now && time - file->checked_ms < CHECK_MS)
        return TABLE_FOUND;
    file->checked_ms = time;
    if (stat(file->path, &st) < 0)
        return name_is_gone(file, errno, err);
    return file_is_there(file, &st, err);
}

enum table_status lmdb_file_refresh(struct lmdb_file *file, struct err *err)
{
    enum view_status status = lmdb_view_refresh(&file->view, file->fd, file->path, err);

    if (status == VIEW_OK)
        return TABLE_FOUND;
    lmdb_view_close(&file->view);
    return lmdb_view_failed(status);
}

bool lmdb_file_is_detached(struct lmdb_file *file)
{
    struct err err;

    return file->fd >= 0 && file->mode != TABLE_CREATE && !file->txn &&
           lmdb_file_settle(file, true, &err) == TABLE_FOUND && file->detached;
}

bool lmdb_file_open(struct lmdb_file *file, const char *path, enum table_mode mode,
                    unsigned flags, size_t map_size, struct err *err)
{
    file->path = xstrdup(path);
    file->fd = -1;
    file->mode = mode;
    file->flags = flags;
    file->map_size = map_size;
    file->try_nul = file->try_plain = true;
    strbuf_init(&file->stored);
    strbuf_init(&file->last);
    strbuf_init(&file->log);
    if (mode == TABLE_CREATE)
        return lmdb_build_start(file, err);
    directory_id(path, &file->directory);
    return open_path(file, err) == TABLE_FOUND;
}

void lmdb_file_close(struct lmdb_file *file)
{
    if (!file->path)
        return;
    lmdb_file_drop(file);
    if (file->build_path)
        unlink(file->build_path);
    free(file->build_path);
    free(file->path);
    strbuf_free(&file->stored);
    strbuf_free(&file->last);
    strbuf_free(&file->log);
    memset(file, 0, sizeof *file);
}
