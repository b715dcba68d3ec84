/* A list of tables searched in order, as "virtual_alias_maps = hash:/a, inline:{ ...
 * }". Look-up trouble is logged here, once a call, as "T:N lookup error for "KEY"".
 * Search for mail addresses with their partial keys is global/addr_find.h. */
#ifndef TABLE_MAPS_H
#define TABLE_MAPS_H

#include "table/table.h"

struct maps;

/* title: the parameter's name, for messages. names: tables separated by commas and
 * white space, braces respected. Never NULL: a table that cannot be opened is logged
 * as an error and stays in the list as one that answers "retry", because mail must not
 * be treated as if it were empty. flags: TABLE_NO_FOLD, TABLE_UTF8. */
struct maps *maps_open(const struct table_env *env, const char *title,
                       const char *names, unsigned flags);
void maps_close(struct maps *maps); /* NULL allowed */

/* kinds: TABLE_FIXED, TABLE_PATTERN, or both (0): which tables to ask. An empty value
 * is logged and counts as not found. Broken is reported as TABLE_RETRY. */
enum table_status maps_find(struct maps *maps, struct span key, unsigned kinds,
                            struct arena *arena, const char **value_out);
/* Name of the table that answered last with found or retry; "" none. */
const char *maps_last(const struct maps *maps);
bool maps_empty(const struct maps *maps); /* no tables at all */
const char *maps_title(const struct maps *maps);
/* Name of a table that has changed on disk, or NULL. */
const char *maps_changed(const struct maps *maps);

#endif
