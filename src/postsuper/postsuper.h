#ifndef POSTSUPER_POSTSUPER_H
#define POSTSUPER_POSTSUPER_H

#include "global/queue.h"
#include "util/arena.h"

/* What may be done to a message. */
enum action {
    ACT_DELETE,
    ACT_EXPIRE,
    ACT_EXPIRE_RELEASE,
    ACT_HOLD,
    ACT_RELEASE,
    ACT_REQUEUE,
    ACT_COUNT
};

/* What is told at the end, in this order. */
enum total {
    TOTAL_REQUEUED,
    TOTAL_DELETED,
    TOTAL_EXPIRED,
    TOTAL_HELD,
    TOTAL_RELEASED,
    TOTALS
};

struct super {
    const struct config *cfg;
    struct queue queue;
    const char *const *queues; /* to look in, NULL-terminated */
    int64_t totals[TOTALS];
    int64_t renamed; /* by the structure check */
    bool long_names_too;
    bool wake_qmgr, wake_pickup;
};

/* actions.c: one message by id, with a line in the log, or all without. */
void action_on_message(struct super *s, enum action action, const char *id);
void action_on_all(struct super *s, enum action action);
/* requested: bits by enum action. */
void action_report(const struct super *s, unsigned requested);

/* structure.c. long_names_too: long ids are to hold the inode number, too. Returns
 * how many messages have a new name. */
int64_t structure_check(struct super *s, bool long_names_too);
void structure_purge(struct super *s);

#endif
