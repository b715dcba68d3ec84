/* Shared by the parts of postmap and postalias. */
#ifndef POSTMAP_POSTMAP_H
#define POSTMAP_POSTMAP_H

#include "global/config.h"
#include "postmap/content.h"
#include "table/table.h"

struct postmap {
    const struct config *cfg;
    const struct table_env *env;
    bool is_alias;        /* called as postalias */
    bool incremental;     /* -i */
    bool keep_root;       /* -o */
    bool drop_mode;       /* -p: do not take over the permissions of the source */
    bool files_as_values; /* -F */
    bool json;            /* -j */
    bool check_utf8;
    struct content_want content; /* -h -b -m: keys are in a message */
    unsigned flags;              /* for table_open */
};

/* Fatal exits name the table or file. name: "type:path". */
void postmap_build(const struct postmap *pm, const char *name);
void postmap_add_stdin(const struct postmap *pm, const char *name);

/* Each returns the exit status. key "-": keys from standard input. */
int postmap_query(const struct postmap *pm, char **names, const char *key);
int postmap_delete(const struct postmap *pm, char **names, const char *key);
int postmap_dump(const struct postmap *pm, char **names);

#endif
