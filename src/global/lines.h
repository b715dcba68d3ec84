/* Logical lines of main.cf and master.cf: text in the first column starts one,
 * lines that start with white space continue it; comments and blank lines count for
 * nothing, wherever they stand. */
#ifndef GLOBAL_LINES_H
#define GLOBAL_LINES_H

#include "util/strbuf.h"

struct lines {
    struct span rest;
    int next;             /* number of the next physical line, less 1 */
    int start;            /* where the line returned last starts */
    struct strbuf joined;
};

void lines_init(struct lines *lines, struct span text);
void lines_free(struct lines *lines);
/* Borrowed until the next call. A line that starts with white space has nothing to
 * continue: the caller warns. */
bool lines_next(struct lines *lines, struct span *line_out);

#endif
