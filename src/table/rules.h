/* Tables that are a list of rules searched in order: regexp, pcre, cidr. Lines are
 * "pattern result", "if pattern" and "endif"; "!" in front of a pattern negates it.
 * Here is what they share: reading the text, and the list with its nesting. What a
 * pattern is, how the list is searched, and the words of most warnings are the
 * kind's business. */
#ifndef TABLE_RULES_H
#define TABLE_RULES_H

#include "table/table_type.h"

#define RULES_NONE UINT32_MAX /* no rule */

enum rule_kind { RULE_RESULT, RULE_IF, RULE_ENDIF };

struct rule {
    uint8_t kind;
    bool negated;
    int line;
    uint32_t jump; /* RULE_IF: index of its endif */
    void *pattern;
    const char *result;
};

struct rules {
    struct rule *list;
    uint32_t count, room;
    char *title;         /* "regexp map /file" */
    struct arena *arena; /* results, and what else lives as long as the rules */
    int line;            /* being read */
    uint32_t open_if;    /* while reading: innermost IF */
};

/* Adds what the line says to rules, or warns. line is trimmed, and not empty. */
typedef void rules_line_fn(struct table *table, struct rules *rules, struct span line);

/* Read "type:/file" or "type:{ { rule }, ... }". Every IF has its ENDIF afterwards.
 * False with err: the file cannot be read, or the braces are wrong. rules_free is
 * needed in any case. */
bool rules_load(struct rules *rules, const char *kind, struct table *table,
                rules_line_fn *line, struct err *err);
/* discard may be NULL; it is called for every pattern. */
void rules_free(struct rules *rules, void (*discard)(void *pattern));

/* For rules_line_fn. */

/* "title, line N: ...". */
void rules_warn(const struct rules *rules, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* RULE_IF or RULE_ENDIF, in any case, with *line moved behind the word; RULE_RESULT for
 * everything else. */
enum rule_kind rules_keyword(struct span *line);
/* Move *rest behind any number of "!"; true when the number is odd. */
bool rules_negated(struct span *rest);
/* result is copied. */
struct rule *rules_add(struct rules *rules, bool negated, void *pattern,
                       struct span result);
void rules_add_if(struct rules *rules, bool negated, void *pattern);
/* False: there is no IF. */
bool rules_add_endif(struct rules *rules);

#endif
