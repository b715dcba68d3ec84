/* "/pattern/flags", shared by regexp and pcre. */
#ifndef TABLE_RULE_PATTERN_H
#define TABLE_RULE_PATTERN_H

#include "util/err.h"
#include "util/span.h"

/* Cut pattern and flags off the front of *rest. The delimiter is any character that is
 * no letter, digit or white space; "\" keeps the next character from ending the
 * pattern. False with err, or *unknown_out. *pattern_out is a copy for free(). */
bool rule_pattern_cut(struct span *rest, char **pattern_out, struct span *flags_out,
                      struct err *err, bool *unknown_out);

#endif
