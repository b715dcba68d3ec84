/* Key-value pairs in memory, in the order in which they came: what texthash, inline
 * and internal tables are made of. */
#ifndef TABLE_MEMORY_H
#define TABLE_MEMORY_H

#include "table/source.h"
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
    char *value; /* follows the entry and its key, or in memory of its own */
};

void memory_init(struct memory *mem);
void memory_free(struct memory *mem);
/* False: the key is there already and replace is not wanted. Copies. */
bool memory_put(struct memory *mem, struct span key, struct span value, bool replace);
const char *memory_get(const struct memory *mem, struct span key); /* NULL: none */
bool memory_remove(struct memory *mem, struct span key);
enum table_status memory_next(struct memory *mem, bool first, struct strbuf *key,
                              struct strbuf *value);
/* Load source text; bad lines and duplicates are logged and skipped, and with
 * TABLE_BASE64 entries whose files cannot be read. flags: of the table. */
void memory_load_source(struct memory *mem, const char *path, struct span text,
                        enum source_style style, unsigned flags);
/* The same for text that is a postmap source, or an alias file if it looks like that.
 */
void memory_load(struct memory *mem, const char *path, struct span text, bool fold);

#endif
