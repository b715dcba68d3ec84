#include "postmap/content.h"

#include "global/header.h"
#include "util/arena.h"
#include "util/strbuf.h"

#define NESTING_MAX 1000

enum state {
    CONTENT_HEADER, /* of the message */
    CONTENT_PART,   /* of a part, or of an attached message */
    CONTENT_BODY,
};

struct boundary {
    struct boundary *outer;
    struct span text;
    bool digest; /* its parts are messages unless they say otherwise */
};

struct scan {
    const struct content_want *want;
    void (*emit)(void *arg, struct span text);
    void *arg;
    enum state state;
    bool in_header;       /* field has begun */
    bool is_message;      /* the entity whose header this is holds a message */
    struct strbuf field;  /* as it will be given out */
    struct boundary *top; /* innermost */
    size_t depth;
    struct arena *arena;
};

static void emit_body(const struct scan *sc, struct span line)
{
    if (sc->want->body)
        sc->emit(sc->arg, line);
}

/* -- Content-Type -- */

static void skip_blank(struct span *rest)
{
    size_t depth = 0, i = 0;

    for (; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (c == '\\' && depth > 0 && i + 1 < rest->len)
            i++;
        else if (c == '(')
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (depth == 0 && !ascii_space(c))
            break;
    }
    *rest = span_skip(*rest, i);
}

/* A token or a quoted string, which comes without its quotes; empty at a separator. */
static struct span take_word(struct scan *sc, struct span *rest)
{
    struct strbuf word = STRBUF_INIT;
    bool quoted = false;
    size_t i = 0;

    skip_blank(rest);
    quoted = rest->len > 0 && rest->ptr[0] == '"';
    for (i = quoted; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (quoted ? c == '"' : ascii_space(c) || strchr("/=;(\"", c))
            break;
        if (c == '\\' && quoted && i + 1 < rest->len)
            c = rest->ptr[++i];
        strbuf_add_char(&word, c);
    }
    *rest = span_skip(*rest, quoted && i < rest->len ? i + 1 : i);
    struct span copy = arena_span(sc->arena, strbuf_span(&word));
    strbuf_free(&word);
    return copy;
}

/* A boundary may hold characters that should have been quoted. */
static struct span take_boundary(struct scan *sc, struct span *rest)
{
    size_t len = 0;

    skip_blank(rest);
    if (rest->len > 0 && rest->ptr[0] == '"')
        return take_word(sc, rest);
    while (len < rest->len && !ascii_space(rest->ptr[len]) &&
           !strchr(";(\"", rest->ptr[len]))
        len++;
    return arena_span(sc->arena, span_first(*rest, len));
}

static bool take_char(struct span *rest, char c)
{
    skip_blank(rest);
    if (rest->len == 0 || rest->ptr[0] != c)
        return false;
    *rest = span_skip(*rest, 1);
    return true;
}

static void push_boundary(struct scan *sc, struct span rest, bool digest)
{
    while (rest.len > 0) {
        span_cut(&rest, ';');
        struct span name = take_word(sc, &rest);
        if (!span_ieq_str(name, "boundary") || !take_char(&rest, '='))
            continue;
        struct span text = take_boundary(sc, &rest);
        if (text.len == 0 || sc->depth == NESTING_MAX)
            return;
        struct boundary *boundary = arena_alloc(sc->arena, sizeof(*boundary));
        *boundary = (struct boundary){sc->top, text, digest};
        sc->top = boundary;
        sc->depth++;
        return;
    }
}

static void see_content_type(struct scan *sc, struct span value)
{
    struct span type = take_word(sc, &value), subtype = SPAN_EMPTY;

    if (take_char(&value, '/'))
        subtype = take_word(sc, &value);
    sc->is_message =
        span_ieq_str(type, "message") &&
        (span_ieq_str(subtype, "rfc822") || span_ieq_str(subtype, "global"));
    if (span_ieq_str(type, "multipart"))
        push_boundary(sc, value, span_ieq_str(subtype, "digest"));
}

/* -- lines -- */

static void end_field(struct scan *sc)
{
    struct span name, value, field = strbuf_span(&sc->field);

    if (!sc->in_header)
        return;
    sc->in_header = false;
    if (sc->want->mime && header_parse_line(field, &name, &value) &&
        span_ieq_str(name, "Content-Type"))
        see_content_type(sc, value);
    if (sc->want->headers)
        sc->emit(sc->arg, field);
}

static bool begin_field(struct scan *sc, struct span line)
{
    struct span name, value;

    if (!header_parse_line(line, &name, &value))
        return false;
    end_field(sc);
    strbuf_reset(&sc->field);
    strbuf_add_span(&sc->field, name);
    strbuf_add_char(&sc->field, ':');
    strbuf_add_span(&sc->field, value);
    sc->in_header = true;
    return true;
}

/* "--boundary" of this part or of one around it, which ends the parts inside. */
static bool at_boundary(struct scan *sc, struct span line)
{
    if (!sc->want->mime || !span_starts(line, SPAN_LIT("--")))
        return false;
    struct span rest = span_skip(line, 2);
    struct boundary *found = sc->top;
    size_t depth = sc->depth;
    for (; found && !span_starts(rest, found->text); found = found->outer)
        depth--;
    if (!found)
        return false;
    bool closes = span_starts(span_skip(rest, found->text.len), SPAN_LIT("--"));
    sc->top = closes ? found->outer : found;
    sc->depth = depth - closes;
    sc->state = closes ? CONTENT_BODY : CONTENT_PART;
    sc->is_message = found->digest;
    return true;
}

static void body_line(struct scan *sc, struct span line)
{
    at_boundary(sc, line);
    emit_body(sc, line);
}

static void header_line(struct scan *sc, struct span line)
{
    if (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t') && sc->in_header) {
        strbuf_add_char(&sc->field, '\n');
        strbuf_add_span(&sc->field, line);
        return;
    }
    if (begin_field(sc, line))
        return;
    end_field(sc);
    bool is_message = sc->is_message && sc->want->mime && line.len == 0;
    bool first = sc->state == CONTENT_HEADER;
    sc->state = is_message ? CONTENT_PART : CONTENT_BODY;
    sc->is_message = false;
    if (line.len == 0)
        emit_body(sc, line);
    else {
        if (first) /* what should have been there */
            emit_body(sc, SPAN_EMPTY);
        body_line(sc, line);
    }
}

void content_scan(struct span message, const struct content_want *want,
                  void (*emit)(void *arg, struct span text), void *arg)
{
    struct scan sc = {.want = want, .emit = emit, .arg = arg, .arena = arena_new()};

    strbuf_init(&sc.field);
    while (message.len > 0) {
        struct span line = span_cut(&message, '\n');
        const char *nul = memchr(line.ptr, '\0', line.len);
        if (nul)
            line = span_first(line, (size_t)(nul - line.ptr));
        if (sc.state == CONTENT_BODY)
            body_line(&sc, line);
        else
            header_line(&sc, line);
    }
    end_field(&sc);
    strbuf_free(&sc.field);
    arena_free(sc.arena);
}
