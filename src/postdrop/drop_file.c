#include "postdrop/drop_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "util/file.h"
#include "util/timefmt.h"

/* Complete, and readable for pickup, which runs as another user. */
#define MODE_COMPLETE (QUEUE_MODE_READY | 0044)
#define ATTEMPTS      1000

static int make_temporary(struct drop_file *df, int64_t now_us)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        snprintf(df->temporary, sizeof df->temporary, QUEUE_MAILDROP "/%d.%d",
                 (int)((now_us + i) % 1000000), (int)getpid());
        df->fd =
            open(df->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                 QUEUE_MODE_WRITING);
        if (df->fd >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    df->temporary[0] = '\0';
    return errno;
}

/* A signal must find either no file or one whose name is known. */
static int make_temporary_undisturbed(struct drop_file *df, int64_t now_us)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    error = make_temporary(df, now_us);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}

int drop_file_create(struct drop_file *df, const struct config *cfg)
{
    int64_t now_us = time_now_us();
    struct stat st;
    int error = make_temporary_undisturbed(df, now_us);

    if (error)
        return error;
    if (fstat(df->fd, &st) < 0) {
        error = errno;
        drop_file_remove(df);
        return error;
    }
    if (cfg->enable_long_queue_ids)
        queue_id_long(df->id, now_us / 1000000, now_us % 1000000, st.st_ino);
    else
        queue_id_short(df->id, now_us % 1000000, st.st_ino);
    snprintf(df->path, sizeof df->path, QUEUE_MAILDROP "/%s", df->id);
    df->limit = cfg->message_size_limit;
    return 0;
}

int drop_file_write(struct drop_file *df, struct span data)
{
    if (df->limit > 0 && (int64_t)data.len > df->limit - df->size)
        return EFBIG;
    if (!file_write_full(df->fd, data.ptr, data.len))
        return errno;
    df->size += (int64_t)data.len;
    return 0;
}

/* The set-gid group may write to the directory, not read it, so that others than the
 * superuser cannot sync it by itself. */
static int sync_directory(int file_fd)
{
    int fd = open(QUEUE_MAILDROP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error;

#ifdef __linux__
    if (fd < 0)
        return syncfs(file_fd) < 0 ? errno : 0;
#else
    (void)file_fd;
    if (fd < 0) {
        sync();
        return 0;
    }
#endif
    error = fsync(fd) < 0 ? errno : 0;
    close(fd);
    return error;
}

int drop_file_finish(struct drop_file *df)
{
    int error = 0;

    /* From here on pickup may take the file away, so that only its own name counts. */
    if (rename(df->temporary, df->path) < 0) {
        error = errno;
        drop_file_remove(df);
        return error;
    }
    memcpy(df->temporary, df->path, sizeof df->temporary);
    if (fchmod(df->fd, MODE_COMPLETE) < 0 || fsync(df->fd) < 0)
        error = errno;
    else if (file_needs_dir_sync(df->fd))
        error = sync_directory(df->fd);
    if (error) {
        drop_file_remove(df);
        return error;
    }
    close(df->fd);
    df->fd = -1;
    return 0;
}

void drop_file_remove(struct drop_file *df)
{
    if (df->fd < 0)
        return;
    unlink(df->temporary);
    close(df->fd);
    df->fd = -1;
}
