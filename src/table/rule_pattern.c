#include "table/rule_pattern.h"

#include <stdlib.h>

#include "util/msg.h"

/* The pattern of a rule, and what the search needs to know of it. */
struct compiled {
    void *regex;
    void *second;        /* of "/pattern/!/second/", or NULL */
    bool second_negated; /* as written after all: not "!!" */
    bool wants_groups;   /* the result holds "$1" */
    bool is_plain;       /* the result holds no "$" at all */
};

/* A line while it is read. */
struct pattern_line {
    bool negated;
    char *text; /* of the pattern; owned */
    unsigned flags;
    struct span rest; /* behind pattern and flags */
};

static bool find_end(struct span text, char delimiter, size_t *end_out)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '\\') {
            i++;
        } else if (text.ptr[i] == delimiter) {
            *end_out = i;
            return true;
        }
    }
    return false;
}

static bool parse_flags(struct pattern_table *pt, struct pattern_line *line)
{
    size_t i = 0;

    line->flags = pt->kind->default_flags;
    for (; i < line->rest.len && !ascii_space(line->rest.ptr[i]); i++) {
        if (pt->kind->has_second && line->rest.ptr[i] == '!')
            break;
        if (!pt->kind->toggle(&pt->rules, line->rest.ptr[i], &line->flags)) {
            rules_warn(&pt->rules, "unknown regexp option \"%c\": skipping this rule",
                       line->rest.ptr[i]);
            return false;
        }
    }
    line->rest = span_skip(line->rest, i);
    return true;
}

/* "!/pattern/flags" off the front. Any character can be the delimiter; in the pattern
 * it stands behind a "\", which stays. */
static bool parse_line(struct pattern_table *pt, struct span text,
                       struct pattern_line *line)
{
    size_t end;

    line->negated = rules_negated(&text);
    if (text.len == 0) {
        rules_warn(&pt->rules, "no regexp: skipping this rule");
        return false;
    }
    if (!find_end(text, text.ptr[0], &end)) {
        rules_warn(&pt->rules, "no closing regexp delimiter \"%c\": %s this rule",
                   text.ptr[0], pt->kind->unclosed);
        return false;
    }
    line->rest = span_skip(text, end + 1);
    if (!parse_flags(pt, line))
        return false;
    line->text = xstrndup(text.ptr + 1, end - 1);
    return true;
}

/* NULL after a warning. */
static void *compile(struct pattern_table *pt, const struct pattern_line *line,
                     uint32_t max_index)
{
    struct err err;
    size_t groups;
    void *regex =
        pt->kind->compile(line->text, line->flags, max_index > 0, &groups, &err);

    if (!regex) {
        rules_warn(&pt->rules, "%s", err.text);
    } else if (max_index > groups) {
        rules_warn(&pt->rules,
                   "out of range replacement index \"%u\": skipping this rule",
                   (unsigned)max_index);
        pt->kind->discard(regex);
        regex = NULL;
    }
    return regex;
}

/* The rule's number in the filter is its number in the list. */
static struct compiled *add_to_filter(struct pattern_table *pt,
                                      const struct pattern_line *line, void *regex)
{
    struct compiled *compiled = arena_alloc(pt->rules.arena, sizeof(*compiled));
    const struct word_lists *needs = NULL;

    compiled->regex = regex;
    arena_reset(pt->scratch);
    if (pt->kind->is_readable(line->flags))
        needs = pattern_literals(pt->scratch, pt->kind->syntax, line->text);
    pattern_filter_add(pt->filter, pt->rules.count, needs);
    return compiled;
}

static bool result_is_good(struct pattern_table *pt, const struct pattern_line *line,
                           struct span result, uint32_t *max_index_out)
{
    if (result.len == 0)
        rules_warn(&pt->rules, "no replacement text: using empty string");
    if (!rule_result_check(&pt->rules, result, pt->kind->zero_index, max_index_out))
        return false;
    if (line->negated && *max_index_out > 0) {
        rules_warn(&pt->rules, "$number found in negative match replacement text: "
                               "skipping this rule");
        return false;
    }
    return true;
}

