/* Attribute frames, the one format of internal IPC: name/value pairs, bounded,
 * nestable. Unknown attributes are ignored by readers; a missing one is an error
 * that names it.
 *
 *   connection = preamble frame*           preamble "GPF1", sent by the client
 *   frame      = u32 length, u32 id, attr*  little-endian; length counts what
 *                                           follows it (id included)
 *   attr       = u8 namelen, name, u32 valuelen, value
 *   group      = an attr whose value is attr*
 *
 * id: requests carry a number of the client's choice, the reply repeats it; 0 is
 * a one-way message. */
#ifndef UTIL_FRAME_H
#define UTIL_FRAME_H

#include "util/strbuf.h"

#define FRAME_PREAMBLE     "GPF1"
#define FRAME_PREAMBLE_LEN 4
#define FRAME_MAX          (16u * 1024 * 1024) /* largest frame that is accepted */
#define FRAME_HEADER_LEN   8

/* Writing appends to sb; frames may be stacked one behind another. */
size_t frame_begin(struct strbuf *sb, uint32_t id); /* returns a mark for frame_end */
void frame_end(struct strbuf *sb, size_t mark);
void frame_span(struct strbuf *sb, const char *name, struct span value);
void frame_str(struct strbuf *sb, const char *name, const char *value);
void frame_num(struct strbuf *sb, const char *name, int64_t value);
size_t frame_group_begin(struct strbuf *sb, const char *name);
void frame_group_end(struct strbuf *sb, size_t mark);

/* A received frame, borrowed from the receive buffer. */
struct frame {
    uint32_t id;
    struct span body; /* attr* */
};

enum frame_parse { FRAME_COMPLETE, FRAME_PARTIAL, FRAME_BROKEN };
/* Look for one frame at the start of buf; *used_out bytes are consumed. The
 * attribute structure is verified here, so that later readers cannot fail. */
enum frame_parse frame_parse(struct span buf, struct frame *frame_out,
                             size_t *used_out);

/* Walk attributes in order. */
struct frame_attr {
    struct span name, value;
};
bool frame_next(struct span *body, struct frame_attr *attr_out);
/* A group's value, verified: false when it is not attr*. */
bool frame_group_check(struct span value);

/* First attribute of that name. */
bool frame_get(struct span body, const char *name, struct span *value_out);
/* Values with a reader that collects the first problem:
 *   struct frame_reader r = frame_reader(frame.body);
 *   id = frame_want_span(&r, "queue_id");
 *   if (r.missing) ... names the attribute that was missing or malformed. */
struct frame_reader {
    struct span body;
    const char *missing;
};
struct frame_reader frame_reader(struct span body);
struct span frame_want_span(struct frame_reader *r, const char *name);
int64_t frame_want_num(struct frame_reader *r, const char *name);
struct span frame_opt_span(struct frame_reader *r, const char *name); /* or empty */
int64_t frame_opt_num(struct frame_reader *r, const char *name, int64_t otherwise);

#endif
