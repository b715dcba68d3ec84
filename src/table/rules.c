#include "table/rules.h"

#include <stdio.h>
#include <stdlib.h>

#include "table/source.h"
#include "util/file.h"
#include "util/msg.h"

#define FILE_MAX   (256u * 1024 * 1024)
#define SHOWN_TEXT 30 /* of a line in a warning */

void rules_warn(const struct rules *rules, const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    msg_warn("%s, line %d: %s", rules->title, rules->line, text.ptr);
    strbuf_free(&text);
}

static struct rule *append(struct rules *rules, enum rule_kind kind)
{
    if (rules->count == rules->room) {
        rules->room += rules->room / 2 + 8;
        rules->list = xrealloc(rules->list, rules->room * sizeof(*rules->list));
    }
    struct rule *rule = &rules->list[rules->count++];
    *rule = (struct rule){.kind = (uint8_t)kind, .line = rules->line};
    return rule;
}

struct rule *rules_add(struct rules *rules, bool negated, void *pattern,
                       struct span result)
{
    struct rule *rule = append(rules, RULE_RESULT);

    rule->negated = negated;
    rule->pattern = pattern;
    rule->result = arena_span_str(rules->arena, result);
    return rule;
}

/* Until its ENDIF comes, jump of an IF names the IF around it. */
void rules_add_if(struct rules *rules, bool negated, void *pattern)
{
    struct rule *rule = append(rules, RULE_IF);

    rule->negated = negated;
    rule->pattern = pattern;
    rule->jump = rules->open_if;
    rules->open_if = rules->count - 1;
}

bool rules_add_endif(struct rules *rules)
{
    if (rules->open_if == RULES_NONE)
        return false;
    append(rules, RULE_ENDIF);
    struct rule *opened = &rules->list[rules->open_if];
    rules->open_if = opened->jump;
    opened->jump = rules->count - 1;
    return true;
}

enum rule_kind rules_keyword(struct span *line)
{
    size_t len = 0;

    while (len < line->len && ascii_alnum(line->ptr[len]))
        len++;
    struct span word = span_first(*line, len);
    bool is_if = span_ieq_str(word, "if");
    if (!is_if && !span_ieq_str(word, "endif"))
        return RULE_RESULT;
    *line = span_ltrim(span_skip(*line, len));
    return is_if ? RULE_IF : RULE_ENDIF;
}

bool rules_negated(struct span *rest)
{
    bool negated = false;

    while (rest->len > 0 && rest->ptr[0] == '!') {
        negated = !negated;
        *rest = span_ltrim(span_skip(*rest, 1));
    }
    return negated;
}

/* An IF that nothing ends covers what follows it. */
static void close_open_ifs(struct rules *rules)
{
    while (rules->open_if != RULES_NONE) {
        rules->line = rules->list[rules->open_if].line;
        rules_warn(rules, "IF has no matching ENDIF");
        rules_add_endif(rules);
    }
}

static void load_text(struct rules *rules, struct table *table, rules_line_fn *fn,
                      struct span text)
{
    struct source src;
    struct span line;

    source_init(&src, table->name, text);
    while (source_line(&src, &line)) {
        rules->line = src.line;
        if (ascii_space(line.ptr[0]))
            msg_warn("%s: logical line must not start with whitespace: \"%.*s%s\"",
                     table->name, SPAN_ARG(span_first(line, SHOWN_TEXT)),
                     line.len > SHOWN_TEXT ? "..." : "");
        else
            fn(table, rules, line);
    }
    source_free(&src);
    close_open_ifs(rules);
}

/* The inside of "{ ... }" with balanced braces and nothing behind it. */
static bool cut_braces(const char *kind, struct span text, struct span *inside_out,
                       struct err *err)
{
    size_t depth = 0, end = 0;

    if (text.len == 0 || text.ptr[0] != '{')
        return err_set(err, "%s map: no '{' at start of text in \"%.*s\"", kind,
                       SPAN_ARG(text));
    do {
        if (end == text.len)
            return err_set(err, "%s map: missing '}' in \"%.*s\"", kind,
                           SPAN_ARG(text));
        depth += text.ptr[end] == '{';
        depth -= text.ptr[end] == '}';
        end++;
    } while (depth > 0);
    if (end < text.len)
        return err_set(err, "%s map: syntax error after '}' in \"%.*s\"", kind,
                       SPAN_ARG(text));
    *inside_out = span_trim(span_of(text.ptr + 1, end - 2));
    return true;
}

/* "{ { rule }, { rule } }": each rule is a line. */
static bool inline_text(const char *kind, const char *name, struct strbuf *text,
                        struct err *err)
{
    struct span rest, element, line;

    if (!cut_braces(kind, span_str(name), &rest, err))
        return false;
    while (table_next_element(&rest, &element)) {
        if (!cut_braces(kind, element, &line, err))
            return false;
        strbuf_add_span(text, line);
        strbuf_add_char(text, '\n');
    }
    return true;
}

bool rules_load(struct rules *rules, const char *kind, struct table *table,
                rules_line_fn *fn, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    struct strbuf title = STRBUF_INIT;

    strbuf_addf(&title, "%s map %s", kind, table->name);
    *rules = (struct rules){
        .title = strbuf_detach(&title), .arena = arena_new(), .open_if = RULES_NONE};
    bool ok = table->name[0] == '{' ? inline_text(kind, table->name, &text, err)
                                    : file_read_all(table->name, FILE_MAX, &text, err);
    if (ok)
        load_text(rules, table, fn, strbuf_span(&text));
    strbuf_free(&text);
    return ok;
}

void rules_free(struct rules *rules, void (*discard)(void *pattern))
{
    for (uint32_t i = 0; discard && i < rules->count; i++)
        if (rules->list[i].pattern)
            discard(rules->list[i].pattern);
    free(rules->list);
    free(rules->title);
    arena_free(rules->arena);
}
