/* The queue file under construction: an output buffer in front of the file. The
 * buffer outlives a message, so that a busy session does not allocate. */
#ifndef CLEANUP_CLEANUP_OUT_H
#define CLEANUP_CLEANUP_OUT_H

#include "global/envelope.h"
#include "global/queue.h"

struct cleanup_out {
    const struct queue *queue;
    const char *queue_name; /* where the file is now */
    char id[QUEUE_ID_MAX];
    struct timeval time; /* of creation */
    int fd;              /* -1: no file */
    int64_t flushed;     /* bytes in the file; buf holds what follows */
    struct strbuf buf;
    int dir_sync; /* must the directory be synced as well: -1 not known yet */
    int error;    /* errno of the first failed write */
};

void cleanup_out_init(struct cleanup_out *out, const struct queue *queue);
void cleanup_out_free(struct cleanup_out *out);

/* Make the file and reserve room for the size record. False and errno. */
bool cleanup_out_open(struct cleanup_out *out, const char *queue_name);
/* File offset of what is appended to buf next. */
static inline int64_t cleanup_out_offset(const struct cleanup_out *out)
{
    return out->flushed + (int64_t)out->buf.len;
}
/* Write the buffer to the file if it is large. Errors are kept in out->error. */
void cleanup_out_relax(struct cleanup_out *out);

/* Fill in the size record and write everything. False: out->error. */
bool cleanup_out_finish(struct cleanup_out *out, const struct envelope *env);
/* Move to another queue. False and errno. */
bool cleanup_out_move(struct cleanup_out *out, const char *queue_name);
/* Mark the file complete, then make it durable: waits in a worker thread. */
bool cleanup_out_seal(struct cleanup_out *out);
void cleanup_out_close(struct cleanup_out *out);
void cleanup_out_remove(struct cleanup_out *out); /* and close */

#endif
