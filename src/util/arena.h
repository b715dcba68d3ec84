/* Memory with a lifetime (process, session, transaction, scratch): allocate
 * freely, release everything at once. Not thread-safe; one owner each. */
#ifndef UTIL_ARENA_H
#define UTIL_ARENA_H

#include "util/span.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena);  /* NULL allowed */
void arena_reset(struct arena *arena); /* all allocations end; keeps one block */

void *arena_alloc(struct arena *arena, size_t size); /* 16-byte aligned, zeroed */
char *arena_str(struct arena *arena, const char *str);
char *arena_span_str(struct arena *arena, struct span s);   /* NUL-terminated copy */
struct span arena_span(struct arena *arena, struct span s); /* copy, NUL follows */
struct span arena_span_lower(struct arena *arena, struct span s);
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t arena_bytes(const struct arena *arena); /* total held, for limits */

#endif
