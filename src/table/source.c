#include "table/source.h"

void source_init(struct source *src, const char *path, struct span text)
{
    *src = (struct source){.path = path, .text = text, .next_line = 1};
    strbuf_init(&src->buf);
}

void source_free(struct source *src)
{
    strbuf_free(&src->buf);
}

static struct span peek_line(const struct source *src)
{
    struct span rest = span_skip(src->text, src->pos);
    ssize_t end = span_chr(rest, '\n');

    return end < 0 ? rest : span_first(rest, (size_t)end + 1);
}

static bool is_skipped(struct span line)
{
    struct span text = span_ltrim(line);

    return text.len == 0 || text.ptr[0] == '#';
}

bool source_line(struct source *src, struct span *line_out)
{
    bool begun = false;

    strbuf_reset(&src->buf);
    while (src->pos < src->text.len) {
        struct span line = peek_line(src);
        if (!is_skipped(line)) {
            bool continues = ascii_space(line.ptr[0]);
            if (begun && !continues)
                break;
            if (!begun)
                src->line = src->next_line;
            begun = true;
            if (line.ptr[line.len - 1] == '\n')
                strbuf_add(&src->buf, line.ptr, line.len - 1);
            else
                strbuf_add_span(&src->buf, line);
        }
        src->pos += line.len;
        src->next_line++;
    }
    *line_out = span_rtrim(strbuf_span(&src->buf));
    return begun;
}

/* Length of the token at the start, up to white space outside of double quotes; -1:
 * a quote is left open. */
static ssize_t quoted_token(struct span line, const char *stop)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < line.len; i++) {
        char c = line.ptr[i];
        if (c == '\\' && quoted && i + 1 < line.len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c && strchr(stop, c))
            break;
    }
    return quoted ? -1 : (ssize_t)i;
}

enum source_entry source_split_map(struct span line, struct span *key_out,
                                   struct span *value_out, struct err *err)
{
    line = span_ltrim(line);
    ssize_t len = quoted_token(line, " \t\r\n\v\f");
    if (len < 0) {
        err_set(err, "unbalanced '\"' in '%.*s' -- ignoring this line", SPAN_ARG(line));
        return SOURCE_MALFORMED;
    }
    *key_out = span_first(line, (size_t)len);
    *value_out = span_trim(span_skip(line, (size_t)len));
    if (key_out->len > 0 && value_out->len > 0)
        return SOURCE_ENTRY;
    err_set(err, "expected format: key whitespace value");
    return SOURCE_MALFORMED;
}

static void add_unquoted(struct strbuf *sb, struct span text)
{
    bool quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '\\' && i + 1 < text.len)
            c = text.ptr[++i];
        strbuf_add_char(sb, c);
    }
}

static bool has_bare_at(struct span name)
{
    ssize_t len = quoted_token(name, "@");

    return len >= 0 && (size_t)len < name.len;
}

enum source_entry source_split_alias(struct span line, struct strbuf *key_out,
                                     struct span *value_out, struct err *err)
{
    line = span_ltrim(line);
    ssize_t len = quoted_token(line, ":");
    struct span name = span_trim(span_first(line, len < 0 ? 0 : (size_t)len));

    *value_out = len < 0 ? SPAN_EMPTY : span_trim(span_skip(line, (size_t)len + 1));
    if (name.len == 0 || (size_t)len >= line.len || value_out->len == 0) {
        err_set(err, "need name:value pair");
        return SOURCE_MALFORMED;
    }
    if (has_bare_at(name)) {
        err_set(err, "name must be local");
        return SOURCE_MALFORMED;
    }
    strbuf_reset(key_out);
    add_unquoted(key_out, name);
    return SOURCE_ENTRY;
}

bool source_is_alias(struct span line)
{
    ssize_t colon = quoted_token(line, ":");
    ssize_t space = quoted_token(line, " \t");

    if (colon <= 0 || (size_t)colon >= line.len)
        return false;
    if (space >= 0 && space < colon) /* "name : value" */
        return span_trim(span_of(line.ptr + space, (size_t)(colon - space))).len == 0;
    return true;
}
