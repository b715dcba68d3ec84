#include "table/rules.h"

#include <stdio.h>
#include <stdlib.h>

#include "table/source.h"
#include "util/file.h"
#include "util/msg.h"

#define FILE_MAX  (256u * 1024 * 1024)
#define DEPTH_MAX 100

enum rule_kind { RULE_RESULT, RULE_IF, RULE_ENDIF };

struct rule {
    enum rule_kind kind;
    bool negated;
    bool plain; /* the result holds no "$" */
    int line;
    size_t jump; /* RULE_IF: of its endif */
    void *pattern;
    char *result;
};

struct loader {
    struct rules *rules;
    int line;
    size_t open_if[DEPTH_MAX];
    size_t depth;
};

static void complain(const struct loader *ld, const char *what)
{
    msg_warn("%s, line %d: %s", ld->rules->title, ld->line, what);
}

static struct rule *add_rule(struct loader *ld, enum rule_kind kind)
{
    struct rules *rules = ld->rules;

    rules->list = xrealloc(rules->list, (rules->count + 1) * sizeof(*rules->list));
    struct rule *rule = &rules->list[rules->count++];
    *rule = (struct rule){.kind = kind, .line = ld->line};
    return rule;
}

/* "$name", "${name}" or "$(name)" at the start of text, behind the '$'. 0: malformed.
 */
static size_t scan_macro(struct span text, struct span *name_out)
{
    char close = 0;
    size_t start = 0, end;

    if (text.len > 0 && (text.ptr[0] == '{' || text.ptr[0] == '(')) {
        close = text.ptr[0] == '{' ? '}' : ')';
        start = 1;
    }
    for (end = start; end < text.len; end++)
        if (close ? text.ptr[end] == close
                  : !ascii_alnum(text.ptr[end]) && text.ptr[end] != '_')
            break;
    *name_out = span_of(text.ptr + start, end - start);
    if (name_out->len == 0 || (close && end == text.len))
        return 0;
    return end + (close != 0);
}

/* Call fn for each piece of a result: literal text, or the number of a group. */
static bool walk_result(struct span text,
                        bool (*fn)(void *arg, struct span literal, struct span name),
                        void *arg)
{
    while (text.len > 0) {
        ssize_t dollar = span_chr(text, '$');
        if (dollar != 0) {
            struct span literal = dollar < 0 ? text : span_first(text, (size_t)dollar);
            if (!fn(arg, literal, SPAN_EMPTY))
                return false;
            text = span_skip(text, literal.len);
            continue;
        }
        text = span_skip(text, 1);
        if (text.len > 0 && text.ptr[0] == '$') {
            if (!fn(arg, SPAN_LIT("$"), SPAN_EMPTY))
                return false;
            text = span_skip(text, 1);
            continue;
        }
        struct span name;
        size_t len = scan_macro(text, &name);
        if (!fn(arg, SPAN_EMPTY, len == 0 ? SPAN_LIT("$") : name))
            return false;
        text = span_skip(text, len);
    }
    return true;
}

struct check {
    const struct loader *ld;
    size_t group_count;
    bool negated;
};

static bool check_piece(void *arg, struct span literal UNUSED, struct span name)
{
    const struct check *check = arg;
    const struct loader *ld = check->ld;
    char what[200];
    uint32_t number;
    struct span shown = span_first(name, 50);

    if (!name.ptr)
        return true;
    if (span_eq_str(name, "$"))
        snprintf(what, sizeof(what), "truncated macro reference");
    else if (!span_u32(name, &number))
        snprintf(what, sizeof(what), "non-numeric replacement index \"%.*s\"",
                 SPAN_ARG(shown));
    else if (check->negated)
        snprintf(what, sizeof(what),
                 "$number found in negative match replacement text");
    else if (number == 0)
        snprintf(what, sizeof(what), "out-of-range replacement index \"0\"");
    else if (number > check->group_count || number >= RULES_MAX_GROUPS)
        snprintf(what, sizeof(what), "out of range replacement index \"%.*s\"",
                 SPAN_ARG(shown));
    else
        return true;
    msg_warn("%s, line %d: %s: skipping this rule", ld->rules->title, ld->line, what);
    return false;
}

static bool result_is_good(const struct loader *ld, struct span result, void *pattern,
                           bool negated)
{
    const struct rule_syntax *syntax = ld->rules->syntax;
    struct check check = {ld, 0, negated};

    if (!syntax->substitutes)
        return true;
    check.group_count = syntax->group_count(pattern);
    return walk_result(result, check_piece, &check);
}

static bool take_negations(struct span *rest)
{
    bool negated = false;

    while (rest->len > 0 && rest->ptr[0] == '!') {
        negated = !negated;
        *rest = span_ltrim(span_skip(*rest, 1));
    }
    return negated;
}

static void *compile(const struct loader *ld, struct span *rest)
{
    const struct rule_syntax *syntax = ld->rules->syntax;
    struct err err;
    bool unknown = false;
    void *pattern = syntax->compile(rest, &err, &unknown);

    if (unknown)
        complain(ld, "ignoring unrecognized request");
    else if (!pattern)
        msg_warn("%s, line %d: %s: skipping this rule", ld->rules->title, ld->line,
                 err.text);
    return pattern;
}

static void load_if(struct loader *ld, struct span rest)
{
    bool negated = take_negations(&rest);
    void *pattern = compile(ld, &rest);

    if (!pattern)
        return;
    if (ld->depth == DEPTH_MAX) {
        complain(ld, "IF is nested too deeply: skipping this rule");
        ld->rules->syntax->discard(pattern);
        return;
    }
    if (span_trim(rest).len > 0)
        complain(ld, "ignoring extra text after IF statement");
    ld->open_if[ld->depth++] = ld->rules->count;
    struct rule *rule = add_rule(ld, RULE_IF);
    rule->negated = negated;
    rule->pattern = pattern;
}

