#include "global/macro.h"

#define DEPTH_MAX  100
#define RESULT_MAX (16u << 20)

struct macro {
    const struct macro_source *source;
    struct strbuf *out;
    struct err *err;
    struct span whole; /* the text around, for messages */
    int depth;
};

enum compare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

static const struct {
    struct span text;
    enum compare compare;
} operators[] = {
    {{"==", 2}, CMP_EQ}, {{"!=", 2}, CMP_NE}, {{"<=", 2}, CMP_LE},
    {{">=", 2}, CMP_GE}, {{"<", 1}, CMP_LT},  {{">", 1}, CMP_GT},
};

static bool expand(struct macro *m, struct span text);

/* What operators have learned to look for: the place marked by ">>>". */
static bool syntax_error(struct macro *m, const char *what, struct span inner,
                         struct span rest)
{
    struct span before = span_of(inner.ptr, inner.len - rest.len);
    size_t shown = before.len < 30 ? before.len : 30;

    return err_set(m->err, "%s at: \"...%.*s>>>%.*s\"", what, (int)shown,
                   before.ptr + before.len - shown, rest.len < 30 ? (int)rest.len : 30,
                   rest.len ? rest.ptr : "");
}

static bool is_name_char(char c)
{
    return ascii_alnum(c) || c == '_';
}

static struct span take_name(struct span *rest)
{
    size_t len = 0;

    while (len < rest->len && is_name_char(rest->ptr[len]))
        len++;

    struct span name = span_of(rest->ptr, len);

    *rest = span_skip(*rest, len);
    return name;
}

/* text starts with open: the offset of the balancing close, or -1. */
static ssize_t find_close(struct span text, char open, char close)
{
    size_t level = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == open)
            level++;
        else if (text.ptr[i] == close && --level == 0)
            return (ssize_t)i;
    }
    return -1;
}

/* "{text}" at the start of *rest; false if there is none. */
static bool take_block(struct span *rest, struct span *block_out)
{
    if (!rest->len || rest->ptr[0] != '{')
        return false;

    ssize_t end = find_close(*rest, '{', '}');

    if (end < 0)
        return false;
    *block_out = span_of(rest->ptr + 1, (size_t)end - 1);
    *rest = span_skip(*rest, (size_t)end + 1);
    return true;
}

/* What follows a condition: nothing, "?then", "?{then}:else" or ":else". */
struct branches {
    bool has_then, has_else;
    struct span then_text, else_text;
};

/* A branch in braces, or all that is left. */
static struct span take_branch(struct span *rest, bool *braced_out)
{
    struct span trimmed = span_ltrim(*rest), block;

    *braced_out = take_block(&trimmed, &block);
    if (*braced_out) {
        *rest = span_ltrim(trimmed);
        return block;
    }
    block = *rest;
    *rest = span_skip(*rest, rest->len);
    return block;
}

static bool parse_else(struct macro *m, struct span inner, struct span rest,
                       struct branches *branches)
{
    bool braced;

    branches->has_else = true;
    rest = span_skip(rest, 1);
    branches->else_text = take_branch(&rest, &braced);
    if (rest.len)
        return syntax_error(m, "unexpected input", inner, rest);
    return true;
}

/* rest is at "?", ":" or the end. */
static bool parse_branches(struct macro *m, struct span inner, struct span rest,
                           struct branches *branches)
{
    bool braced;

    *branches = (struct branches){0};
    if (!rest.len)
        return true;
    if (rest.ptr[0] == ':')
        return parse_else(m, inner, rest, branches);
    branches->has_then = true;
    rest = span_skip(rest, 1);
    branches->then_text = take_branch(&rest, &braced);
    if (!rest.len)
        return true;
    if (rest.ptr[0] != ':')
        return syntax_error(m, "\":\" expected", inner, rest);
    return parse_else(m, inner, rest, branches);
}

static bool expand_branch(struct macro *m, const struct branches *branches, bool truth)
{
    if (truth)
        return !branches->has_then || expand(m, branches->then_text);
    return !branches->has_else || expand(m, branches->else_text);
}

