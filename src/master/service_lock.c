#include "master/service_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PID_WIDTH 32

enum lock_result service_lock_take(const char *path, int *fd_out, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    struct stat st;
    enum lock_result result;

    if (fd < 0) {
        err_set(err, "open lock file %s: %s", path, strerror(errno));
        return LOCK_FAILED;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 1) {
        err_set(err, "lock file %s is not a regular file with one name", path);
        close(fd);
        return LOCK_FAILED;
    }
    result = lock_try(fd, LOCK_FLOCK, LOCK_EXCLUSIVE);
    if (result == LOCK_OK) {
        *fd_out = fd;
        return LOCK_OK;
    }
    err_set(err, "unable to set exclusive lock on %s: %s", path,
            result == LOCK_BUSY ? "held by another process" : strerror(errno));
    close(fd);
    return result;
}

bool service_lock_write_pid(int fd, pid_t pid)
{
    char text[PID_WIDTH + 2];
    int len = snprintf(text, sizeof text, "%*ld\n", PID_WIDTH, (long)pid);

    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) == len;
}

static pid_t read_pid(int fd)
{
    char text[PID_WIDTH + 2];
    ssize_t len = pread(fd, text, sizeof text, 0);
    int64_t pid;

    if (len <= 0 || !span_i64(span_trim(span_of(text, (size_t)len)), &pid) ||
        pid <= 0 || pid > INT32_MAX)
        return -1;
    return (pid_t)pid;
}

pid_t service_lock_holder(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    pid_t holder;

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    switch (lock_try(fd, LOCK_FLOCK, LOCK_SHARED)) {
    case LOCK_OK:
        holder = 0;
        break;
    case LOCK_BUSY:
        holder = read_pid(fd);
        break;
    default:
        holder = -1;
        break;
    }
    close(fd);
    return holder;
}
