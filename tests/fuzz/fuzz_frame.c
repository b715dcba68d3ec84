/* Frames from a hostile or confused client: parse, then read as servers do. */
#include <stdlib.h>

#include "util/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_attributes(struct span body, int depth)
{
    struct frame_reader r = frame_reader(body);
    struct frame_attr attr;

    frame_want_span(&r, "queue_id");
    frame_want_num(&r, "size");
    frame_opt_num(&r, "flags", 0);
    while (frame_next(&body, &attr)) {
        if (depth < 4 && frame_group_check(attr.value))
            read_attributes(attr.value, depth + 1);
    }
    /* A verified body is walked to its very end. */
    if (body.len != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size);
    struct frame frame;
    size_t used;

    while (frame_parse(rest, &frame, &used) == FRAME_COMPLETE) {
        if (used > rest.len || frame.body.len + FRAME_HEADER_LEN != used)
            abort();
        read_attributes(frame.body, 0);
        rest = span_skip(rest, used);
    }
    return 0;
}
