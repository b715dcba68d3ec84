/* Lines of a message from a descriptor, of any length and with any bytes. */
#ifndef SENDMAIL_INPUT_H
#define SENDMAIL_INPUT_H

#include "util/strbuf.h"

struct input {
    int fd;
    struct strbuf buf;
    size_t used; /* of buf */
    bool ended;
    int error; /* errno of a read that failed */
};

void input_init(struct input *in, int fd);
void input_free(struct input *in);
/* The next line without its end; or, of a line longer than max, the next piece of it:
 * then *end_out is false. The last line may have no end: it counts as having one. A
 * piece never ends in CR, so that CR LF is never torn. Borrowed until the next call.
 * False: no more, or error. */
bool input_line(struct input *in, size_t max, struct span *line_out, bool *end_out);

#endif
