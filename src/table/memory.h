/* Key-value pairs in memory, in the order in which they came: what texthash, inline
 * and internal tables are made of. */
#ifndef TABLE_MEMORY_H
#define TABLE_MEMORY_H

#include "table/table_type.h"
#include "util/hash.h"
#include "util/list.h"

struct memory {
    struct hash by_key;
    struct list entries;
    struct list *cursor; /* of memory_next */
};

struct memory_entry {
    struct hash_node node;
    struct list link;
    const char *value;
};

void memory_init(struct memory *mem);
void memory_free(struct memory *mem);
/* False: the key is there already and replace is not wanted. Copies. */
bool memory_put(struct memory *mem, struct span key, struct span value, bool replace);
const char *memory_get(const struct memory *mem, struct span key); /* NULL: none */
bool memory_remove(struct memory *mem, struct span key);
enum table_status memory_next(struct memory *mem, bool first, struct strbuf *key,
                              struct strbuf *value);
/* Load postmap source text, or alias text when it looks like that; bad lines are
 * logged and skipped. fold: keys to lower case. */
void memory_load(struct memory *mem, const char *path, struct span text, bool fold);

#endif
