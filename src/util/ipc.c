#include "util/ipc.h"

#include <errno.h>

const char *ipc_status_text(enum ipc_status status)
{
    static const char *const text[] = {
        [IPC_OK] = "success",
        [IPC_UNAVAILABLE] = "service not available",
        [IPC_LOST] = "connection lost",
        [IPC_TIMEOUT] = "timeout",
        [IPC_BROKEN] = "malformed message",
        [IPC_CANCELLED] = "cancelled",
    };

    return text[status];
}

/* How many bytes are needed before it makes sense to look again. */
static size_t bytes_wanted(struct span have)
{
    const unsigned char *p = (const unsigned char *)have.ptr;

    if (have.len < 4)
        return 4;
    return 4 +
           ((size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24);
}

enum stream_status ipc_read_frame(struct stream *s, struct frame *frame_out)
{
    struct span have = stream_peek(s);
    enum stream_status status;
    size_t used;

    for (;;) {
        switch (frame_parse(have, frame_out, &used)) {
        case FRAME_COMPLETE:
            stream_consume(s, used);
            return STREAM_OK;
        case FRAME_BROKEN:
            errno = EPROTO;
            return STREAM_ERROR;
        case FRAME_PARTIAL:
            break;
        }
        status = stream_need(s, bytes_wanted(have), &have);
        if (status != STREAM_OK)
            return status;
    }
}

enum stream_status ipc_write_frames(struct stream *s, const struct strbuf *frames)
{
    return stream_write_span(s, strbuf_span(frames));
}

enum stream_status ipc_read_preamble(struct stream *s)
{
    char preamble[FRAME_PREAMBLE_LEN];
    enum stream_status status = stream_read_full(s, preamble, sizeof preamble);

    if (status != STREAM_OK)
        return status;
    if (memcmp(preamble, FRAME_PREAMBLE, sizeof preamble) != 0) {
        errno = EPROTO;
        return STREAM_ERROR;
    }
    return STREAM_OK;
}
