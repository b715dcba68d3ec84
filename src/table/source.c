#include "table/source.h"

#include "util/escape.h"
#include "util/msg.h"

#define SHOWN_MAX 30

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

/* Does the logical line go on behind what has been read? Skips what is skipped. */
static bool continues(struct source *src, struct span *line_out)
{
    while (src->pos < src->text.len) {
        if (!ascii_space(src->text.ptr[src->pos]) && src->text.ptr[src->pos] != '#')
            return false;
        struct span line = peek_line(src);
        if (!is_skipped(line)) {
            *line_out = line;
            return ascii_space(line.ptr[0]);
        }
        src->pos += line.len;
        src->next_line++;
    }
    return false;
}

static struct span take_line(struct source *src, struct span line)
{
    src->pos += line.len;
    src->next_line++;
    if (line.ptr[line.len - 1] == '\n')
        line.len--;
    return line;
}

/* With trailing white space. Most logical lines are one line of the text, which need
 * not be copied. */
static bool logical_line(struct source *src, struct span *line_out)
{
    struct span line = peek_line(src);

    while (line.len > 0 && is_skipped(line)) {
        take_line(src, line);
        line = peek_line(src);
    }
    src->line = src->next_line;
    *line_out = SPAN_EMPTY;
    if (line.len == 0)
        return false;
    *line_out = take_line(src, line);
    if (continues(src, &line)) {
        strbuf_reset(&src->buf);
        strbuf_add_span(&src->buf, *line_out);
        do {
            strbuf_add_span(&src->buf, take_line(src, line));
        } while (continues(src, &line));
        *line_out = strbuf_span(&src->buf);
    }
    return true;
}

bool source_line(struct source *src, struct span *line_out)
{
    bool found = logical_line(src, line_out);

    *line_out = span_rtrim(*line_out);
    return found;
}

bool source_line_begins(const struct source *src, struct span line)
{
    struct span start = span_first(line, SHOWN_MAX);
    struct strbuf shown = STRBUF_INIT;

    if (line.len == 0 || !ascii_space(line.ptr[0]))
        return true;
    escape_printable(&shown, start, '?', true);
    msg_warn("%s: logical line must not start with whitespace: \"%s%s\"", src->path,
             shown.ptr, start.len < line.len ? "..." : "");
    strbuf_free(&shown);
    return false;
}

/* Length of the token at the start, up to white space outside of double quotes; -1:
 * a quote is left open. */
static ssize_t quoted_token(struct span line, const char *stop)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < line.len; i++) {
        char c = line.ptr[i];
        if (c == '\\' && i + 1 < line.len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c && strchr(stop, c))
            break;
    }
    return quoted ? -1 : (ssize_t)i;
}

enum source_syntax source_split_map(struct span line, struct span *key_out,
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

void source_entries_init(struct source_entries *entries, const char *path,
                         struct span text, enum source_style style, bool utf8)
{
    *entries = (struct source_entries){.style = style, .utf8 = utf8, .bad_suffix = ""};
    source_init(&entries->src, path, text);
    strbuf_init(&entries->key);
    strbuf_init(&entries->value);
}

void source_entries_free(struct source_entries *entries)
{
    source_free(&entries->src);
    strbuf_free(&entries->key);
    strbuf_free(&entries->value);
}

static bool acceptable(const struct source_entries *entries, struct span line)
{
    if (!entries->utf8 || span_is_ascii(line) || span_is_utf8(line))
        return true;
    struct strbuf shown = STRBUF_INIT;
    escape_printable(&shown, line, '?', true);
    msg_warn("%s, line %d: non-UTF-8 input \"%.1000s\" -- ignoring this line",
             entries->src.path, entries->src.line, shown.ptr);
    strbuf_free(&shown);
    return false;
}

static bool split(struct source_entries *entries, struct span line,
                  struct span *key_out, struct span *value_out)
{
    enum source_syntax syntax;
    struct err err;

    if (entries->style == SOURCE_MAP) {
        syntax = source_split_map(line, key_out, value_out, &err);
    } else {
        syntax = source_split_alias(line, &entries->key, &entries->value, &err);
        *key_out = strbuf_span(&entries->key);
        *value_out = strbuf_span(&entries->value);
    }
    if (syntax == SOURCE_ENTRY)
        return true;
    const char *suffix = strstr(err.text, "ignoring") ? "" : entries->bad_suffix;
    msg_warn("%s, line %d: %s%s", entries->src.path, entries->src.line, err.text,
             suffix);
    return false;
}

bool source_entries_next(struct source_entries *entries, struct span *key_out,
                         struct span *value_out)
{
    struct span line;

    while (logical_line(&entries->src, &line)) {
        const char *nul = memchr(line.ptr, '\0', line.len);
        if (nul)
            line = span_first(line, (size_t)(nul - line.ptr));
        if (line.len == 0 && entries->style == SOURCE_ALIAS)
            continue;
        if (source_line_begins(&entries->src, line) && acceptable(entries, line) &&
            split(entries, line, key_out, value_out)) {
            if (entries->style == SOURCE_MAP && key_out->ptr[key_out->len - 1] == ':')
                msg_warn("%s, line %d: record is in \"key: value\" format; is this an "
                         "alias file?",
                         entries->src.path, entries->src.line);
            return true;
        }
    }
    return false;
}