/* second: text NULL when there is none. */
static void load_result(struct pattern_table *pt, const struct pattern_line *line,
                        const struct pattern_line *second)
{
    uint32_t max_index;
    struct span result = span_ltrim(second->text ? second->rest : line->rest);

    if (!result_is_good(pt, line, result, &max_index))
        return;
    void *regex = compile(pt, line, max_index);
    void *also = regex && second->text ? compile(pt, second, 0) : NULL;
    if (regex && second->text && !also) {
        pt->kind->discard(regex);
        regex = NULL;
    }
    if (!regex)
        return;
    struct compiled *compiled = add_to_filter(pt, line, regex);
    compiled->second = also;
    compiled->second_negated = second->negated;
    compiled->wants_groups = max_index > 0;
    compiled->is_plain = span_chr(result, '$') < 0;
    rules_add(&pt->rules, line->negated, compiled, result);
}

static void load_if(struct pattern_table *pt, const struct pattern_line *line)
{
    struct span rest = span_ltrim(line->rest);

    if (rest.len > 0) {
        rules_warn(&pt->rules, "ignoring extra text after IF statement: \"%.*s\"",
                   SPAN_ARG(rest));
        rules_warn(&pt->rules, "do not prepend whitespace to statements between IF "
                               "and ENDIF");
    }
    void *regex = compile(pt, line, 0);
    if (regex)
        rules_add_if(&pt->rules, line->negated, add_to_filter(pt, line, regex));
}

static void load_endif(struct pattern_table *pt, struct span rest)
{
    if (!rules_add_endif(&pt->rules)) {
        rules_warn(&pt->rules, "ignoring ENDIF without matching IF");
        return;
    }
    if (rest.len > 0)
        rules_warn(&pt->rules, "ignoring extra text after ENDIF");
}

static void load_line(struct table *table, struct rules *rules, struct span text)
{
    struct pattern_table *pt = (struct pattern_table *)table;
    struct pattern_line line = {.text = NULL}, second = {.text = NULL};
    enum rule_kind kind = rules_keyword(&text);

    if (kind == RULE_ENDIF) {
        load_endif(pt, text);
        return;
    }
    if (kind == RULE_RESULT && ascii_alnum(text.ptr[0])) {
        rules_warn(rules, "ignoring unrecognized request");
        return;
    }
    if (!parse_line(pt, text, &line))
        return;
    bool has_second = span_starts(line.rest, SPAN_LIT("!")); /* only of some kinds */
    if (kind == RULE_IF)
        load_if(pt, &line);
    else if (!has_second || parse_line(pt, line.rest, &second))
        load_result(pt, &line, &second);
    free(line.text);
    free(second.text);
}

/* What has to be looked at even when its pattern cannot match. */
static void mark_always(struct pattern_table *pt)
{
    size_t size = pt->rules.count / 64 + 1;

    pt->always = xcalloc(size, sizeof(*pt->always));
    pt->maybe = xcalloc(size, sizeof(*pt->maybe));
    for (uint32_t i = 0; i < pt->rules.count; i++) {
        const struct rule *rule = &pt->rules.list[i];
        if (rule->kind == RULE_IF || (rule->kind == RULE_RESULT && rule->negated))
            pt->always[i / 64] |= UINT64_C(1) << i % 64;
    }
}

bool pattern_table_open(struct pattern_table *pt, const struct pattern_kind *kind,
                        struct err *err)
{
    pt->kind = kind;
    strbuf_init(&pt->key);
    strbuf_init(&pt->lower);
    pt->filter = pattern_filter_new();
    pt->scratch = arena_new();
    if (!rules_load(&pt->rules, kind->name, &pt->table, load_line, err))
        return false;
    pattern_filter_finish(pt->filter, pt->rules.count);
    mark_always(pt);
    return true;
}

