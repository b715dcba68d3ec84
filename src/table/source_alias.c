/* Lines of alias files. Name and value are sequences of the tokens of RFC 5322 address
 * lists, forgiving: what is left open ends with the line. */
#include "table/source.h"

enum kind {
    TOKEN_NONE,
    TOKEN_ATOM,
    TOKEN_QUOTED,
    TOKEN_LITERAL,
    TOKEN_COMMENT,
    TOKEN_OP,
};

struct token {
    enum kind kind;
    char op;
    struct span raw; /* without the delimiters, except those of a comment */
};

static bool is_op(char c)
{
    return c && strchr("<>@,;:.)]!%|", c);
}

/* White space between tokens; form feed and vertical tab are not. */
static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Take what stands before stop off *rest, and stop too; a backslash protects. */
static struct span take_until(struct span *rest, char stop)
{
    struct span all = *rest;
    size_t i = 0;

    while (i < all.len && all.ptr[i] != stop)
        i += all.ptr[i] == '\\' && i + 1 < all.len ? 2 : 1;
    *rest = span_skip(all, i + 1);
    return span_first(all, i);
}

static struct span take_comment(struct span *rest)
{
    struct span all = *rest;
    size_t depth = 0, i = 0;

    while (i < all.len) {
        char c = all.ptr[i++];
        if (c == '\\' && i < all.len)
            i++;
        depth += c == '(';
        depth -= c == ')';
        if (depth == 0)
            break;
    }
    *rest = span_skip(all, i);
    return span_first(all, i);
}

static struct span take_atom(struct span *rest)
{
    struct span all = *rest;
    size_t i = 0;

    while (i < all.len) {
        char c = all.ptr[i];
        if (is_blank(c) || is_op(c) || c == '"' || c == '(' || c == '[')
            break;
        i += c == '\\' && i + 1 < all.len ? 2 : 1;
    }
    *rest = span_skip(all, i);
    return span_first(all, i);
}

static bool take_token(struct span *rest, struct token *token)
{
    while (rest->len > 0 && is_blank(rest->ptr[0]))
        *rest = span_skip(*rest, 1);
    if (rest->len == 0)
        return false;
    char c = rest->ptr[0];
    *token = (struct token){.kind = TOKEN_OP, .op = c};
    if (c == '(') {
        token->kind = TOKEN_COMMENT;
        token->raw = take_comment(rest);
    } else if (c == '"' || c == '[') {
        token->kind = c == '"' ? TOKEN_QUOTED : TOKEN_LITERAL;
        *rest = span_skip(*rest, 1);
        token->raw = take_until(rest, c == '"' ? '"' : ']');
    } else if (is_op(c)) {
        *rest = span_skip(*rest, 1);
    } else {
        token->kind = TOKEN_ATOM;
        token->raw = take_atom(rest);
    }
    return true;
}

/* Without protecting backslashes; line ends and tabs become spaces. */
static void add_plain(struct strbuf *sb, struct span raw)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\' && ++i == raw.len)
            break;
        strbuf_add_char(sb, is_blank(raw.ptr[i]) ? ' ' : raw.ptr[i]);
    }
}

static void add_protected(struct strbuf *sb, struct span plain, const char *special)
{
    for (size_t i = 0; i < plain.len; i++) {
        if (plain.ptr[i] && strchr(special, plain.ptr[i]))
            strbuf_add_char(sb, '\\');
        strbuf_add_char(sb, plain.ptr[i]);
    }
}

static bool needs_quotes(struct span plain)
{
    for (size_t i = 0; i < plain.len; i++) {
        unsigned char c = (unsigned char)plain.ptr[i];
        if (c <= ' ' || c == 127 || is_op((char)c) || strchr("\"\\([", c))
            return true;
    }
    return false;
}

static void add_quoted(struct strbuf *sb, struct span plain)
{
    strbuf_add_char(sb, '"');
    add_protected(sb, plain, "\"\\");
    strbuf_add_char(sb, '"');
}

static bool is_word(enum kind kind)
{
    return kind != TOKEN_NONE && kind != TOKEN_OP;
}

/* unquoted: as the mail system works with a name, else as it is written. */
static void add_token(struct strbuf *sb, const struct token *token, enum kind before,
                      bool unquoted)
{
    struct strbuf plain = STRBUF_INIT;
    bool spaced = sb->len > 0 && sb->ptr[sb->len - 1] == ' ' && before == TOKEN_OP;

    if (is_word(token->kind) ? is_word(before)
                             : token->op == '<' && before != TOKEN_NONE && !spaced)
        strbuf_add_char(sb, ' ');
    add_plain(&plain, token->raw);
    struct span text = strbuf_span(&plain);
    switch (token->kind) {
    case TOKEN_COMMENT:
        strbuf_add_span(sb, token->raw);
        break;
    case TOKEN_LITERAL:
        strbuf_add_char(sb, '[');
        add_protected(sb, text, "\\");
        strbuf_add_char(sb, ']');
        break;
    case TOKEN_OP:
        strbuf_add_char(sb, token->op);
        if (token->op == ',')
            strbuf_add_char(sb, ' ');
        break;
    default:
        if (!unquoted && (token->kind == TOKEN_QUOTED || needs_quotes(text)))
            add_quoted(sb, text);
        else
            strbuf_add_span(sb, text);
    }
    strbuf_free(&plain);
}

/* The tokens up to the first colon. False: there is none, or a comma before it. */
static bool take_name(struct span *rest, struct strbuf *key, bool *local_out)
{
    enum kind before = TOKEN_NONE;
    struct token token;

    *local_out = true;
    while (take_token(rest, &token)) {
        if (token.op == ',')
            return false;
        if (token.op == ':')
            return before != TOKEN_NONE;
        if (token.op == '@' || token.op == '%')
            *local_out = false;
        add_token(key, &token, before, true);
        before = token.kind;
    }
    return false;
}

static bool take_value(struct span *rest, struct strbuf *value)
{
    enum kind before = TOKEN_NONE;
    struct token token;

    while (take_token(rest, &token)) {
        add_token(value, &token, before, false);
        before = token.kind;
    }
    return before != TOKEN_NONE;
}

enum source_syntax source_split_alias(struct span line, struct strbuf *key,
                                      struct strbuf *value, struct err *err)
{
    bool is_local;

    strbuf_reset(key);
    strbuf_reset(value);
    if (!take_name(&line, key, &is_local) || !take_value(&line, value)) {
        err_set(err, "need name:value pair");
        return SOURCE_MALFORMED;
    }
    if (!is_local) {
        err_set(err, "name must be local");
        return SOURCE_MALFORMED;
    }
    return SOURCE_ENTRY;
}
