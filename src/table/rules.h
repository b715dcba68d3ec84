/* Tables that are a list of rules searched in order: regexp, pcre, cidr. Lines are
 * "pattern result", "if pattern" and "endif"; "!" in front of a pattern negates it.
 * What a pattern is, is the kind's business. */
#ifndef TABLE_RULES_H
#define TABLE_RULES_H

#include "table/table_type.h"

#define RULES_MAX_GROUPS 100

/* What a match leaves for "$1" in the result: 0 is the whole. */
struct rule_groups {
    struct span group[RULES_MAX_GROUPS]; /* ptr NULL: took no part */
    size_t count;
};

enum rule_match {
    RULE_MATCH_NO,
    RULE_MATCH_YES,
    RULE_MATCH_NEVER, /* the pattern is about other keys: no match, negated or not */
    RULE_MATCH_ERROR, /* no match either; err is logged */
};

struct rule_syntax {
    const char *kind; /* "regexp", for messages */
    bool substitutes; /* "$1" in results */
    /* Cut the pattern (and its flags) off the front of *rest and compile it. NULL with
     * err. Not allowed: *unknown_out, the line is no rule at all. */
    void *(*compile)(struct span *rest, struct err *err, bool *unknown_out);
    void (*discard)(void *pattern);
    size_t (*group_count)(const void *pattern); /* substitutes: the largest "$n" */
    /* context: the table. err only for RULE_MATCH_ERROR. */
    enum rule_match (*match)(struct table *table, void *pattern, struct span key,
                             struct rule_groups *groups, struct err *err);
};

struct rule;
struct rules {
    const struct rule_syntax *syntax;
    struct rule *list;
    size_t count;
    char *title; /* "regexp map /file" */
};

/* "type:/file" or "type:{ { rule } ... }". Bad rules are logged and left out. False
 * with err: the file cannot be read, or the braces are wrong. */
bool rules_open(struct rules *rules, const struct rule_syntax *syntax,
                const struct table *table, struct err *err);
void rules_close(struct rules *rules);
enum table_status rules_lookup(struct rules *rules, struct table *table,
                               struct span key, struct strbuf *value);

#endif
