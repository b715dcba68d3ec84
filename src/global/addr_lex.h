/* The RFC 5322 lexer and address-list walker behind addr.h, forgiving as mail in
 * the field demands: an unterminated quote, comment or literal ends with the text,
 * stray brackets are ordinary characters. */
#ifndef GLOBAL_ADDR_LEX_H
#define GLOBAL_ADDR_LEX_H

#include "util/arena.h"
#include "util/strbuf.h"

enum addr_lex_kind {
    ADDR_LEX_END,
    ADDR_LEX_ATOM,
    ADDR_LEX_QUOTED,
    ADDR_LEX_LITERAL,
    ADDR_LEX_COMMENT,
    ADDR_LEX_OP, /* one of < > @ . , ; : */
};

struct addr_lex_token {
    enum addr_lex_kind kind;
    size_t start, end; /* offsets in the text */
    char op;
    bool closed; /* quoted, literal: the end was found */
};

struct addr_lex {
    struct span text;
    size_t pos;
    size_t angle_end, group_end; /* behind the next '>', ';'; SIZE_MAX: there is none */
};

/* White space is skipped. A '<' without '>' behind it and a ':' without ';' come as
 * atoms; op is then set all the same. */
struct addr_lex_token addr_lex_next(struct addr_lex *lex);
/* Append what the token stands for in internal form. */
void addr_lex_internal(struct strbuf *sb, struct span text,
                       const struct addr_lex_token *token);

/* One mailbox of a list. */
struct addr_item {
    size_t start, end;    /* the address in the text, brackets not included */
    struct span internal; /* in arena; may be empty */
    bool in_angle;
    bool had_route; /* "@a,@b:" stood in front and is not part of internal */
    bool adjacent;  /* no ',' or ';' stands between it and the address before */
};

/* What else was met on the way. */
struct addr_walk_info {
    bool comment, group;
};

struct addr_walk_info addr_walk(struct span text, struct arena *arena,
                                void (*item)(void *arg, const struct addr_item *it),
                                void *arg);

#endif
