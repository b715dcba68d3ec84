/* pickup(8): carries messages from the maildrop queue, where users put them with
 * postdrop, to cleanup. Each message has a fiber; a file is removed once cleanup has
 * the message safely. */
#ifndef PICKUP_PICKUP_H
#define PICKUP_PICKUP_H

#include "global/cleanup_client.h"
#include "master/service.h"
#include "util/hash.h"

/* Messages under way at a time. */
#define PICKUP_PARALLEL 20

struct pickup {
    struct service *svc;
    const struct config *cfg;
    struct queue queue;
    struct cleanup_client *cleanup;
    int cleanup_flags;
    bool scanning, again; /* again: look once more, something has come meanwhile */
    size_t active;
    struct fiber_queue room;
    struct hash files; /* struct pickup_file: not to be taken by the next scan */
    struct loop_timer retry_timer;
    int64_t retry_ms;
};

/* What is to be done with a file. */
enum pickup_outcome {
    PICKUP_DONE,    /* remove it */
    PICKUP_SKIP,    /* not ready, or gone */
    PICKUP_RETRY,   /* keep it and try again later */
    PICKUP_CORRUPT, /* move it to the corrupt queue */
};

/* pickup_message.c: one message, from its open to cleanup's answer. Logs trouble. */
enum pickup_outcome pickup_message(struct pickup *pk, const char *id, const char *path);

/* pickup_copy.c */
struct pickup_source {
    const char *path, *id; /* id of the maildrop file */
    int fd;
    uid_t uid;
    bool requeued;  /* by postsuper: a queue file, written by the mail system */
    int64_t time_s; /* when it was put into maildrop */
};
/* Copy records to cleanup, with what pickup adds. PICKUP_DONE: all was copied, ready to
 * be committed. */
enum pickup_outcome pickup_copy(struct pickup *pk, const struct pickup_source *src,
                                struct cleanup_message *msg);

#endif
