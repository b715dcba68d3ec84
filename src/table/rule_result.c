#include "table/rule_result.h"

#include "util/msg.h"

enum piece_kind {
    PIECE_TEXT,
    PIECE_NAME,
    PIECE_EMPTY_NAME,
    PIECE_TRUNCATED,
};

struct piece {
    enum piece_kind kind;
    struct span text;
    bool bracketed; /* PIECE_NAME: "${name}" */
};

void rule_groups_reset(struct rule_groups *groups, size_t count)
{
    if (count > groups->room) {
        groups->room = count;
        groups->group = xrealloc(groups->group, count * sizeof(*groups->group));
    }
    groups->count = count;
    for (size_t i = 0; i < count; i++)
        groups->group[i] = SPAN_EMPTY;
}

/* "{name}" or "(name)"; brackets of the same kind nest in it. */
static struct piece cut_bracketed(struct span *rest, char open, char close)
{
    size_t depth = 1, end = 1;

    for (; end < rest->len; end++) {
        depth += rest->ptr[end] == open;
        depth -= rest->ptr[end] == close;
        if (depth == 0)
            break;
    }
    if (depth > 0)
        return (struct piece){PIECE_TRUNCATED, SPAN_EMPTY, true};
    struct span name = span_of(rest->ptr + 1, end - 1);
    *rest = span_skip(*rest, end + 1);
    return (struct piece){name.len ? PIECE_NAME : PIECE_EMPTY_NAME, name, true};
}

/* Behind a '$' that begins a name. */
static struct piece cut_name(struct span *rest)
{
    size_t len = 0;

    if (rest->len > 0 && rest->ptr[0] == '{')
        return cut_bracketed(rest, '{', '}');
    if (rest->len > 0 && rest->ptr[0] == '(')
        return cut_bracketed(rest, '(', ')');
    while (len < rest->len && (ascii_alnum(rest->ptr[len]) || rest->ptr[len] == '_'))
        len++;
    struct span name = span_first(*rest, len);
    *rest = span_skip(*rest, len);
    return (struct piece){len ? PIECE_NAME : PIECE_EMPTY_NAME, name, false};
}

static bool next_piece(struct span *rest, struct piece *piece_out)
{
    ssize_t dollar = span_chr(*rest, '$');

    if (rest->len == 0)
        return false;
    if (dollar != 0) {
        size_t len = dollar < 0 ? rest->len : (size_t)dollar;
        *piece_out = (struct piece){.kind = PIECE_TEXT, .text = span_first(*rest, len)};
        *rest = span_skip(*rest, len);
        return true;
    }
    *rest = span_skip(*rest, 1);
    if (rest->len > 0 && rest->ptr[0] == '$') {
        *piece_out = (struct piece){.kind = PIECE_TEXT, .text = span_first(*rest, 1)};
        *rest = span_skip(*rest, 1);
        return true;
    }
    *piece_out = cut_name(rest);
    return true;
}

static bool check_name(const struct rules *rules, struct span name,
                       const char *zero_text, uint32_t *max_out)
{
    uint32_t number;

    if (!span_all_digits(name)) {
        rules_warn(rules, "non-numeric replacement index \"%.*s\"", SPAN_ARG(name));
        return false;
    }
    if (!span_u32(name, &number) || number > INT32_MAX)
        number = INT32_MAX;
    if (number == 0) {
        rules_warn(rules, "%s replacement index \"0\"", zero_text);
        return false;
    }
    if (number > *max_out)
        *max_out = number;
    return true;
}

bool rule_result_check(const struct rules *rules, struct span result,
                       const char *zero_text, uint32_t *max_out)
{
    struct span rest = result;
    struct piece piece;
    bool good = true;

    *max_out = 0;
    while (next_piece(&rest, &piece)) {
        if (piece.kind == PIECE_NAME && piece.bracketed && !good)
            break; /* the rest is not looked at any more, as operators know it */
        if (piece.kind == PIECE_NAME) {
            good &= check_name(rules, piece.text, zero_text, max_out);
        } else if (piece.kind != PIECE_TEXT) {
            msg_warn("%s: \"%.*s\"",
                     piece.kind == PIECE_TRUNCATED ? "truncated macro reference"
                                                   : "empty macro name",
                     SPAN_ARG(result));
            good = false;
            break;
        }
    }
    if (!good)
        rules_warn(rules, "bad replacement syntax: skipping this rule");
    return good;
}

void rule_result_expand(struct span result, const struct rule_groups *groups,
                        struct strbuf *value)
{
    struct piece piece;
    uint32_t number;

    while (next_piece(&result, &piece)) {
        if (piece.kind == PIECE_TEXT)
            strbuf_add_span(value, piece.text);
        else if (span_u32(piece.text, &number) && number < groups->count)
            strbuf_add_span(value, groups->group[number]);
    }
}
