/* A new file in the maildrop queue. Until it is complete its name is no queue id
 * ("<microseconds>.<pid>"): what a crash leaves behind is never taken for mail, and
 * "postsuper -p" sweeps it. Errors are errno values. */
#ifndef POSTDROP_DROP_FILE_H
#define POSTDROP_DROP_FILE_H

#include <sys/time.h>

#include "global/queue.h"

struct drop_file {
    int fd; /* -1: none */
    char temporary[QUEUE_PATH_MAX];
    char path[QUEUE_PATH_MAX]; /* final name */
    char id[QUEUE_ID_MAX];
    int64_t size, limit; /* bytes; limit 0: none */
};

/* In the queue directory. 0 or errno. */
int drop_file_create(struct drop_file *df, const struct config *cfg);
/* EFBIG: beyond the limit. */
int drop_file_write(struct drop_file *df, struct span data);
/* Final name, mode "complete", then on disk. After an error nothing is left. */
int drop_file_finish(struct drop_file *df);
/* Safe in a signal handler. */
void drop_file_remove(struct drop_file *df);

#endif
