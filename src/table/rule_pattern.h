/* Tables of "/pattern/flags result" lines: what regexp and pcre have in common. Lines
 * are read and checked here, and searched so that most patterns are never run: a filter
 * (pattern_filter.h) tells which of them may match a key. The answer is that of trying
 * all rules in order. */
#ifndef TABLE_RULE_PATTERN_H
#define TABLE_RULE_PATTERN_H

#include "table/pattern_filter.h"
#include "table/rule_result.h"
#include "table/rules.h"

enum pattern_match {
    PATTERN_NO,
    PATTERN_YES,
    PATTERN_ERROR, /* no match either; err is logged */
};

struct pattern_kind {
    const char *name;       /* "regexp", for messages */
    const char *unclosed;   /* what becomes of a rule without closing delimiter */
    const char *zero_index; /* about "$0" */
    bool has_second;        /* "/pattern/flags!/second/flags": one, but not the other */
    unsigned default_flags;
    /* Toggle the flag of a letter; false: unknown. May warn. */
    bool (*toggle)(const struct rules *rules, char letter, unsigned *flags);
    /* NULL with err. wants_groups: for a result with "$1". groups_out: the largest. */
    void *(*compile)(const char *text, unsigned flags, bool wants_groups,
                     size_t *groups_out, struct err *err);
    void (*discard)(void *pattern);
    enum pattern_syntax syntax;
    /* May the filter read a pattern with these flags? */
    bool (*is_readable)(unsigned flags);
    /* groups NULL: only the answer counts. A NUL follows the key. */
    enum pattern_match (*match)(struct table *table, void *pattern, struct span key,
                                struct rule_groups *groups, struct err *err);
};

/* Embedded first in the state of a kind. */
struct pattern_table {
    struct table table;
    struct rules rules;
    const struct pattern_kind *kind;
    struct arena *scratch; /* while rules are read */
    struct pattern_filter *filter;
    uint64_t *always; /* rules to visit whatever the filter says */
    uint64_t *maybe;  /* scratch: what the filter says */
    struct strbuf key, lower;
    struct rule_groups groups;
};

bool pattern_table_open(struct pattern_table *table, const struct pattern_kind *kind,
                        struct err *err);
void pattern_table_close(struct pattern_table *table);
enum table_status pattern_table_lookup(struct table *table, struct span key,
                                       struct strbuf *value, struct err *err);

#endif
