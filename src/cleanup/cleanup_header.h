/* What the parts of header processing share. Private to cleanup_header*.c. */
#ifndef CLEANUP_CLEANUP_HEADER_H
#define CLEANUP_CLEANUP_HEADER_H

#include "cleanup/cleanup.h"
#include "global/header.h"

static inline bool header_was_seen(const struct cleanup_msg *msg, enum header_id id)
{
    return msg->headers_seen >> id & 1;
}

/* Headers of remote clients are theirs: they are rewritten and completed only when a
 * domain is set aside to make their addresses complete. */
bool header_may_rewrite(const struct cleanup_msg *msg);

/* cleanup_header_add.c: complete the headers, see cleanup_header_end. */
void header_add_missing(struct cleanup_msg *msg);
/* One header, lines separated by \n, as content records. */
void header_write(struct cleanup_msg *msg, struct span text);

#endif
