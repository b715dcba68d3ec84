#ifndef POSTSUPER_POSTSUPER_H
#define POSTSUPER_POSTSUPER_H

#include "global/queue.h"
#include "util/arena.h"

/* What may be done to a message. */
enum action { ACT_DELETE, ACT_EXPIRE, ACT_EXPIRE_RELEASE, ACT_HOLD, ACT_RELEASE,
              ACT_REQUEUE, ACT_COUNT };

struct super {
    const struct config *cfg;
    struct queue queue;
    const char *const *queues; /* to look in, NULL-terminated */
    int64_t done[ACT_COUNT];
    int64_t renamed;           /* by the structure check */
    bool wake_qmgr, wake_pickup;
};

/* actions.c: one message by id, or all. each_line: log it. */
bool action_on_message(struct super *s, enum action action, const char *id,
                       bool each_line);
void action_on_all(struct super *s, enum action action);
void action_report(const struct super *s, enum action action);

/* structure.c */
void structure_check(struct super *s, bool long_names_too);
void structure_purge(struct super *s);

#endif
