#include "global/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "util/timefmt.h"

#define HASH_DEPTH_MAX  8
#define DIR_MODE        0700
#define CREATE_ATTEMPTS 1000

void queue_init(struct queue *q, const struct config *cfg, struct arena *arena)
{
    struct span rest = span_str(cfg->hash_queue_names), token;
    const char **names;
    size_t count = 0;

    names = arena_alloc(arena, (rest.len / 2 + 2) * sizeof *names);
    while (span_token(&rest, ", \t\r\n", &token))
        names[count++] = arena_span_str(arena, token);
    q->cfg = cfg;
    q->hash_names = names;
    q->hash_depth = (int)cfg->hash_queue_depth;
    if (q->hash_depth > HASH_DEPTH_MAX)
        q->hash_depth = HASH_DEPTH_MAX;
}

static bool is_hashed(const struct queue *q, const char *queue_name)
{
    for (size_t i = 0; q->hash_names[i]; i++)
        if (strcmp(q->hash_names[i], queue_name) == 0)
            return true;
    return false;
}

/* What the hash directories are named after: the characters of a short id (which
 * starts with microseconds), or the microseconds of a long one. */
static void hash_text(const char *id, char out[QUEUE_ID_MAX])
{
    int64_t sec, usec;

    if (queue_id_time(span_str(id), &sec, &usec))
        snprintf(out, QUEUE_ID_MAX, "%05X", (unsigned)usec);
    else
        snprintf(out, QUEUE_ID_MAX, "%s", id);
}

void queue_path(const struct queue *q, const char *queue_name, const char *id,
                char out[QUEUE_PATH_MAX])
{
    char text[QUEUE_ID_MAX], dirs[2 * HASH_DEPTH_MAX + 1];
    size_t len = 0;

    if (is_hashed(q, queue_name)) {
        const char *cp = text;

        hash_text(id, text);
        for (int depth = 0; depth < q->hash_depth; depth++) {
            dirs[len++] = *cp ? *cp++ : '_';
            dirs[len++] = '/';
        }
    }
    dirs[len] = '\0';
    snprintf(out, QUEUE_PATH_MAX, "%s/%s%s", queue_name, dirs, id);
}

/* Make the missing directories of a path. */
static bool make_dirs(const char *path)
{
    char dir[QUEUE_PATH_MAX];

    for (const char *cp = strchr(path, '/'); cp; cp = strchr(cp + 1, '/')) {
        snprintf(dir, sizeof dir, "%.*s", (int)(cp - path), path);
        if (mkdir(dir, DIR_MODE) < 0 && errno != EEXIST)
            return false;
    }
    return true;
}

static int rename_path(const char *from, const char *to)
{
    if (rename(from, to) == 0)
        return 0;
    if (errno != ENOENT)
        return -1;
    /* Either the source is gone, or a hash directory was never made. */
    if (access(from, F_OK) < 0 || !make_dirs(to))
        return -1;
    return rename(from, to);
}

/* Until the inode number is known, so that the id can be made, a file has a name
 * that is no queue id: what a crash leaves behind is recognised and swept. */
static int create_temporary(const char *queue_name, int64_t now_us,
                            char path[QUEUE_PATH_MAX])
{
    for (int i = 0; i < CREATE_ATTEMPTS; i++) {
        int fd;

        snprintf(path, QUEUE_PATH_MAX, "%s/%d.%d", queue_name,
                 (int)((now_us + i) % 1000000), (int)getpid());
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  QUEUE_MODE_WRITING);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static int discard_temporary(int fd, const char *path)
{
    int saved = errno;

    unlink(path);
    close(fd);
    errno = saved;
    return -1;
}

int queue_create(const struct queue *q, const char *queue_name,
                 char id_out[QUEUE_ID_MAX], struct timeval *time_out)
{
    char temporary[QUEUE_PATH_MAX], path[QUEUE_PATH_MAX];
    int64_t now_us = time_now_us();
    struct stat st;
    int fd;

    fd = create_temporary(queue_name, now_us, temporary);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return discard_temporary(fd, temporary);
    if (q->cfg->enable_long_queue_ids)
        queue_id_long(id_out, now_us / 1000000, now_us % 1000000, st.st_ino);
    else
        queue_id_short(id_out, now_us % 1000000, st.st_ino);
    queue_path(q, queue_name, id_out, path);
    if (rename_path(temporary, path) < 0)
        return discard_temporary(fd, temporary);
    *time_out = (struct timeval){now_us / 1000000, now_us % 1000000};
    return fd;
}

int queue_open(const struct queue *q, const char *queue_name, const char *id, int flags)
{
    char path[QUEUE_PATH_MAX];
    struct stat st;
    int fd;

    queue_path(q, queue_name, id, path);
    fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

int queue_rename(const struct queue *q, const char *from, const char *to,
                 const char *id)
{
    char from_path[QUEUE_PATH_MAX], to_path[QUEUE_PATH_MAX];

    queue_path(q, from, id, from_path);
    queue_path(q, to, id, to_path);
    return rename_path(from_path, to_path);
}

int queue_remove(const struct queue *q, const char *queue_name, const char *id)
{
    char path[QUEUE_PATH_MAX];

    queue_path(q, queue_name, id, path);
    return unlink(path);
}
