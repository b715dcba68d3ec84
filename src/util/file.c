#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

/* -- safe opening -- */

static bool parent_dir(const char *path, char out[PATH_MAX])
{
    char copy[PATH_MAX];

    if (strlen(path) >= sizeof copy)
        return false;
    strcpy(copy, path);
    strcpy(out, dirname(copy));
    return true;
}

/* Only root can have put this link where it is. */
static bool link_is_roots(const char *path)
{
    char dir[PATH_MAX];
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode) || st.st_uid != 0)
        return false;
    if (!parent_dir(path, dir) || stat(dir, &st) < 0)
        return false;
    return st.st_uid == 0 && !(st.st_mode & S_IWOTH);
}

static int refuse(int fd, struct err *err, const char *path, const char *why)
{
    if (fd >= 0)
        close(fd);
    err_set(err, "open file %s: %s", path, why);
    errno = EPERM;
    return -1;
}

static int refuse_errno(int fd, struct err *err, const char *path)
{
    int saved_errno = errno;

    refuse(fd, err, path, strerror(saved_errno));
    errno = saved_errno;
    return -1;
}

/* O_TRUNC waits until the file was looked at; O_NONBLOCK, because opening a FIFO
 * somebody planted would block. */
static int open_existing(const char *path, int flags)
{
    int fd;

    flags &= ~(O_CREAT | O_EXCL | O_TRUNC);
    flags |= O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    fd = open(path, flags | O_NOFOLLOW);
    if (fd < 0 && errno == ELOOP) {
        if (link_is_roots(path))
            return open(path, flags);
        errno = ELOOP;
    }
    return fd;
}

static int check_existing(int fd, const char *path, int flags, struct stat *st,
                          struct err *err)
{
    if (fstat(fd, st) < 0)
        return refuse_errno(fd, err, path);
    if (!S_ISREG(st->st_mode))
        return refuse(fd, err, path, "not a regular file");
    if (st->st_nlink != 1)
        return refuse(fd, err, path,
                      st->st_nlink ? "file has more than one hard link"
                                   : "file was removed meanwhile");
    if ((flags & O_TRUNC) && ftruncate(fd, 0) < 0)
        return refuse_errno(fd, err, path);
    if (!(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

static int finish_created(int fd, const char *path, uid_t uid, gid_t gid,
                          struct stat *st, struct err *err)
{
    if ((uid != (uid_t)-1 || gid != (gid_t)-1) && fchown(fd, uid, gid) < 0)
        return refuse_errno(fd, err, path);
    if (fstat(fd, st) < 0)
        return refuse_errno(fd, err, path);
    return fd;
}

int file_open_safe(const char *path, int flags, mode_t mode, uid_t uid, gid_t gid,
                   struct stat *stat_out, struct err *err)
{
    struct stat unused, *st = stat_out ? stat_out : &unused;
    int fd;

    /* The file may come and go between the two ways to open it. */
    for (int attempt = 0; attempt < 5; attempt++) {
        if (!(flags & O_CREAT) || !(flags & O_EXCL)) {
            fd = open_existing(path, flags);
            if (fd >= 0)
                return check_existing(fd, path, flags, st, err);
            if (errno == ELOOP)
                return refuse(-1, err, path, "file is a symbolic link");
            if (errno != ENOENT || !(flags & O_CREAT))
                break;
        }
        fd = open(path, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
                  mode);
        if (fd >= 0)
            return finish_created(fd, path, uid, gid, st, err);
        if (errno != EEXIST || (flags & O_EXCL))
            break;
    }
    return refuse_errno(-1, err, path);
}

/* -- whole files -- */

static bool read_all(int fd, size_t max, struct strbuf *sb, const char *path,
                     struct err *err)
{
    size_t start = sb->len;

    for (;;) {
        ssize_t count;

        strbuf_reserve(sb, 8192);
        count = read(fd, sb->ptr + sb->len, 8192);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return err_set(err, "read %s: %s", path, strerror(errno));
        sb->len += (size_t)count;
        sb->ptr[sb->len] = '\0';
        if (sb->len - start > max)
            return err_set(err, "read %s: more than %zu bytes", path, max);
        if (count == 0)
            return true;
    }
}

bool file_read_all(const char *path, size_t max, struct strbuf *sb, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t start = sb->len;
    bool ok;

    if (fd < 0)
        return err_set(err, "open %s: %s", path, strerror(errno));
    ok = read_all(fd, max, sb, path, err);
    if (!ok)
        strbuf_truncate(sb, start);
    close(fd);
    return ok;
}

bool file_write_full(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t count = write(fd, at, len);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        len -= (size_t)count;
    }
    return true;
}

static bool sync_dir(const char *path)
{
    char dir[PATH_MAX];
    int fd = parent_dir(path, dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool write_temp(int fd, const char *path, struct span content, mode_t mode)
{
    struct stat old;

    if (stat(path, &old) == 0) {
        mode = old.st_mode & 07777;
        if (fchown(fd, old.st_uid, old.st_gid) < 0 && geteuid() == 0)
            return false;
    }
    return fchmod(fd, mode) == 0 && file_write_full(fd, content.ptr, content.len) &&
           fsync(fd) == 0;
}

bool file_replace(const char *path, struct span content, mode_t mode, struct err *err)
{
    char real[PATH_MAX], temp[PATH_MAX];
    int fd;
    bool ok;

    /* A symbolic link stays one: the file that it names is replaced. */
    if (!realpath(path, real)) {
        if (errno != ENOENT || strlen(path) >= sizeof real)
            return err_set(err, "replace %s: %s", path, strerror(errno));
        strcpy(real, path);
    }
    if ((size_t)snprintf(temp, sizeof temp, "%s.tmp.XXXXXX", real) >= sizeof temp)
        return err_set(err, "replace %s: %s", path, strerror(ENAMETOOLONG));
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return err_set(err, "create %s: %s", temp, strerror(errno));
    ok = write_temp(fd, real, content, mode);
    if (close(fd) < 0)
        ok = false;
    if (ok && rename(temp, real) == 0) {
        if (sync_dir(real))
            return true;
        return err_set(err, "fsync directory of %s: %s", real, strerror(errno));
    }
    err_set(err, "replace %s: %s", real, strerror(errno));
    unlink(temp);
    return false;
}

#ifdef __linux__
bool file_needs_dir_sync(int fd)
{
    static const uint32_t magics[] = {
        0x0000EF53, /* ext4 */
        0x58465342, /* xfs */
        0x9123683E, /* btrfs */
        0xF2F52010, /* f2fs */
        0x01021994, /* tmpfs: nothing is durable anyway */
    };
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if ((uint32_t)fs.f_type == magics[i])
            return false;
    return true;
}
#else
bool file_needs_dir_sync(int fd)
{
    (void)fd;
    return true;
}
#endif
