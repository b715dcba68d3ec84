#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/lmdb_guard.h"
#include "table/lmdb_internal.h"
#include "table/lmdb_lock.h"

#define CREATE_TRIES   100
#define CHECKPOINT_LEN (32u * 1024 * 1024)

static bool is_named(int fd, const char *path)
{
    struct stat ours, named;

    return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Of a build that was killed: nobody holds its lock. Somebody else's: wait. */
static bool remove_leftover(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool ok = true;

    if (fd < 0)
        return errno == ENOENT || err_set(err, "open %s: %s", path, strerror(errno));
    ok = lmdb_lock_wait(fd, LOCK_EXCLUSIVE, path, err);
    if (ok && is_named(fd, path) && unlink(path) < 0)
        ok = err_set(err, "remove %s: %s", path, strerror(errno));
    close(fd);
    return ok;
}

/* One build of a table at a time: the name is fixed, and whoever has created and locked
 * the file builds. */
static int create_locked(const char *path, struct err *err)
{
    for (int i = 0; i < CREATE_TRIES; i++) {
        int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd >= 0 && lmdb_lock_try(fd, LOCK_EXCLUSIVE) == LOCK_OK &&
            is_named(fd, path))
            return fd;
        if (fd < 0 && errno != EEXIST) {
            err_set(err, "create %s: %s", path, strerror(errno));
            return -1;
        }
        if (fd >= 0)
            close(fd); /* somebody took it for a leftover just then */
        else if (!remove_leftover(path, err))
            return -1;
    }
    err_set(err, "create %s: others are doing the same all the time", path);
    return -1;
}

bool lmdb_build_start(struct lmdb_file *file, struct err *err)
{
    struct strbuf path = STRBUF_INIT;
    int rc;

    lmdb_guard_install();
    strbuf_addf(&path, "%s.tmp", file->path);
    file->fd = create_locked(path.ptr, err);
    if (file->fd < 0) {
        strbuf_free(&path);
        return false;
    }
    file->build_path = strbuf_detach(&path);
    rc = lmdb_env_open(file, file->build_path);
    if (rc == 0)
        rc = lmdb_txn_begin(file);
    if (rc == 0)
        return true;
    lmdb_write_failed(file, "create database", rc, err);
    return false;
}

/* Nobody sees the file yet, so that it may be saved in parts. */
int lmdb_build_checkpoint(struct lmdb_file *file)
{
    int rc;

    if (file->log.len < CHECKPOINT_LEN)
        return 0;
    rc = lmdb_txn_commit(file);
    return rc == 0 ? lmdb_txn_begin(file) : rc;
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
    int rc;

    if (!file->txn)
        return err_set(err, "save %s: an earlier error has ended the build",
                       file->path);
    rc = lmdb_txn_commit(file);
    if (rc == 0)
        rc = lmdb_env_flush(file);
    if (rc != 0) {
        lmdb_write_failed(file, "save", rc, err);
        return false;
    }
    lmdb_env_drop(file);
    if (rename(file->build_path, file->path) < 0)
        return err_set(err, "rename %s to %s: %s", file->build_path, file->path,
                       strerror(errno));
    free(file->build_path);
    file->build_path = NULL;
    return sync_directory(file->path) ||
           err_set(err, "fsync directory of %s: %s", file->path, strerror(errno));
}