/* ${function{text}}: the only function keeps ASCII domains as they are. */
static bool expand_function(struct macro *m, struct span name, struct span inner,
                            struct span rest)
{
    struct span text;

    if (!span_eq_str(name, "domain_to_ascii"))
        return syntax_error(m, "attribute name syntax error", inner, rest);
    if (!take_block(&rest, &text) || span_ltrim(rest).len)
        return syntax_error(m, "unexpected input", inner, rest);
    return expand(m, text);
}

static bool expand_named(struct macro *m, struct span inner)
{
    struct span rest = span_ltrim(inner);
    struct span name = take_name(&rest);
    struct branches branches;
    const char *value = NULL;

    if (!name.len)
        return err_set(m->err, "empty macro name: \"%.*s\"", SPAN_ARG(m->whole));
    if (rest.len && rest.ptr[0] == '{')
        return expand_function(m, name, inner, rest);
    rest = span_ltrim(rest);
    if (rest.len && rest.ptr[0] != '?' && rest.ptr[0] != ':')
        return syntax_error(m, "attribute name syntax error", inner, rest);
    if (!parse_branches(m, inner, rest, &branches) ||
        !m->source->lookup(m->source->ctx, name, &value, m->err))
        return false;
    if (branches.has_then || branches.has_else)
        return expand_branch(m, &branches, value && *value);
    if (value)
        strbuf_add_str(m->out, value);
    return true;
}

/* By value, whatever the number of digits. */
static int compare_digits(struct span a, struct span b)
{
    while (a.len > 1 && a.ptr[0] == '0')
        a = span_skip(a, 1);
    while (b.len > 1 && b.ptr[0] == '0')
        b = span_skip(b, 1);
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return span_cmp(a, b);
}

static bool parse_level(struct span text, struct span parts[3], struct err *err)
{
    struct span rest = text;
    bool ok = true;
    int count = 0;

    for (; ok && count < 3 && (rest.ptr || !count); count++) {
        parts[count] = span_cut(&rest, '.');
        ok = span_all_digits(parts[count]);
    }
    if (!ok || rest.ptr)
        return err_set(err, "malformed compatibility level syntax: \"%.*s\"",
                       SPAN_ARG(text));
    while (count < 3)
        parts[count++] = SPAN_LIT("0");
    return true;
}

bool macro_level_compare(struct span a, struct span b, int *order_out, struct err *err)
{
    struct span left[3] = {0}, right[3] = {0};

    if (!parse_level(a, left, err) || !parse_level(b, right, err))
        return false;
    *order_out = 0;
    for (int i = 0; i < 3 && !*order_out; i++)
        *order_out = compare_digits(left[i], right[i]);
    return true;
}

static bool compare_values(struct macro *m, struct span a, struct span b, bool levels,
                           int *order_out)
{
    if (levels)
        return macro_level_compare(a, b, order_out, m->err);
    *order_out = span_all_digits(a) && span_all_digits(b) ? compare_digits(a, b)
                                                          : span_cmp(a, b);
    return true;
}

static bool holds(enum compare compare, int order)
{
    switch (compare) {
    case CMP_EQ:
        return order == 0;
    case CMP_NE:
        return order != 0;
    case CMP_LT:
        return order < 0;
    case CMP_LE:
        return order <= 0;
    case CMP_GT:
        return order > 0;
    case CMP_GE:
        return order >= 0;
    }
    panic("macro: comparison %d", (int)compare);
}

static bool take_operator(struct macro *m, struct span inner, struct span *rest,
                          enum compare *compare_out, bool *levels_out)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        struct span after = span_skip(*rest, operators[i].text.len);

        if (!span_starts(*rest, operators[i].text))
            continue;
        *compare_out = operators[i].compare;
        *rest = after;
        struct span suffix = take_name(&after);
        *levels_out = span_eq_str(suffix, "level");
        if (after.len && after.ptr[0] == '=' && !suffix.len)
            break;
        if (suffix.len && !*levels_out)
            return syntax_error(m, "bad operator suffix", inner, *rest);
        *rest = span_ltrim(after);
        return true;
    }
    return syntax_error(
        m, "\"==\" or \"!=\" or \"<\" or \"<=\" or \">=\" or \">\" expected", inner,
        *rest);
}

