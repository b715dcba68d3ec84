#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "util/file.h"

static const struct style_row {
    const char *name;
    enum lock_style style;
} styles[] = {
    {"flock", LOCK_FLOCK},
    {"fcntl", LOCK_FCNTL},
    {"dotlock", LOCK_DOTLOCK},
};

static unsigned style_find(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(styles); i++)
        if (span_eq_str(name, styles[i].name))
            return styles[i].style;
    return 0;
}

bool lock_styles_parse(struct span text, unsigned *styles_out, struct err *err)
{
    struct span name;
    unsigned found = 0;

    while (span_token(&text, ", \t\r\n", &name)) {
        unsigned style = style_find(name);

        if (!style)
            return err_set(err, "unknown lock method: \"%.*s\"", SPAN_ARG(name));
        found |= style;
    }
    *styles_out = found;
    return true;
}

static int try_flock(int fd, enum lock_mode mode)
{
    static const int ops[] = {
        [LOCK_SHARED] = LOCK_SH | LOCK_NB,
        [LOCK_EXCLUSIVE] = LOCK_EX | LOCK_NB,
        [LOCK_UNLOCK] = LOCK_UN,
    };

    return flock(fd, ops[mode]);
}

/* The lock belongs to the open file where the system can do that: one process
 * serves many sessions, and those have to exclude each other too. Such locks and
 * the per-process ones of other programs see each other. */
static int try_fcntl(int fd, enum lock_mode mode)
{
    static const short types[] = {
        [LOCK_SHARED] = F_RDLCK,
        [LOCK_EXCLUSIVE] = F_WRLCK,
        [LOCK_UNLOCK] = F_UNLCK,
    };
    struct flock lock = {.l_type = types[mode], .l_whence = SEEK_SET};

#ifdef F_OFD_SETLK
    return fcntl(fd, F_OFD_SETLK, &lock);
#else
    return fcntl(fd, F_SETLK, &lock);
#endif
}

enum lock_result lock_try(int fd, enum lock_style style, enum lock_mode mode)
{
    int result;

    if (style != LOCK_FLOCK && style != LOCK_FCNTL)
        panic("lock_try: style %d", (int)style);
    do {
        result = style == LOCK_FLOCK ? try_flock(fd, mode) : try_fcntl(fd, mode);
    } while (result < 0 && errno == EINTR);
    if (result == 0)
        return LOCK_OK;
    return errno == EWOULDBLOCK || errno == EAGAIN || errno == EACCES ? LOCK_BUSY
                                                                      : LOCK_FAILED;
}

static bool lock_name(char out[PATH_MAX], const char *path)
{
    if ((size_t)snprintf(out, PATH_MAX, "%s.lock", path) < PATH_MAX)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

/* Renaming before unlinking: when somebody else has broken the stale lock and
 * made a new one in between, that one is put back. */
static void break_stale(const char *lock, const struct stat *stale)
{
    char aside[PATH_MAX + 32];
    struct stat moved;

    snprintf(aside, sizeof aside, "%s.%ld", lock, (long)getpid());
    if (rename(lock, aside) < 0)
        return;
    if (lstat(aside, &moved) == 0 &&
        (moved.st_ino != stale->st_ino || moved.st_dev != stale->st_dev) &&
        link(aside, lock) < 0) {
        /* A third lock exists already; nothing is left to put back. */
    }
    unlink(aside);
}

enum lock_result lock_dot_try(const char *path, unsigned stale_s)
{
    char lock[PATH_MAX];
    struct stat st;

    if (!lock_name(lock, path))
        return LOCK_FAILED;
    for (int attempt = 0; attempt < 3; attempt++) {
        int fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

        if (fd >= 0) {
            close(fd);
            return LOCK_OK;
        }
        if (errno != EEXIST)
            return LOCK_FAILED;
        if (lstat(lock, &st) < 0)
            continue;
        if (time(NULL) - st.st_ctime <= (time_t)stale_s)
            return LOCK_BUSY;
        break_stale(lock, &st);
    }
    return LOCK_BUSY;
}

void lock_dot_release(const char *path)
{
    char lock[PATH_MAX];

    if (lock_name(lock, path))
        unlink(lock);
}
