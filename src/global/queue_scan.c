#include "global/queue.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define SCAN_DEPTH_MAX 8 /* as deep as hash directories can be */

struct scan {
    bool (*visit)(void *arg, const char *id, const char *path);
    void *arg;
};

static bool is_directory(const char *path, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool scan_directory(const struct scan *scan, const char *dir_path, int depth);

/* A one-letter directory is a hash directory; it may be there though the queue is
 * no longer hashed, and the other way round. */
static bool scan_entry(const struct scan *scan, const char *dir_path, int depth,
                       const struct dirent *entry)
{
    struct span name = span_str(entry->d_name);
    char path[QUEUE_PATH_MAX];

    if (!queue_id_valid(name))
        return true;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir_path, entry->d_name) >=
        sizeof path)
        return true;
    if (!is_directory(path, entry))
        return scan->visit(scan->arg, entry->d_name, path);
    if (name.len == 1 && depth < SCAN_DEPTH_MAX)
        return scan_directory(scan, path, depth + 1);
    return true;
}

/* A hash directory that vanished meanwhile is empty; anything else that cannot be
 * read is a failure. */
static bool scan_directory(const struct scan *scan, const char *dir_path, int depth)
{
    DIR *dir = opendir(dir_path);
    const struct dirent *entry;
    bool go_on = true;

    if (!dir)
        return depth > 0 && errno == ENOENT;
    while (go_on && (entry = readdir(dir)) != NULL)
        go_on = scan_entry(scan, dir_path, depth, entry);
    closedir(dir);
    return go_on;
}

bool queue_scan(const struct queue *q, const char *queue_name,
                bool (*visit)(void *arg, const char *id, const char *path), void *arg)
{
    struct scan scan = {visit, arg};

    (void)q;
    return scan_directory(&scan, queue_name, 0);
}