void pattern_table_close(struct pattern_table *pt)
{
    for (uint32_t i = 0; i < pt->rules.count; i++) {
        const struct compiled *compiled = pt->rules.list[i].pattern;
        if (compiled)
            pt->kind->discard(compiled->regex);
        if (compiled && compiled->second)
            pt->kind->discard(compiled->second);
    }
    rules_free(&pt->rules, NULL);
    pattern_filter_free(pt->filter);
    arena_free(pt->scratch);
    free(pt->always);
    free(pt->maybe);
    free(pt->groups.group);
    strbuf_free(&pt->key);
    strbuf_free(&pt->lower);
}

/* The key with a NUL behind it, and the filter's word on every rule. */
static struct span begin_search(struct pattern_table *pt, struct span key)
{
    strbuf_reset(&pt->key);
    strbuf_add_span(&pt->key, key);
    strbuf_reset(&pt->lower);
    strbuf_reserve(&pt->lower, key.len);
    for (size_t i = 0; i < key.len; i++)
        pt->lower.ptr[i] = ascii_lower(key.ptr[i]);
    pattern_filter_run(pt->filter, span_of(pt->lower.ptr, key.len), pt->maybe);
    return strbuf_span(&pt->key);
}

/* The first rule at or behind number that has to be looked at; count: none. */
static uint32_t next_rule(const struct pattern_table *pt, uint32_t number)
{
    for (uint32_t word = number / 64; word * 64 < pt->rules.count; word++) {
        uint64_t bits = pt->maybe[word] | pt->always[word];
        if (word == number / 64)
            bits &= UINT64_MAX << number % 64;
        if (bits)
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return pt->rules.count;
}

/* Negation included; false also after an error. */
static bool pattern_holds(struct pattern_table *pt, const struct rule *rule,
                          void *regex, bool negated, struct span key,
                          struct rule_groups *groups)
{
    struct err err;

    switch (pt->kind->match(&pt->table, regex, key, groups, &err)) {
    case PATTERN_YES:
        return !negated;
    case PATTERN_NO:
        return negated;
    case PATTERN_ERROR:
        break;
    }
    msg_warn("%s, line %d: %s", pt->rules.title, rule->line, err.text);
    return false;
}

static bool rule_holds(struct pattern_table *pt, uint32_t number, struct span key)
{
    const struct rule *rule = &pt->rules.list[number];
    const struct compiled *compiled = rule->pattern;
    bool maybe = pt->maybe[number / 64] >> number % 64 & 1;
    bool first = maybe ? pattern_holds(pt, rule, compiled->regex, rule->negated, key,
                                       compiled->wants_groups ? &pt->groups : NULL)
                       : rule->negated;

    return first &&
           (!compiled->second || pattern_holds(pt, rule, compiled->second,
                                               compiled->second_negated, key, NULL));
}

enum table_status pattern_table_lookup(struct table *table, struct span key,
                                       struct strbuf *value, struct err *err UNUSED)
{
    struct pattern_table *pt = (struct pattern_table *)table;
    const struct rule *list = pt->rules.list;
    uint32_t i;

    key = begin_search(pt, key);
    for (i = next_rule(pt, 0); i < pt->rules.count; i = next_rule(pt, i + 1)) {
        bool matched = rule_holds(pt, i, key);
        if (list[i].kind == RULE_IF && !matched)
            i = list[i].jump;
        if (list[i].kind == RULE_RESULT && matched)
            break;
    }
    if (i >= pt->rules.count)
        return TABLE_NOT_FOUND;
    const struct compiled *compiled = list[i].pattern;
    if (compiled->is_plain)
        strbuf_add_str(value, list[i].result);
    else
        rule_result_expand(span_str(list[i].result), &pt->groups, value);
    return TABLE_FOUND;
}
