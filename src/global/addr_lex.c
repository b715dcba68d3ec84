#include "global/addr_lex.h"

static bool is_op(char c)
{
    return c && strchr("<>@.,;:", c);
}

/* Index behind the closing quote, or the end of the text. */
static size_t scan_quoted(struct span text, size_t pos, bool *closed_out)
{
    *closed_out = false;
    while (pos < text.len) {
        char c = text.ptr[pos++];
        if (c == '\\' && pos < text.len) {
            pos++;
        } else if (c == '"') {
            *closed_out = true;
            return pos;
        }
    }
    return text.len;
}

static size_t scan_comment(struct span text, size_t pos)
{
    size_t depth = 1;

    while (pos < text.len && depth > 0) {
        char c = text.ptr[pos++];
        if (c == '\\' && pos < text.len)
            pos++;
        else if (c == '(')
            depth++;
        else if (c == ')')
            depth--;
    }
    return pos;
}

/* A literal never runs over the bracket that closes the path. */
static size_t scan_literal(struct span text, size_t pos, bool *closed_out)
{
    *closed_out = false;
    while (pos < text.len) {
        char c = text.ptr[pos];
        if (c == '>' || c == '<' || c == '@' || ascii_space(c))
            return pos;
        pos++;
        if (c == '\\' && pos < text.len)
            pos++;
        else if (c == ']')
            return *closed_out = true, pos;
    }
    return pos;
}

static size_t scan_atom(struct span text, size_t pos)
{
    while (pos < text.len) {
        char c = text.ptr[pos];
        if (ascii_space(c) || is_op(c) || c == '"' || c == '(' || c == '[')
            break;
        pos += c == '\\' && pos + 1 < text.len ? 2 : 1;
    }
    return pos;
}

/* Does an unquoted character follow? The answer holds up to the place found, and for
 * all the text when there is none, so that the whole costs one pass. */
static bool follows(struct addr_lex *lex, char wanted, size_t *found)
{
    struct span text = lex->text;
    size_t pos = lex->pos;
    bool closed;

    if (*found > lex->pos)
        return *found <= text.len;
    while (pos < text.len) {
        char c = text.ptr[pos++];
        if (c == wanted) {
            *found = pos;
            return true;
        }
        if (c == '\\' && pos < text.len)
            pos++;
        else if (c == '"')
            pos = scan_quoted(text, pos, &closed);
        else if (c == '(')
            pos = scan_comment(text, pos);
    }
    *found = SIZE_MAX;
    return false;
}

static void lex_operator(struct addr_lex *lex, struct addr_lex_token *token, char c)
{
    token->kind = ADDR_LEX_OP;
    token->op = c;
    lex->pos++;
    if ((c == '<' && !follows(lex, '>', &lex->angle_end)) ||
        (c == ':' && !follows(lex, ';', &lex->group_end)))
        token->kind = ADDR_LEX_ATOM;
}

struct addr_lex_token addr_lex_next(struct addr_lex *lex)
{
    struct span text = lex->text;
    struct addr_lex_token token = {.kind = ADDR_LEX_END};

    while (lex->pos < text.len && ascii_space(text.ptr[lex->pos]))
        lex->pos++;
    token.start = lex->pos;
    if (lex->pos < text.len) {
        char c = text.ptr[lex->pos];
        if (is_op(c)) {
            lex_operator(lex, &token, c);
        } else if (c == '"') {
            token.kind = ADDR_LEX_QUOTED;
            lex->pos = scan_quoted(text, lex->pos + 1, &token.closed);
        } else if (c == '(') {
            token.kind = ADDR_LEX_COMMENT;
            lex->pos = scan_comment(text, lex->pos + 1);
        } else if (c == '[') {
            token.kind = ADDR_LEX_LITERAL;
            lex->pos = scan_literal(text, lex->pos + 1, &token.closed);
        } else {
            token.kind = ADDR_LEX_ATOM;
            lex->pos = scan_atom(text, lex->pos);
        }
    }
    token.end = lex->pos;
    return token;
}

static void add_unescaped(struct strbuf *sb, struct span raw)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\' && i + 1 < raw.len)
            i++;
        strbuf_add_char(sb, raw.ptr[i]);
    }
}

void addr_lex_internal(struct strbuf *sb, struct span text,
                       const struct addr_lex_token *token)
{
    struct span raw = span_of(text.ptr + token->start, token->end - token->start);

    switch (token->kind) {
    case ADDR_LEX_QUOTED:
        raw = span_skip(raw, 1);
        if (token->closed)
            raw.len--;
        add_unescaped(sb, raw);
        break;
    case ADDR_LEX_LITERAL:
        strbuf_add_span(sb, raw);
        if (!token->closed)
            strbuf_add_char(sb, ']');
        break;
    case ADDR_LEX_ATOM:
        add_unescaped(sb, raw);
        break;
    case ADDR_LEX_OP:
        strbuf_add_char(sb, token->op);
        break;
    case ADDR_LEX_COMMENT:
    case ADDR_LEX_END:
        break;
    }
}
