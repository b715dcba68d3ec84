/* Of many patterns, those that may match a text: found by words that the text must hold
 * for them (pattern_literal.h), in one pass over the text for all patterns together. */
#ifndef TABLE_PATTERN_FILTER_H
#define TABLE_PATTERN_FILTER_H

#include "table/pattern_literal.h"

struct pattern_filter;

struct pattern_filter *pattern_filter_new(void);
void pattern_filter_free(struct pattern_filter *filter);
/* Patterns have numbers of the caller's choice, each used once. needs is not kept;
 * NULL: the pattern may match anything. */
void pattern_filter_add(struct pattern_filter *filter, uint32_t number,
                        const struct word_lists *needs);
/* After the last pattern. Numbers are below limit. */
void pattern_filter_finish(struct pattern_filter *filter, uint32_t limit);

/* Write a bitmap of limit bits, in whole uint64_t: 0 means that the pattern with this
 * number certainly does not match, or does not exist. lower is the text in lower case
 * (ASCII). */
void pattern_filter_run(const struct pattern_filter *filter, struct span lower,
                        uint64_t *maybe_out);

#endif
