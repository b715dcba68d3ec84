/* What a kind of table provides. To add one: a file type_NAME.c with a const struct
 * table_type, and a line in table_registry.c. */
#ifndef TABLE_TABLE_TYPE_H
#define TABLE_TABLE_TYPE_H

#include "table/table.h"
#include "util/fiber.h"

struct table_type;

/* Embedded first in the state of every kind. */
struct table {
    const struct table_type *type;
    const struct table_env *env;
    const char *full_name; /* "type:name" */
    const char *name;      /* behind the colon */
    enum table_mode mode;
    unsigned flags;
    struct strbuf key; /* scratch: folded key */
    bool watched;      /* for table_changed */
    int watched_fd;
    struct timespec watched_mtime;
    bool thread_safe; /* from type; open may change it */
    bool busy;        /* a blocking call is under way */
    struct fiber_queue waiters;
    struct strbuf seq_key, seq_value; /* behind table_next */
};

struct table_type {
    const char *name;
    size_t size;    /* of the state, which starts with struct table; zeroed */
    unsigned flags; /* FIXED or PATTERN, BLOCKS; open may change table->flags */
    bool buildable, updatable;
    bool thread_safe; /* BLOCKS: calls other than next may run in parallel */

    /* table->name, mode and flags are set. On false close is called too. From open,
     * lookup and update that succeed, a text in err is a warning for the log; it is
     * empty before the call. */
    bool (*open)(struct table *table, struct err *err);
    void (*close)(struct table *table);
    /* Append the value to the empty strbuf. BLOCKS: this, update, remove and next run
     * on worker threads and touch nothing but their arguments; next only one at a time.
     */
    enum table_status (*lookup)(struct table *table, struct span key,
                                struct strbuf *value, struct err *err);
    /* Optional from here. */
    enum table_status (*update)(struct table *table, struct span key, struct span value,
                                struct err *err);
    enum table_status (*remove)(struct table *table, struct span key, struct err *err);
    enum table_status (*next)(struct table *table, bool first, struct strbuf *key,
                              struct strbuf *value, struct err *err);
    int (*build_fd)(const struct table *table); /* TABLE_CREATE: of the new file */
    bool (*commit)(struct table *table, struct err *err);
    bool (*lock)(struct table *table, struct err *err);
    bool (*unlock)(struct table *table, struct err *err);
    bool (*flush)(struct table *table, struct err *err);
    bool (*changed)(const struct table *table); /* instead of watched */
};

/* For tables made of tables: the look-up of the inner one as it is, with folding, on
 * whatever thread this is. */
enum table_status table_lookup_inner(struct table *inner, struct span key,
                                     struct strbuf *value, struct err *err);
/* NULL: unknown. */
const struct table_type *table_type_find(struct span name);
/* Watch the file behind fd, which stays open, for table_changed. Works in a chroot. */
void table_watch(struct table *table, int fd);
bool table_file_changed(const struct table *table); /* what watching says */
/* May this code wait as a fiber? Not on a worker thread, and not in plain commands. */
bool table_in_fiber(void);
/* Setting of main.cf, or otherwise. */
int64_t table_param_num(const struct table *table, const char *name, int64_t otherwise);
/* Length of the balanced "{ ... }" at the start; 0: there is none, or it is not closed.
 */
size_t table_braces(struct span text);
/* "{ ... }" text of the inline forms: the inside, or false. */
bool table_inline_text(const struct table *table, struct span *inside_out);

#endif
