#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/queue.h"
#include "postmulti/postmulti.h"
#include "util/msg.h"

#define DEPTH_MAX 12 /* more than hash directories can have */

/* Directories below queue_directory; those with mail lose no file. */
static const struct queue_row {
    const char *name;
    bool has_mail;
} queue_rows[] = {
    {"maildrop", true}, {"incoming", true}, {"active", true}, {"deferred", true},
    {"hold", true},     {"corrupt", true},  {"saved", true},  {"bounce", false},
    {"defer", false},   {"trace", false},   {"flush", false}, {"pid", false},
    {"private", false}, {"public", false},
};

static bool report_mail(void *arg UNUSED, const char *id UNUSED,
                        const char *path UNUSED)
{
    return false;
}

static void refuse_mail(struct postmulti *pm, const struct instance *instance)
{
    struct queue queue;

    if (chdir(instance->queue_directory) < 0) {
        if (errno == ENOENT)
            return;
        msg_fatal("chdir %s: %s", instance->queue_directory, strerror(errno));
    }
    queue_init(&queue, instance->cfg, pm->arena);
    for (size_t i = 0; i < ARRAY_LEN(queue_rows); i++)
        if (queue_rows[i].has_mail && access(queue_rows[i].name, F_OK) == 0 &&
            !queue_scan(&queue, queue_rows[i].name, report_mail, NULL))
            msg_fatal("Instance '%s' mail queue is not empty: %s/%s", instance->dir,
                      instance->queue_directory, queue_rows[i].name);
    if (chdir("/") < 0)
        msg_fatal("chdir /: %s", strerror(errno));
}

/* What is left over is named once, by whoever removes the directory around it. */
static void remove_content(int parent, const char *name, bool keeps_files, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat st;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            remove_content(fd, entry->d_name, keeps_files, depth + 1);
            unlinkat(fd, entry->d_name, AT_REMOVEDIR);
        } else if (!S_ISDIR(st.st_mode) && !(keeps_files && S_ISREG(st.st_mode)))
            unlinkat(fd, entry->d_name, 0);
    }
    closedir(dir);
}

static bool remove_directory(const char *path)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return true;
    msg_warn("%s is left: %s", path, strerror(errno));
    return false;
}

static bool remove_queue(struct postmulti *pm, const struct instance *instance)
{
    bool all = true;

    for (size_t i = 0; i < ARRAY_LEN(queue_rows); i++) {
        const char *path = arena_printf(pm->arena, "%s/%s", instance->queue_directory,
                                        queue_rows[i].name);

        remove_content(AT_FDCWD, path, queue_rows[i].has_mail, 0);
        all &= remove_directory(path);
    }
    return remove_directory(instance->queue_directory) && all;
}

/* Caches and locks by their usual names; other files are somebody's. */
static bool is_our_data(struct span name)
{
    static const char *const suffixes[] = {"_cache.lmdb", "_scache.lmdb", ".lmdb.tmp"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (span_ends(name, span_str(suffixes[i])))
            return true;
    return span_eq_str(name, "master.lock") || span_eq_str(name, "prng_exch");
}

static bool remove_data(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL)
        if (is_our_data(span_str(entry->d_name)))
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    return remove_directory(path);
}

static bool remove_config(struct postmulti *pm, const char *dir)
{
    unlink(arena_printf(pm->arena, "%s/main.cf", dir));
    unlink(arena_printf(pm->arena, "%s/master.cf", dir));
    return remove_directory(dir);
}

int edit_destroy(struct postmulti *pm)
{
    struct instance *instance;
    bool all;

    if (pm->argc > 0)
        msg_fatal("Parameter overrides not valid with '-e destroy'");
    instance = instance_selected(pm);
    edit_refuse_removal(instance);
    refuse_mail(pm, instance);
    /* First of all: a listed instance without main.cf would hinder every command. */
    edit_list_instance(pm, instance->dir, false);
    all = remove_queue(pm, instance);
    all &= remove_data(instance->data_directory);
    all &= remove_config(pm, instance->dir);
    return all ? 0 : 1;
}
