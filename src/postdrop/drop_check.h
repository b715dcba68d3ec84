/* Which records a user may hand in, and in which order: envelope (F S R V A i n),
 * M, content (N L), X, extracted (A R), E. */
#ifndef POSTDROP_DROP_CHECK_H
#define POSTDROP_DROP_CHECK_H

#include "util/span.h"

enum drop_stage { DROP_ENVELOPE, DROP_CONTENT, DROP_EXTRACTED, DROP_END };

struct drop_check {
    enum drop_stage stage;
    size_t line_limit; /* longest record data */
    size_t attr_limit; /* number of attributes */
    size_t attr_count;
    bool have_sender, have_recipient;
};

enum drop_verdict {
    DROP_KEEP,
    DROP_IGNORE,     /* an attribute that users cannot set */
    DROP_NO_EQUALS,  /* malformed attribute: ignore it too */
    DROP_UNEXPECTED, /* type not allowed here: refuse the message */
    DROP_TOO_LONG,   /* refuse */
    DROP_MALFORMED,  /* data that cannot be right: refuse */
};

/* One record with data; advances the stage. */
enum drop_verdict drop_check_record(struct drop_check *dc, int type, struct span data);
/* After E: is it a message with sender and recipients? */
bool drop_check_complete(const struct drop_check *dc);

#endif
