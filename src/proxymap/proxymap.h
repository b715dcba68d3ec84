/* The parts of the proxymap service. */
#ifndef PROXYMAP_PROXYMAP_H
#define PROXYMAP_PROXYMAP_H

#include "table/table.h"
#include "util/hash.h"
#include "util/loop.h"

/* -- approved.c: names that stand behind "proxy:" in a list of settings -- */

struct approved {
    struct arena *arena;
    struct hash names;
};
/* list: text of proxy_read_maps. Elements of another form are ignored; lists in braces
 * and tables of tables are searched too. */
void approved_init(struct approved *approved, const char *list);
void approved_free(struct approved *approved);
bool approved_has(const struct approved *approved, struct span name);

/* -- open.c: tables by name and flags -- */

struct open_table;
struct open_tables {
    const struct table_env *env;
    enum table_mode mode;
    struct hash by_key;
    int64_t next_check;
};
void open_tables_init(struct open_tables *tables, const struct table_env *env,
                      enum table_mode mode);
void open_tables_free(struct open_tables *tables);
/* Never NULL: what cannot be opened is a table that answers "retry", and is tried again
 * after some time. Put back with open_tables_put; until then the table stays open, even
 * when a newer one takes its name. */
struct open_table *open_tables_get(struct open_tables *tables, struct span name,
                                   unsigned asked);
void open_tables_put(struct open_table *open);
struct table *open_table(const struct open_table *open);

/* -- cursor.c: walks, each on a table of its own; forgotten when nobody goes on -- */

struct cursors {
    const struct table_env *env;
    enum table_mode mode;
    struct list all; /* used last first */
    size_t count;
    int64_t last_id;
    struct loop_timer timer;
};
void cursors_init(struct cursors *cursors, const struct table_env *env,
                  enum table_mode mode);
void cursors_free(struct cursors *cursors);
/* Append a batch of entries and the cursor to reply. id 0 starts over. */
enum table_status cursors_next(struct cursors *cursors, struct span name,
                               unsigned asked, int64_t id, struct strbuf *reply,
                               struct err *err);

#endif
