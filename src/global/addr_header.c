#include <stdlib.h>

#include "global/addr.h"
#include "global/addr_lex.h"

struct rewrite {
    struct span value;
    const char *(*fn)(void *arg, struct span internal);
    void *arg;
    struct strbuf *out;
    size_t copied;
    bool changed; /* the address before */
    bool any_changed;
};

static void copy_until(struct rewrite *rw, size_t end)
{
    strbuf_add(rw->out, rw->value.ptr + rw->copied, end - rw->copied);
    rw->copied = end;
}

/* "John Doe" without brackets is two addresses; once qualified they would no longer be
 * read as two without a comma. */
static void insert_comma(struct rewrite *rw, size_t before)
{
    struct span between = span_of(rw->value.ptr + rw->copied, before - rw->copied);

    copy_until(rw, rw->copied + span_rtrim(between).len);
    strbuf_add_char(rw->out, ',');
}

static void rewrite_item(void *arg, const struct addr_item *it)
{
    struct rewrite *rw = arg;
    bool was_changed = rw->changed;

    rw->changed = false;
    if (it->internal.len == 0)
        return;
    const char *text = rw->fn(rw->arg, it->internal);
    char *plain = NULL;
    if (!text && it->had_route)
        text = plain = xstrndup(it->internal.ptr, it->internal.len);
    rw->changed = text != NULL;
    rw->any_changed |= rw->changed;
    if (it->adjacent && !it->in_angle && (text || was_changed))
        insert_comma(rw, it->start);
    copy_until(rw, it->start);
    if (!text)
        return;
    addr_quote(rw->out, span_str(text));
    rw->copied = it->end;
    free(plain);
}

bool addr_header_rewrite(struct span value, struct arena *arena,
                         const char *(*rewrite)(void *arg, struct span internal),
                         void *arg, struct strbuf *out)
{
    struct rewrite rw = {.value = value, .fn = rewrite, .arg = arg, .out = out};

    addr_walk(value, arena, rewrite_item, &rw);
    copy_until(&rw, value.len);
    return rw.any_changed;
}
