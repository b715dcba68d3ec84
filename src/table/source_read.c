#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "table/source.h"

#define READ_SIZE ((size_t)256 * 1024)
#define TRIES     30
#define PAUSE_S   1

bool source_read_fd(int fd, size_t max, struct strbuf *text, struct err *err)
{
    for (;;) {
        strbuf_reserve(text, READ_SIZE);
        ssize_t count = read(fd, text->ptr + text->len, READ_SIZE);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return err_set(err, "%s", strerror(errno));
        if (count == 0)
            return true;
        text->len += (size_t)count;
        text->ptr[text->len] = '\0';
        if (text->len > max)
            return err_set(err, "larger than %zu bytes", max);
    }
}

static bool same_state(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool read_stable(int fd, size_t max, struct strbuf *text, struct stat *st,
                        struct err *err)
{
    struct stat after;

    for (int i = 0; i < TRIES; i++) {
        if (i > 0)
            sleep(PAUSE_S);
        strbuf_reset(text);
        if (fstat(fd, st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
            return err_set(err, "%s", strerror(errno));
        if (S_ISREG(st->st_mode) && st->st_size > 0 && (size_t)st->st_size <= max)
            strbuf_reserve(text, (size_t)st->st_size + READ_SIZE);
        if (!source_read_fd(fd, max, text, err))
            return false;
        if (fstat(fd, &after) == 0 && same_state(st, &after))
            return true;
    }
    return err_set(err, "changes all the time");
}

bool source_read(const char *path, size_t max, struct strbuf *text, struct stat *st_out,
                 struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_set(err, "%s", strerror(errno));
    bool ok = read_stable(fd, max, text, &st, err);
    close(fd);
    if (st_out)
        *st_out = st;
    return ok;
}
