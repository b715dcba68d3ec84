/* The contents of the queue, message by message, for showq and, when the mail system
 * is down, for postqueue itself. As frames: queue_name queue_id time size
 * forced_expire sender, and a group "recipient" (original_recipient recipient
 * log_class reason) each. */
#ifndef GLOBAL_QUEUE_LIST_H
#define GLOBAL_QUEUE_LIST_H

#include "global/queue.h"
#include "util/arena.h"
#include "util/frame.h"

struct queue_list_rcpt {
    const char *address, *orig;
    const char *log_class; /* "defer", "bounce" or "" */
    const char *reason;    /* "" when there is none */
};

struct queue_list_entry {
    const char *queue_name, *queue_id;
    int64_t time; /* of arrival, seconds since 1970 */
    int64_t size; /* of the content, bytes */
    bool forced_expire;
    const char *sender;
    struct queue_list_rcpt *rcpts;
    size_t rcpt_len;
};

/* Calls visit for each message of all queues, until it returns false. Files that
 * vanish or are not yet complete are passed over. arena is reset between messages. */
void queue_list(const struct queue *q, struct arena *arena,
                bool (*visit)(void *arg, const struct queue_list_entry *entry),
                void *arg);

void queue_list_to_frame(const struct queue_list_entry *entry, struct strbuf *sb);
bool queue_list_from_frame(struct span body, struct arena *arena,
                           struct queue_list_entry *entry_out,
                           const char **missing_out);

#endif
