#ifndef POSTCAT_POSTCAT_H
#define POSTCAT_POSTCAT_H

#include "global/rec.h"

struct options {
    bool envelope, headers, body; /* what to show; at least one is set */
    bool decimal_type, offsets, by_id, raw, file_prefix;
    int64_t start; /* offset of the first record */
};

/* view.c: show the queue file on standard output. False: the file is broken, and a
 * warning says how. fd must allow seeking. */
bool view_file(const struct options *opt, const char *path, int fd);

#endif
