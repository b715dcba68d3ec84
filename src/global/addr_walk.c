#include "global/addr_lex.h"

/* A run of words, '.' and '@' that may turn out to be an address, part of a display
 * name or part of a group name. */
struct pending {
    struct pending *next;
    bool had_route;
    size_t start, end;
    struct span internal;
};

struct walk {
    struct addr_lex lex;
    struct arena *arena;
    void (*item)(void *arg, const struct addr_item *it);
    void *arg;
    struct addr_walk_info info;
    struct pending *first, **last_link;
    bool adjacent; /* an address was seen after the last separator */

    /* the run under way */
    struct strbuf run;
    size_t run_start, run_end;
    bool in_run, after_word, had_route;
};

static void emit(struct walk *w, struct addr_item it)
{
    it.adjacent = w->adjacent;
    w->item(w->arg, &it);
    w->adjacent = true;
}

static void end_run(struct walk *w)
{
    if (!w->in_run)
        return;
    struct pending *p = arena_alloc(w->arena, sizeof(*p));
    p->start = w->run_start;
    p->end = w->run_end;
    p->internal = arena_span(w->arena, strbuf_span(&w->run));
    p->had_route = w->had_route;
    *w->last_link = p;
    w->last_link = &p->next;
    w->in_run = w->after_word = w->had_route = false;
    strbuf_reset(&w->run);
}

static void drop_pending(struct walk *w)
{
    w->first = NULL;
    w->last_link = &w->first;
}

static void flush(struct walk *w)
{
    end_run(w);
    for (struct pending *p = w->first; p; p = p->next)
        emit(w, (struct addr_item){.start = p->start,
                                   .end = p->end,
                                   .internal = p->internal,
                                   .had_route = p->had_route});
    drop_pending(w);
}

/* A source route before a bare address: "@a,@b:user@dom" loses what it holds so far. */
static bool route_ends(const struct walk *w)
{
    return w->in_run && w->run.len > 0 && w->run.ptr[0] == '@';
}

static void add_to_run(struct walk *w, const struct addr_lex_token *token)
{
    bool is_word = token->kind != ADDR_LEX_OP && token->op != ':';

    if (is_word && w->after_word)
        end_run(w);
    if (!w->in_run) {
        w->in_run = true;
        w->run_start = token->start;
    }
    w->run_end = token->end;
    if (token->op == ':' && route_ends(w)) {
        strbuf_reset(&w->run);
        w->after_word = false;
        w->had_route = true;
        return;
    }
    w->after_word = is_word;
    addr_lex_internal(&w->run, w->lex.text, token);
}

/* The inside of <...>: everything is the address, but for a source route at its start
 * and comments. A second '<' starts over. */
static void walk_angle(struct walk *w)
{
    size_t start = w->lex.pos, end = w->lex.pos;
    bool begun = false, had_route = false;

    end_run(w);
    drop_pending(w);
    strbuf_reset(&w->run);
    for (;;) {
        struct addr_lex_token token = addr_lex_next(&w->lex);
        if (token.kind == ADDR_LEX_END || token.op == '>')
            break;
        if (token.kind == ADDR_LEX_COMMENT) {
            w->info.comment = true;
            continue;
        }
        if (token.kind == ADDR_LEX_OP && token.op == '<') {
            strbuf_reset(&w->run);
            begun = false;
            start = end = w->lex.pos;
            continue;
        }
        if (!begun)
            start = token.start;
        begun = true;
        end = token.end;
        if (token.op == ':' && w->run.len > 0 && w->run.ptr[0] == '@') {
            strbuf_reset(&w->run);
            had_route = true;
        } else {
            addr_lex_internal(&w->run, w->lex.text, &token);
        }
    }
    emit(w, (struct addr_item){.start = start,
                               .end = end,
                               .internal = arena_span(w->arena, strbuf_span(&w->run)),
                               .in_angle = true,
                               .had_route = had_route});
    strbuf_reset(&w->run);
}

static void walk_operator(struct walk *w, const struct addr_lex_token *token)
{
    switch (token->op) {
    case '<':
        walk_angle(w);
        break;
    case ':':
        if (route_ends(w)) {
            add_to_run(w, token);
            break;
        }
        end_run(w);
        drop_pending(w);
        w->info.group = true;
        w->adjacent = false;
        break;
    case ',':
    case ';':
        flush(w);
        w->adjacent = false;
        break;
    case '>': /* stray */
        end_run(w);
        break;
    default:
        add_to_run(w, token);
    }
}

struct addr_walk_info addr_walk(struct span text, struct arena *arena,
                                void (*item)(void *arg, const struct addr_item *it),
                                void *arg)
{
    struct walk w = {.lex = {.text = text}, .arena = arena, .item = item, .arg = arg};

    strbuf_init(&w.run);
    drop_pending(&w);
    for (;;) {
        struct addr_lex_token token = addr_lex_next(&w.lex);
        if (token.kind == ADDR_LEX_END)
            break;
        if (token.kind == ADDR_LEX_COMMENT)
            w.info.comment = true;
        else if (token.kind == ADDR_LEX_OP)
            walk_operator(&w, &token);
        else
            add_to_run(&w, &token);
    }
    flush(&w);
    strbuf_free(&w.run);
    return w.info;
}