/* Expand both sides one behind the other at the end of out, compare, cut off. */
static bool evaluate(struct macro *m, struct span left, struct span right,
                     enum compare compare, bool levels, bool *truth_out)
{
    size_t start = m->out->len;
    int order = 0;
    bool ok = expand(m, left);
    size_t middle = m->out->len;

    ok = ok && expand(m, right) &&
         compare_values(m, span_of(m->out->ptr + start, middle - start),
                        span_of(m->out->ptr + middle, m->out->len - middle), levels,
                        &order);
    strbuf_truncate(m->out, start);
    *truth_out = ok && holds(compare, order);
    return ok;
}

static bool expand_comparison(struct macro *m, struct span inner)
{
    struct span rest = span_ltrim(inner), left, right;
    struct branches branches;
    enum compare compare = CMP_EQ;
    bool levels = false, truth;

    if (!take_block(&rest, &left))
        return syntax_error(m, "unbalanced {}", inner, rest);
    rest = span_ltrim(rest);
    if (!take_operator(m, inner, &rest, &compare, &levels))
        return false;
    if (!take_block(&rest, &right))
        return syntax_error(m, "\"{expression}\" expected", inner, rest);
    rest = span_ltrim(rest);
    if (rest.len && rest.ptr[0] != '?' && rest.ptr[0] != ':')
        return syntax_error(m, "\"?\" expected", inner, rest);
    if (!parse_branches(m, inner, rest, &branches) ||
        !evaluate(m, left, right, compare, levels, &truth))
        return false;
    if (branches.has_then || branches.has_else)
        return expand_branch(m, &branches, truth);
    if (truth)
        strbuf_add_str(m->out, "true");
    return true;
}

/* text is behind a '$'; *text moves behind the reference. */
static bool expand_reference(struct macro *m, struct span *text)
{
    char open = text->len ? text->ptr[0] : '\0';

    if (open == '$') {
        strbuf_add_char(m->out, '$');
        *text = span_skip(*text, 1);
        return true;
    }
    if (open != '{' && open != '(') {
        struct span name = take_name(text);
        const char *value = NULL;

        if (!name.len)
            return err_set(m->err, "empty macro name: \"%.*s\"", SPAN_ARG(m->whole));
        if (!m->source->lookup(m->source->ctx, name, &value, m->err))
            return false;
        strbuf_add_str(m->out, value ? value : "");
        return true;
    }

    ssize_t end = find_close(*text, open, open == '{' ? '}' : ')');

    if (end < 0)
        return err_set(m->err, "truncated macro reference: \"%.*s\"",
                       SPAN_ARG(m->whole));

    struct span inner = span_of(text->ptr + 1, (size_t)end - 1);
    struct span start = span_ltrim(inner);

    *text = span_skip(*text, (size_t)end + 1);
    return start.len && start.ptr[0] == '{' ? expand_comparison(m, inner)
                                            : expand_named(m, inner);
}

static bool expand(struct macro *m, struct span text)
{
    struct span outer = m->whole;
    bool ok = true;

    if (m->depth >= DEPTH_MAX)
        return err_set(m->err, "unreasonable macro call nesting: \"%.*s\"",
                       SPAN_ARG(text));
    m->depth++;
    m->whole = text;
    while (ok && text.len) {
        ssize_t dollar = span_chr(text, '$');
        size_t plain = dollar < 0 ? text.len : (size_t)dollar;

        strbuf_add(m->out, text.ptr, plain);
        text = span_skip(text, plain);
        if (dollar >= 0) {
            text = span_skip(text, 1);
            ok = expand_reference(m, &text);
        }
        if (m->out->len > RESULT_MAX)
            ok = err_set(m->err, "the expanded text is too long");
    }
    m->whole = outer;
    m->depth--;
    return ok;
}

bool macro_expand(struct strbuf *out, struct span text,
                  const struct macro_source *source, struct err *err)
{
    struct macro m = {.source = source, .out = out, .err = err, .whole = text};

    return expand(&m, text);
}
