#include "nbdb_reindexd/reindex.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define LIST_SEPARATORS ", \t\r\n"
#define INDEX_SUFFIX    ".lmdb"

bool reindex_path_is_clean(struct span path)
{
    if (path.len < 2 || path.len >= PATH_MAX - sizeof INDEX_SUFFIX ||
        path.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < path.len; i++)
        if ((unsigned char)path.ptr[i] < ' ' || path.ptr[i] == 127)
            return false;
    path = span_skip(path, 1);
    while (path.ptr) {
        struct span component = span_cut(&path, '/');
        if (component.len == 0 || span_eq_str(component, ".") ||
            span_eq_str(component, ".."))
            return false;
    }
    return true;
}

static bool is_below(struct span path, struct span dir)
{
    while (dir.len > 0 && dir.ptr[dir.len - 1] == '/')
        dir.len--;
    return path.len > dir.len && span_starts(path, dir) && path.ptr[dir.len] == '/';
}

bool reindex_path_is_below(const char *path, const char *prefixes)
{
    struct span rest = span_str(prefixes), prefix;

    while (span_token(&rest, LIST_SEPARATORS, &prefix)) {
        if (prefix.ptr[0] != '/')
            continue;
        char *dir = xstrndup(prefix.ptr, prefix.len);
        char *real = realpath(dir, NULL);
        bool found = is_below(span_str(path), span_str(real ? real : dir));
        free(dir);
        free(real);
        if (found)
            return true;
    }
    return false;
}

/* The directory of path, real and without its links, and the last component. */
static char *make_real_path(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = xstrndup(path, (size_t)(slash - path));
    char *real = realpath(*dir ? dir : "/", NULL);
    struct strbuf full = STRBUF_INIT;

    if (!real)
        err_set(err, "directory %s: %s", *dir ? dir : "/", strerror(errno));
    else
        strbuf_addf(&full, "%s%s", strcmp(real, "/") == 0 ? "" : real, slash);
    free(dir);
    free(real);
    return full.len > 0 ? strbuf_detach(&full) : NULL;
}

static bool is_root(const struct reindex_check *check, uid_t uid)
{
    return uid == 0 || uid == check->root;
}

/* A group may be trusted by a user, but never by root. */
static bool others_write(const struct reindex_check *check, const struct stat *st)
{
    return (st->st_mode & S_IWOTH) ||
           ((st->st_mode & S_IWGRP) && is_root(check, check->source.st_uid));
}

static const char *kind_of_others(const struct stat *st)
{
    return st->st_mode & S_IWOTH ? "everyone" : "its group";
}

static bool directory_is_safe(struct reindex_check *check, const char *dir, bool last)
{
    uid_t owner = check->source.st_uid;
    struct stat st;

    if (stat(dir, &st) < 0)
        return err_set(&check->err, "directory %s: %s", dir, strerror(errno));
    if (last ? st.st_uid != owner : st.st_uid != owner && !is_root(check, st.st_uid))
        return err_set(&check->err,
                       "directory %s is owned by uid %ld, the source by uid %ld", dir,
                       (long)st.st_uid, (long)owner);
    /* Nobody can rename the entries of others in a sticky directory. */
    if (others_write(check, &st) && (last || !(st.st_mode & S_ISVTX)))
        return err_set(&check->err, "directory %s is writable by %s", dir,
                       kind_of_others(&st));
    return true;
}

static bool directories_are_safe(struct reindex_check *check)
{
    char *dir = xstrdup(check->real_path);
    bool safe = true;

    for (bool last = true; safe && strcmp(dir, "/") != 0; last = false) {
        char *slash = strrchr(dir, '/');
        slash[slash == dir] = '\0';
        safe = directory_is_safe(check, dir, last);
    }
    free(dir);
    return safe;
}

static bool source_is_allowed(struct reindex_check *check)
{
    const struct stat *st = &check->source;
    bool root = is_root(check, st->st_uid);

    if (!reindex_path_is_below(check->real_path,
                               root ? check->root_prefixes : check->user_prefixes))
        return err_set(&check->err,
                       "%s is owned by %s and is not below a directory of %s",
                       check->real_path, root ? "root" : "a user",
                       root ? "non_bdb_migration_allow_root_prefixes"
                            : "non_bdb_migration_allow_user_prefixes");
    if (!S_ISREG(st->st_mode))
        return err_set(&check->err, "%s is not a regular file", check->real_path);
    if (others_write(check, st))
        return err_set(&check->err, "%s is writable by %s", check->real_path,
                       kind_of_others(st));
    return directories_are_safe(check);
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static enum reindex_verdict index_verdict(struct reindex_check *check)
{
    struct strbuf index = STRBUF_INIT;
    struct stat st;
    enum reindex_verdict verdict;

    strbuf_addf(&index, "%s" INDEX_SUFFIX, check->real_path);
    if (lstat(index.ptr, &st) == 0)
        verdict = is_older(&st.st_mtim, &check->source.st_mtim) ? REINDEX_NEEDED
                                                                : REINDEX_FRESH;
    else
        check->is_missing = true, verdict = REINDEX_NEEDED;
    strbuf_free(&index);
    return verdict;
}

enum reindex_verdict reindex_check(struct reindex_check *check)
{
    check->real_path = NULL;
    check->is_missing = false;
    if (!reindex_path_is_clean(span_str(check->path))) {
        err_set(&check->err, "this is not a clean absolute path");
        return REINDEX_REFUSED;
    }
    check->real_path = make_real_path(check->path, &check->err);
    if (!check->real_path)
        return REINDEX_REFUSED;
    if (lstat(check->real_path, &check->source) < 0) {
        err_set(&check->err, "source %s: %s", check->real_path, strerror(errno));
        return REINDEX_REFUSED;
    }
    return source_is_allowed(check) ? index_verdict(check) : REINDEX_REFUSED;
}
