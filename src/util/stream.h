/* Buffered byte stream over a non-blocking descriptor (socket, pipe), for fibers.
 * Input and output buffers are released while the stream waits with nothing
 * buffered, so an idle session costs no buffer memory. Output is written when
 * the buffer is full, on stream_flush, and before every wait for input. One fiber
 * at a time uses a stream.
 *
 * Errors are sticky for output: after a failed write all further writes are
 * no-ops that return the same status, and reads still see buffered input. */
#ifndef UTIL_STREAM_H
#define UTIL_STREAM_H

#include <stdarg.h>

#include "util/fiber.h"
#include "util/span.h"
#include "util/strbuf.h"

enum stream_status {
    STREAM_OK,
    STREAM_EOF,       /* peer closed */
    STREAM_TIMEOUT,   /* deadline or per-operation timeout passed */
    STREAM_CANCELLED, /* the fiber was cancelled */
    STREAM_TOO_LONG,  /* stream_read_line: no line end within max bytes */
    STREAM_ERROR,     /* stream_errno() says */
};

struct stream;

/* Takes the descriptor over; it is made non-blocking and close-on-exec. */
struct stream *stream_new(int fd);
/* Closes without flushing what was not flushed. NULL allowed. */
void stream_free(struct stream *s);
int stream_fd(const struct stream *s);
int stream_detach(struct stream *s); /* frees the stream, leaves the fd open */
int stream_errno(const struct stream *s);
const char *stream_status_text(enum stream_status status); /* "lost connection", ... */

/* Limit of each single wait; default 3600 s. */
void stream_set_timeout(struct stream *s, int64_t timeout_ms);
/* In addition an absolute deadline for all operations; LOOP_NEVER to clear. */
void stream_set_deadline(struct stream *s, int64_t deadline);
/* Buffer size for input and output, 512..1 MiB; default 8 KiB. */
void stream_set_bufsize(struct stream *s, size_t bytes);

/* Next line. *line_out is borrowed until the next call on s and excludes the line
 * end; *eol_out (may be NULL) tells which: 2 for CR LF, 1 for a bare LF, 0 for
 * the last line of input that ended without one. STREAM_TOO_LONG: *line_out holds
 * the first max bytes, which are consumed, and more of the line follows. */
enum stream_status stream_read_line(struct stream *s, size_t max, struct span *line_out,
                                    int *eol_out);
/* At least one and at most max bytes, borrowed until the next call. */
enum stream_status stream_read_some(struct stream *s, size_t max,
                                    struct span *data_out);
/* Exactly len bytes into buf. */
enum stream_status stream_read_full(struct stream *s, void *buf, size_t len);
/* What is buffered, without consuming; never waits. */
struct span stream_peek(struct stream *s);
/* Drop len bytes of what stream_peek showed. */
void stream_consume(struct stream *s, size_t len);
/* Wait until len bytes are buffered in one piece; nothing is consumed. The input
 * buffer grows to len when that is more than the buffer size. *data_out is all
 * that is buffered, borrowed until the next read call (writes leave it alone). */
enum stream_status stream_need(struct stream *s, size_t len, struct span *data_out);
/* The event loop saw the peer hang up; no system call. False when not known. */
bool stream_peer_closed(const struct stream *s);
/* Wait until at least one byte (or EOF) can be read without waiting. */
enum stream_status stream_wait_input(struct stream *s);
/* Bytes already received: in the buffer, or (after one non-blocking read) in the
 * kernel. For the detection of unauthorised pipelining. Never waits. */
size_t stream_input_pending(struct stream *s);

enum stream_status stream_write(struct stream *s, const void *data, size_t len);
enum stream_status stream_write_span(struct stream *s, struct span data);
enum stream_status stream_write_str(struct stream *s, const char *str);
enum stream_status stream_printf(struct stream *s, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
enum stream_status stream_vprintf(struct stream *s, const char *fmt, va_list ap);
enum stream_status stream_flush(struct stream *s);
size_t stream_output_pending(const struct stream *s); /* bytes not yet written */
enum stream_status stream_write_status(const struct stream *s); /* sticky status */

/* Pass one descriptor along with one byte over a UNIX stream socket. Reads take as
 * much as there is, so send it first, or when the receiver is known to be in
 * stream_recv_fd; one that was read past is lost (STREAM_ERROR, EPROTO). */
enum stream_status stream_send_fd(struct stream *s, int fd);
enum stream_status stream_recv_fd(struct stream *s, int *fd_out);

#endif
