/* Repair of the queue's structure: files in the wrong hash directory, and short queue
 * ids that do not hold the file's inode number (after a restored backup: two files
 * could come to the same name later).
 *
 * Renaming goes in two steps through names with MARK behind them, so that no file
 * ever takes the place of another that is still to be renamed. In each step the logs
 * go before their message: a run that is interrupted anywhere is completed by the
 * next one, which finds the message under the old name or the marked one. */
#include "postsuper/postsuper.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "util/list.h"
#include "util/msg.h"

#define MARK       "#FIX"
#define TIME_CHARS 5 /* microseconds in front of a short id */
#define STALE_S    (24 * 3600)
#define DEPTH_MAX  8

struct found {
    struct list link;
    char path[QUEUE_PATH_MAX + 32];
    char name[QUEUE_ID_MAX + 32];
};

static const char *const log_queues[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};

static bool has_mark(const char *name)
{
    size_t len = strlen(name), mark = strlen(MARK);

    return len > mark && strcmp(name + len - mark, MARK) == 0;
}

static bool is_message_queue(const char *name)
{
    static const char *const names[] = {QUEUE_MAILDROP, QUEUE_INCOMING, QUEUE_ACTIVE,
                                        QUEUE_DEFERRED, QUEUE_HOLD};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* All files below a queue directory, whatever their names. */
static void walk(const char *dir_path, struct list *found, int depth)
{
    DIR *dir = opendir(dir_path);
    struct dirent *item;

    if (!dir) {
        if (errno != ENOENT)
            msg_warn("open %s: %s", dir_path, strerror(errno));
        return;
    }
    while ((item = readdir(dir)) != NULL) {
        char path[QUEUE_PATH_MAX + 32];
        struct stat st;

        if (item->d_name[0] == '.' || strlen(item->d_name) >= QUEUE_ID_MAX ||
            (size_t)snprintf(path, sizeof path, "%s/%s", dir_path, item->d_name) >=
                sizeof path ||
            lstat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            if (depth < DEPTH_MAX)
                walk(path, found, depth + 1);
        } else if (S_ISREG(st.st_mode)) {
            struct found *f = xcalloc(1, sizeof *f);

            strcpy(f->path, path);
            snprintf(f->name, sizeof f->name, "%s", item->d_name);
            list_append(found, &f->link);
        }
    }
    closedir(dir);
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

static bool move(const char *from, char *to)
{
    struct stat st;

    if (lstat(to, &st) == 0) {
        msg_warn("%s: not renamed to %s: that exists", from, to);
        return false;
    }
    if (rename(from, to) == 0)
        return true;
    make_parents(to);
    if (rename(from, to) == 0)
        return true;
    msg_warn("rename %s to %s: %s", from, to, strerror(errno));
    return false;
}

/* The id that fits the inode; false when the name is right as it is. */
static bool better_id(const char *id, ino_t inode, bool long_too,
                      char out[QUEUE_ID_MAX])
{
    int64_t sec, usec;

    if (!queue_id_time(span_str(id), &sec, &usec))
        snprintf(out, QUEUE_ID_MAX, "%.*s%lX", TIME_CHARS, id, (unsigned long)inode);
    else if (long_too)
        queue_id_long(out, sec, usec, inode);
    else
        return false;
    return strcmp(out, id) != 0;
}

static bool is_message_name(const char *id)
{
    if (!queue_id_valid(span_str(id)))
        return false;
    return queue_id_is_long(span_str(id)) ||
           (strlen(id) > TIME_CHARS && strspn(id, "0123456789ABCDEF") == strlen(id));
}

/* Ours while it is being written: <microseconds>.<pid>. */
static bool is_temporary(const char *name)
{
    struct span rest = span_str(name), first = span_cut(&rest, '.');

    return span_all_digits(first) && span_all_digits(rest);
}

static void mark_log(struct super *s, const char *log, const char *id,
                     const char *better)
{
    char from[QUEUE_PATH_MAX], to[QUEUE_PATH_MAX + sizeof MARK];

    queue_path(&s->queue, log, id, from);
    snprintf(to, sizeof to, "%s/%s" MARK, log, better);
    if (access(from, F_OK) == 0)
        move(from, to);
}

/* Step one: wrong ids get their right name with the mark. */
static void mark_file(struct super *s, const char *queue_name, const struct found *f)
{
    char id[QUEUE_ID_MAX], to[QUEUE_PATH_MAX + 32];
    struct stat st;

    if (has_mark(f->name) || is_temporary(f->name))
        return;
    if (!is_message_name(f->name)) {
        msg_warn("bogus file name: %s", f->path);
        return;
    }
    if (lstat(f->path, &st) < 0 ||
        !better_id(f->name, st.st_ino, s->long_names_too, id))
        return;
    for (size_t i = 0; i < ARRAY_LEN(log_queues); i++)
        mark_log(s, log_queues[i], f->name, id);
    snprintf(to, sizeof to, "%s/%s" MARK, queue_name, id);
    if (move(f->path, to))
        s->renamed++;
}

/* Step two: everything to where its name belongs. A log that has the name already
 * belongs to no message: nobody else may have that name. */
static void place_file(struct super *s, const char *queue_name, const struct found *f)
{
    char id[QUEUE_ID_MAX + 32], to[QUEUE_PATH_MAX];
    bool marked = has_mark(f->name);

    strcpy(id, f->name);
    if (marked)
        id[strlen(id) - strlen(MARK)] = '\0';
    if (!queue_id_valid(span_str(id)))
        return;
    queue_path(&s->queue, queue_name, id, to);
    if (strcmp(to, f->path) == 0)
        return;
    if (marked && !is_message_queue(queue_name))
        unlink(to);
    move(f->path, to);
}

static void each_file(struct super *s, const char *queue_name,
                      void (*fn)(struct super *, const char *, const struct found *))
{
    struct list found;

    list_init(&found);
    walk(queue_name, &found, 0);
    list_each_safe(link, &found)
    {
        struct found *f = list_entry(link, struct found, link);

        fn(s, queue_name, f);
        free(f);
    }
}

static bool is_log_queue(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(log_queues); i++)
        if (strcmp(log_queues[i], name) == 0)
            return true;
    return false;
}

int64_t structure_check(struct super *s, bool long_names_too)
{
    s->long_names_too = long_names_too;
    s->renamed = 0;
    for (size_t i = 0; s->queues[i]; i++)
        if (is_message_queue(s->queues[i]))
            each_file(s, s->queues[i], mark_file);
    for (size_t i = 0; i < ARRAY_LEN(log_queues); i++)
        each_file(s, log_queues[i], place_file);
    for (size_t i = 0; s->queues[i]; i++)
        if (!is_log_queue(s->queues[i]))
            each_file(s, s->queues[i], place_file);
    return s->renamed;
}

static void purge_file(struct super *s, const char *queue_name, const struct found *f)
{
    struct stat st;

    (void)s;
    (void)queue_name;
    if (!is_temporary(f->name) || lstat(f->path, &st) < 0 ||
        time(NULL) < st.st_mtime + STALE_S)
        return;
    if (unlink(f->path) == 0)
        msg_info("removed stale temporary file %s", f->path);
    else
        msg_warn("remove %s: %s", f->path, strerror(errno));
}

void structure_purge(struct super *s)
{
    for (size_t i = 0; s->queues[i]; i++)
        each_file(s, s->queues[i], purge_file);
}
