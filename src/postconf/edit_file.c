/* The lock of an edit is the new file itself, <file>.tmp: the peer's postconf and
 * ours exclude each other by flock on it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "postconf/postconf.h"
#include "util/file.h"

#define CONFIG_FILE_MAX (16u << 20)

static bool failed(struct err *err, const char *what, const char *path)
{
    return err_set(err, "%s %s: %s", what, path, strerror(errno));
}

/* Whoever held the lock may have renamed the file to its place meanwhile: then the
 * lock is on a file of the past. */
static bool still_there(int fd, const char *path)
{
    struct stat mine, named;

    return fstat(fd, &mine) == 0 && stat(path, &named) == 0 &&
           mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

static bool lock_temp(struct edit_file *file, struct err *err)
{
    for (;;) {
        file->fd = open(file->temp, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file->fd < 0)
            return failed(err, "open", file->temp);
        while (flock(file->fd, LOCK_EX) != 0)
            if (errno != EINTR)
                return failed(err, "lock", file->temp);
        if (still_there(file->fd, file->temp))
            return true;
        close(file->fd);
    }
}

bool edit_file_open(struct edit_file *file, const char *path, struct err *err)
{
    struct strbuf temp = STRBUF_INIT;

    *file = (struct edit_file){.fd = -1, .text = STRBUF_INIT};
    file->real = realpath(path, NULL); /* keeps a symbolic link in place */
    if (!file->real)
        return failed(err, "open", path);
    strbuf_addf(&temp, "%s.tmp", file->real);
    file->temp = strbuf_detach(&temp);
    return lock_temp(file, err) &&
           file_read_all(file->real, CONFIG_FILE_MAX, &file->text, err);
}

static bool write_temp(struct edit_file *file, struct span text, struct err *err)
{
    struct stat old, new;

    if (stat(file->real, &old) != 0 || fstat(file->fd, &new) != 0)
        return failed(err, "stat", file->real);
    if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) &&
        fchown(file->fd, old.st_uid, old.st_gid) != 0)
        return failed(err, "keep the owner of", file->real);
    /* The rest of an edit that was killed may be there. */
    if (ftruncate(file->fd, 0) != 0 ||
        !file_write_full(file->fd, text.len ? text.ptr : "", text.len) ||
        fchmod(file->fd, old.st_mode & 07777) != 0 || fsync(file->fd) != 0)
        return failed(err, "write", file->temp);
    return true;
}

static bool sync_folder(const char *path, struct err *err)
{
    char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path) + 1);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok)
        failed(err, "fsync", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return ok;
}

bool edit_file_replace(struct edit_file *file, struct span text, struct err *err)
{
    if (!write_temp(file, text, err))
        return false;
    if (rename(file->temp, file->real) != 0)
        return failed(err, "rename", file->temp);
    file->replaced = true;
    return sync_folder(file->real, err);
}

void edit_file_close(struct edit_file *file)
{
    if (file->fd >= 0) {
        if (!file->replaced && still_there(file->fd, file->temp))
            unlink(file->temp);
        close(file->fd);
    }
    strbuf_free(&file->text);
    free(file->real);
    free(file->temp);
}
