/* The headers that cleanup knows by name. Private to cleanup_header*.c. */
#ifndef CLEANUP_CLEANUP_HEADER_H
#define CLEANUP_CLEANUP_HEADER_H

#include "cleanup/cleanup.h"

enum header_use {
    HEADER_SENDER = 1, /* holds addresses: sender class */
    HEADER_RCPT = 2,   /* holds addresses: recipient class */
};

/* Those that are looked for when a message is completed; bits of headers_seen. */
enum header_bit {
    SEEN_FROM = 1, SEEN_DATE = 2, SEEN_MESSAGE_ID = 4, SEEN_RCPT = 8,
    SEEN_RESENT_FROM = 16, SEEN_RESENT_DATE = 32, SEEN_RESENT_MESSAGE_ID = 64,
    SEEN_RESENT_RCPT = 128,
};

struct header_kind {
    struct span name;
    unsigned use;  /* enum header_use */
    unsigned seen; /* enum header_bit */
    void (*special)(struct cleanup_msg *msg, const struct header_kind *kind,
                    struct span value);
};

const struct header_kind *header_kind_find(struct span name); /* NULL: any other */

/* cleanup_header_add.c: complete the headers, see cleanup_header_end. */
void header_add_missing(struct cleanup_msg *msg);
/* One header, lines separated by \n, as content records. */
void header_write(struct cleanup_msg *msg, struct span text);

#endif
