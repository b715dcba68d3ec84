/* The queue directory: ids, names, directories, and the atomic moves between
 * them. Paths are relative to queue_directory, the working directory of every
 * service. Facts: queue-format of the documented interface. */
#ifndef GLOBAL_QUEUE_H
#define GLOBAL_QUEUE_H

#include <sys/stat.h>
#include <sys/time.h>

#include "global/config.h"
#include "util/strbuf.h"

#define QUEUE_ID_MAX   64  /* buffer for an id, NUL included */
#define QUEUE_PATH_MAX 160 /* buffer for "deferred/A/B/C/id" */

#define QUEUE_MAILDROP "maildrop"
#define QUEUE_INCOMING "incoming"
#define QUEUE_ACTIVE   "active"
#define QUEUE_DEFERRED "deferred"
#define QUEUE_HOLD     "hold"
#define QUEUE_CORRUPT  "corrupt"
#define QUEUE_BOUNCE   "bounce"
#define QUEUE_DEFER    "defer"
#define QUEUE_TRACE    "trace"

/* File modes that mean something. */
#define QUEUE_MODE_READY   0700 /* complete, may be delivered */
#define QUEUE_MODE_WRITING 0600
#define QUEUE_MODE_CORRUPT 0400
#define QUEUE_BIT_FLUSH    0040 /* retry now, as for postqueue -i */
#define QUEUE_BIT_EXPIRE   0010 /* expire at the next attempt, postsuper -e */

bool queue_id_valid(struct span id); /* letters, digits, underscore; bounded */
bool queue_id_is_long(struct span id);
void queue_id_short(char out[QUEUE_ID_MAX], int64_t usec, ino_t inode);
void queue_id_long(char out[QUEUE_ID_MAX], int64_t sec, int64_t usec, ino_t inode);
/* Creation time of a long id; false for short ones. */
bool queue_id_time(struct span id, int64_t *sec_out, int64_t *usec_out);

/* What decides where files lie: hash_queue_names and hash_queue_depth. */
struct queue {
    const struct config *cfg;
    int hash_depth;
    const char *const *hash_names; /* NULL-terminated */
};
void queue_init(struct queue *q, const struct config *cfg, struct arena *arena);
void queue_path(const struct queue *q, const char *queue_name, const char *id,
                char out[QUEUE_PATH_MAX]);

/* Create a new file (mode QUEUE_MODE_WRITING) in a queue: returns the open fd and
 * the id, or -1 and errno. The name is final when this returns. */
int queue_create(const struct queue *q, const char *queue_name,
                 char id_out[QUEUE_ID_MAX], struct timeval *time_out);
/* Open safely (regular file, one link, no symlink). fd or -1 and errno. */
int queue_open(const struct queue *q, const char *queue_name, const char *id,
               int flags);
/* Move; missing hash directories are made. 0, or -1 and errno. */
int queue_rename(const struct queue *q, const char *from, const char *to,
                 const char *id);
int queue_remove(const struct queue *q, const char *queue_name, const char *id);

/* Walk a queue, hashed or not: calls visit for each valid file name; visit returns
 * false to stop. Never holds more than one directory chain open. */
bool queue_scan(const struct queue *q, const char *queue_name,
                bool (*visit)(void *arg, const char *id, const char *path), void *arg);

#endif
