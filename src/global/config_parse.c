/* main.cf as text: logical lines, names and values. */
#include "global/config_internal.h"
#include "util/msg.h"
#include "util/strbuf.h"

struct reader {
    struct span rest;
    int line;             /* of the physical line in hand */
    struct strbuf joined; /* the logical line */
    int start;            /* its first physical line */
};

static bool is_comment_or_blank(struct span line)
{
    struct span text = span_ltrim(line);

    return !text.len || text.ptr[0] == '#';
}

/* Comments and blank lines do not end a logical line, the next text that starts in
 * the first column does. */
static bool next_logical(struct reader *r)
{
    strbuf_reset(&r->joined);
    while (r->rest.ptr) {
        struct span peek = r->rest;
        struct span line = span_cut(&peek, '\n');
        bool continues = line.len && ascii_space(line.ptr[0]);

        if (!is_comment_or_blank(line)) {
            if (!continues && r->joined.len)
                break;
            if (!r->joined.len)
                r->start = r->line + 1;
            strbuf_add_span(&r->joined, line);
        }
        r->line++;
        r->rest = peek;
    }
    return r->joined.len > 0;
}

static bool parse_line(struct config *cfg, const char *file, struct span line,
                       int number, struct err *err)
{
    size_t len = 0;
    struct span value;

    while (len < line.len && line.ptr[len] != '=' && !ascii_space(line.ptr[len]))
        len++;
    if (!len)
        return err_set(err, "%s, line %d: missing attribute name: \"%.*s\"", file, number,
                       SPAN_ARG(line));
    value = span_ltrim(span_skip(line, len));
    if (!value.len || value.ptr[0] != '=')
        return err_set(err, "%s, line %d: missing '=' after attribute name: \"%.*s\"",
                       file, number, SPAN_ARG(line));
    config_set(cfg, span_first(line, len), span_trim(span_skip(value, 1)), number);
    return true;
}

bool config_parse(struct config *cfg, const char *file, struct span text, struct err *err)
{
    struct reader r = {.rest = text, .joined = STRBUF_INIT};
    bool ok = true;

    if (memchr(text.len ? text.ptr : "", '\0', text.len))
        return err_set(err, "%s: the file holds a NUL byte", file);
    while (ok && next_logical(&r)) {
        struct span line = strbuf_span(&r.joined);

        if (ascii_space(line.ptr[0]))
            msg_warn("%s, line %d: logical line must not start with whitespace: \"%.*s\"",
                     file, r.start, SPAN_ARG(line));
        else
            ok = parse_line(cfg, file, line, r.start, err);
    }
    strbuf_free(&r.joined);
    return ok;
}
