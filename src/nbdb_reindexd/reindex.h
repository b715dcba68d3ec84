/* Parts of nbdb_reindexd: may the index of a table be built, and by whom; building. */
#ifndef NBDB_REINDEXD_REINDEX_H
#define NBDB_REINDEXD_REINDEX_H

#include <sys/stat.h>

#include "master/service.h"
#include "util/err.h"

enum reindex_verdict {
    REINDEX_NEEDED,
    REINDEX_FRESH, /* there is an index that is as new as its source */
    REINDEX_REFUSED,
};

struct reindex_check {
    /* Asked */
    const char *path;                          /* of the source, as in main.cf */
    const char *root_prefixes, *user_prefixes; /* lists of directories */
    uid_t root; /* whom root_prefixes is about: 0, or who runs a rootless system */
    /* Answered; of these a refusal sets err only */
    struct err err;
    struct stat source;
    char *real_path; /* of the source, without symbolic links; caller frees */
    bool is_missing; /* the index; else it is old */
};

/* Runs with all rights, so that the answer is that of the file system. A table may be
 * built when no one but the owner of its source could make the build do anything else:
 * by replacing a file, or a directory on the way. */
enum reindex_verdict reindex_check(struct reindex_check *check);
/* Absolute, without empty, "." and ".." components and control characters. */
bool reindex_path_is_clean(struct span path);
/* path is below one of the directories of a list as in main.cf. */
bool reindex_path_is_below(const char *path, const char *prefixes);

/* Is the table one of alias_maps or alias_database, whose source is of postalias? */
bool reindex_is_alias(const struct config *cfg, struct span path);
/* Fiber only. Build the index with the rights of the owner of the source. Output is
 * logged. False with err. */
bool reindex_build(const struct config *cfg, const struct reindex_check *check,
                   const char *type, struct err *err);

#endif