static void load_endif(struct loader *ld, struct span rest)
{
    if (ld->depth == 0) {
        complain(ld, "ignoring ENDIF without matching IF");
        return;
    }
    if (span_trim(rest).len > 0)
        complain(ld, "ignoring extra text after ENDIF");
    size_t opened = ld->open_if[--ld->depth];
    ld->rules->list[opened].jump = ld->rules->count;
    add_rule(ld, RULE_ENDIF);
}

static void load_result(struct loader *ld, struct span rest)
{
    bool negated = take_negations(&rest);
    void *pattern = compile(ld, &rest);

    if (!pattern)
        return;
    rest = span_trim(rest);
    bool good = true;
    if (rest.len == 0 && !ld->rules->syntax->substitutes) {
        complain(ld, "no lookup result: skipping this rule");
        good = false;
    } else if (rest.len == 0) {
        complain(ld, "no replacement text: using empty string");
    }
    if (!good || !result_is_good(ld, rest, pattern, negated)) {
        ld->rules->syntax->discard(pattern);
        return;
    }
    struct rule *rule = add_rule(ld, RULE_RESULT);
    rule->negated = negated;
    rule->pattern = pattern;
    rule->result = xstrndup(rest.len ? rest.ptr : "", rest.len);
    rule->plain = !ld->rules->syntax->substitutes || !strchr(rule->result, '$');
}

static bool keyword(struct span line, const char *word, struct span *rest_out)
{
    size_t len = strlen(word);

    if (!span_istarts(line, span_str(word)) ||
        (line.len > len && ascii_alnum(line.ptr[len])))
        return false;
    *rest_out = span_ltrim(span_skip(line, len));
    return true;
}

static void load_line(struct loader *ld, struct span line)
{
    struct span rest;

    line = span_trim(line);
    if (keyword(line, "endif", &rest))
        load_endif(ld, rest);
    else if (keyword(line, "if", &rest))
        load_if(ld, rest);
    else
        load_result(ld, line);
}

/* An IF that nothing ends covers what follows it. */
static void close_open_ifs(struct loader *ld)
{
    while (ld->depth > 0) {
        size_t opened = ld->open_if[--ld->depth];
        msg_warn("%s, line %d: IF has no matching ENDIF", ld->rules->title,
                 ld->rules->list[opened].line);
        ld->rules->list[opened].jump = ld->rules->count;
        add_rule(ld, RULE_ENDIF);
    }
}

static bool load_inline(struct loader *ld, struct span text, struct err *err)
{
    struct span element;

    if (text.len == 0)
        return err_set(err, "%s map: empty rule list", ld->rules->syntax->kind);
    while (table_next_element(&text, &element)) {
        ld->line++;
        if (element.ptr[0] != '{' || element.ptr[element.len - 1] != '}' ||
            element.len < 2)
            return err_set(err, "%s map: no '{' at start of text in \"%.*s\"",
                           ld->rules->syntax->kind, SPAN_ARG(element));
        load_line(ld, span_of(element.ptr + 1, element.len - 2));
    }
    return true;
}

static bool load_file(struct loader *ld, const char *path, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    struct source src;
    struct span line;
    bool ok = file_read_all(path, FILE_MAX, &text, err);

    if (ok) {
        source_init(&src, path, strbuf_span(&text));
        while (source_line(&src, &line)) {
            ld->line = src.line;
            load_line(ld, line);
        }
        source_free(&src);
    }
    strbuf_free(&text);
    return ok;
}

bool rules_open(struct rules *rules, const struct rule_syntax *syntax,
                const struct table *table, struct err *err)
{
    struct loader ld = {.rules = rules};
    struct strbuf title = STRBUF_INIT;
    struct span text;

    rules->syntax = syntax;
    strbuf_addf(&title, "%s map %s", syntax->kind, table->name);
    rules->title = strbuf_detach(&title);
    bool ok = table_inline_text(table, &text) ? load_inline(&ld, text, err)
                                              : load_file(&ld, table->name, err);
    if (ok)
        close_open_ifs(&ld);
    return ok;
}

void rules_close(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->list[i].pattern)
            rules->syntax->discard(rules->list[i].pattern);
        free(rules->list[i].result);
    }
    free(rules->list);
    free(rules->title);
}

struct expansion {
    struct strbuf *value;
    const struct rule_groups *groups;
};

static bool expand_piece(void *arg, struct span literal, struct span name)
{
    struct expansion *ex = arg;
    uint32_t number;

    strbuf_add_span(ex->value, literal);
    if (name.ptr && span_u32(name, &number) && number < ex->groups->count)
        strbuf_add_span(ex->value, ex->groups->group[number]);
    return true;
}

enum table_status rules_lookup(struct rules *rules, struct table *table,
                               struct span key, struct strbuf *value)
{
    struct rule_groups groups;
    struct err err;

    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->list[i];
        if (rule->kind == RULE_ENDIF)
            continue;
        groups.count = 0;
        enum rule_match result =
            rules->syntax->match(table, rule->pattern, key, &groups, &err);
        if (result == RULE_MATCH_ERROR)
            msg_warn("%s, line %d: %s", rules->title, rule->line, err.text);
        bool matched = result == (rule->negated ? RULE_MATCH_NO : RULE_MATCH_YES);
        if (rule->kind == RULE_IF) {
            if (!matched)
                i = rule->jump;
        } else if (matched) {
            struct expansion ex = {value, &groups};
            if (rule->plain)
                strbuf_add_str(value, rule->result);
            else
                walk_result(span_str(rule->result), expand_piece, &ex);
            return TABLE_FOUND;
        }
    }
    return TABLE_NOT_FOUND;
}
