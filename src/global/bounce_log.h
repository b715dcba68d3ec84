/* Delivery status logs: text files in the bounce, defer and trace queues, named by
 * the queue id. Written by bounce(8), read by it and by whoever lists the queue. */
#ifndef GLOBAL_BOUNCE_LOG_H
#define GLOBAL_BOUNCE_LOG_H

#include "global/dsn.h"
#include "global/envelope.h"
#include "global/queue.h"

struct bounce_entry {
    struct recipient rcpt;
    struct dsn dsn;
};

/* Durable when it returns true, but for the defer log: that is a convenience. Runs in
 * a fiber (fsync). Trouble is logged. */
bool bounce_log_append(const struct queue *q, const char *log_queue,
                       const char *queue_id, const struct bounce_entry *entry);
/* Entries in the order of the file; texts in arena. False when there is no such log,
 * or it cannot be read (logged). */
bool bounce_log_read(const struct queue *q, const char *log_queue, const char *queue_id,
                     struct arena *arena, struct bounce_entry **entries_out,
                     size_t *count_out);
void bounce_log_remove(const struct queue *q, const char *log_queue,
                       const char *queue_id);

#endif
