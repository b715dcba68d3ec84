/* The syntax of lists of destinations, as in alias, .forward and :include: files. Users
 * write them: any input is taken somehow. */
#ifndef LOCAL_LOCAL_ITEM_H
#define LOCAL_LOCAL_ITEM_H

#include "util/arena.h"

/* Take the next item off *rest: up to a comma or line end outside quotes, comments and
 * angle brackets. Lines whose first character is # are skipped. The item may be empty;
 * quotes end with their line at the latest. */
bool local_item_next(struct span *rest, struct span *item_out);
/* The item without quotes when it is quoted as a whole ("|command", |"command"), else
 * as it is. */
const char *local_item_text(struct span item, struct arena *arena);

#endif
