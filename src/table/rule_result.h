/* Results of pattern rules: text with "$1", "${1}" and "$(1)" for what a group of the
 * pattern matched, and "$$" for a dollar. */
#ifndef TABLE_RULE_RESULT_H
#define TABLE_RULE_RESULT_H

#include "table/rules.h"

/* What a match leaves for "$1": group 0 is the whole. */
struct rule_groups {
    struct span *group; /* ptr NULL: took no part */
    size_t count, room;
};

/* Make room for count groups, all empty. */
void rule_groups_reset(struct rule_groups *groups, size_t count);

/* Check when a rule is read; false after warnings. zero_text is the warning's text
 * about
 * "$0". max_out: the largest number. */
bool rule_result_check(const struct rules *rules, struct span result,
                       const char *zero_text, uint32_t *max_out);
void rule_result_expand(struct span result, const struct rule_groups *groups,
                        struct strbuf *value);

#endif
