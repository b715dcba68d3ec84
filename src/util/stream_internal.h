/* The inside of a stream, shared by stream.c, stream_read.c, stream_write.c and
 * stream_fd.c. Not for use outside src/util. */
#ifndef UTIL_STREAM_INTERNAL_H
#define UTIL_STREAM_INTERNAL_H

#include "util/stream.h"

/* Bytes start..end are the content. ptr is NULL while released. */
struct stream_buf {
    char *ptr;
    size_t start, end, cap;
};

struct stream {
    struct evfd ev;
    struct stream_buf in, out;
    size_t bufsize;
    int64_t timeout_ms, deadline;
    size_t burst;                                 /* bytes moved since the last wait */
    enum stream_status read_status, write_status; /* sticky: EOF or failure */
    int error;
    bool is_socket; /* assumed until the kernel says otherwise */
};

static inline size_t stream_buf_len(const struct stream_buf *buf)
{
    return buf->end - buf->start;
}
/* Room for at least one more byte, and for total bytes of content in all. */
void stream_buf_room(struct stream_buf *buf, size_t bufsize, size_t total);
/* Give the memory back if there is no content. */
void stream_buf_release(struct stream_buf *buf);

/* Wait for one direction. Releases nothing. */
enum stream_status stream_wait(struct stream *s, bool to_write);
/* Keep errno and give the status for it. */
enum stream_status stream_fail(struct stream *s, int error);
/* Let other fibers run when a long burst has gone without a wait. */
void stream_fairness(struct stream *s);

#endif
