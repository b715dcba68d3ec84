#include "table/plugins/mongodb_filter.h"

bson_t *mongodb_json(const char *text, struct err *err)
{
    bson_json_reader_t *reader = bson_json_data_reader_new(false, 0);
    bson_t *doc = bson_new(), more = BSON_INITIALIZER;
    bson_error_t error = {0};

    bson_json_data_reader_ingest(reader, (const uint8_t *)text, strlen(text));
    int got = text[strspn(text, " \t\r\n")] == '{'
                  ? bson_json_reader_read(reader, doc, &error)
                  : 0;
    if (got == 0)
        err_set(err, "not a JSON object");
    if (got > 0 && bson_json_reader_read(reader, &more, &error) != 0) {
        err_set(err, "text after the JSON object");
        got = 0;
    }
    if (got < 0)
        err_set(err, "%s", error.message);
    bson_destroy(&more);
    bson_json_reader_destroy(reader);
    if (got > 0)
        return doc;
    bson_destroy(doc);
    return NULL;
}

/* -- reading a filter -- */

enum macros {
    MACROS_ALLOWED,
    MACROS_NEED_LITERAL, /* an expression */
    MACROS_REFUSED,      /* program text */
};

static bool is_program(const char *name)
{
    return strcmp(name, "$where") == 0 || strcmp(name, "$function") == 0 ||
           strcmp(name, "$accumulator") == 0;
}

static enum macros inside(enum macros outside, const char *name)
{
    if (outside == MACROS_REFUSED || is_program(name))
        return MACROS_REFUSED;
    if (strcmp(name, "$expr") == 0)
        return MACROS_NEED_LITERAL;
    return strcmp(name, "$literal") == 0 ? MACROS_ALLOWED : outside;
}

static bool check_text(struct span text, enum macros macros, struct err *err)
{
    if (!memchr(text.ptr, '%', text.len))
        return true;
    if (macros == MACROS_REFUSED)
        return err_set(err, "\"%%\" in program text: \"%.*s\"", SPAN_ARG(text));
    if (macros == MACROS_NEED_LITERAL)
        return err_set(err, "\"%%\" in an expression must be inside $literal: \"%.*s\"",
                       SPAN_ARG(text));
    if (memchr(text.ptr, '\0', text.len))
        return err_set(err, "NUL in a string with \"%%\"");
    return backend_template_ok(text.ptr, err);
}

static bool check(bson_iter_t *at, enum macros outside, struct err *err);

static bool check_value(bson_iter_t *at, enum macros macros, struct err *err)
{
    bson_iter_t child;
    uint32_t len;

    switch (bson_iter_type(at)) {
    case BSON_TYPE_UTF8: {
        const char *text = bson_iter_utf8(at, &len);
        return check_text(span_of(text, len), macros, err);
    }
    case BSON_TYPE_REGEX:
        return check_text(span_str(bson_iter_regex(at, NULL)), macros, err);
    case BSON_TYPE_CODE: {
        const char *text = bson_iter_code(at, &len);
        return check_text(span_of(text, len), MACROS_REFUSED, err);
    }
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        return !bson_iter_recurse(at, &child) || check(&child, macros, err);
    default:
        return true;
    }
}

static bool check(bson_iter_t *at, enum macros outside, struct err *err)
{
    while (bson_iter_next(at)) {
        const char *name = bson_iter_key(at);
        if (strchr(name, '%'))
            return err_set(err, "\"%%\" in the name of a field: \"%s\"", name);
        if (!check_value(at, inside(outside, name), err))
            return false;
    }
    return true;
}

bson_t *mongodb_filter_parse(const char *text, struct err *err)
{
    bson_t *doc = mongodb_json(text, err);
    bson_iter_t at;

    if (!doc || (bson_iter_init(&at, doc) && check(&at, MACROS_ALLOWED, err)))
        return doc;
    bson_destroy(doc);
    return NULL;
}

/* -- putting a key in -- */

/* For a regular expression: a character that is no letter or digit stands for itself
 * behind a backslash. */
static bool quote_regex(void *arg UNUSED, struct strbuf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x80 && !ascii_alnum((char)c))
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, (char)c);
    }
    return true;
}

static bool add_regex(bson_t *out, const char *name, bson_iter_t *at, struct span key)
{
    const struct backend_quote quote = {.add = quote_regex};
    struct strbuf pattern = STRBUF_INIT;
    const char *options;
    const char *template = bson_iter_regex(at, &options);
    bool ok = backend_expand(template, key, key, &quote, &pattern) &&
              bson_append_regex(out, name, -1, pattern.ptr, options);

    strbuf_free(&pattern);
    return ok;
}

static bool add_text(bson_t *out, const char *name, bson_iter_t *at, struct span key)
{
    /* The pattern of an expression that is not written as one. */
    bool regex = strcmp(name, "$regex") == 0;
    const struct backend_quote quote = {.add = quote_regex};
    struct strbuf text = STRBUF_INIT;
    uint32_t len;
    const char *template = bson_iter_utf8(at, &len);

    if (!memchr(template, '%', len))
        return bson_append_iter(out, name, -1, at);
    bool ok = backend_expand(template, key, key, regex ? &quote : NULL, &text) &&
              bson_append_utf8(out, name, -1, text.ptr, (int)text.len);
    strbuf_free(&text);
    return ok;
}

static bool expand(bson_t *out, bson_iter_t *at, struct span key);

static bool add_nested(bson_t *out, const char *name, bson_iter_t *at, struct span key)
{
    bool array = bson_iter_type(at) == BSON_TYPE_ARRAY;
    bson_iter_t child_at;
    bson_t child;

    if (!bson_iter_recurse(at, &child_at))
        return false;
    if (!(array ? bson_append_array_begin(out, name, -1, &child)
                : bson_append_document_begin(out, name, -1, &child)))
        return false;
    bool ok = expand(&child, &child_at, key);
    return (array ? bson_append_array_end(out, &child)
                  : bson_append_document_end(out, &child)) &&
           ok;
}

static bool expand(bson_t *out, bson_iter_t *at, struct span key)
{
    bool ok = true;

    while (ok && bson_iter_next(at)) {
        const char *name = bson_iter_key(at);
        switch (bson_iter_type(at)) {
        case BSON_TYPE_UTF8:
            ok = add_text(out, name, at, key);
            break;
        case BSON_TYPE_REGEX:
            ok = add_regex(out, name, at, key);
            break;
        case BSON_TYPE_DOCUMENT:
        case BSON_TYPE_ARRAY:
            ok = add_nested(out, name, at, key);
            break;
        default:
            ok = bson_append_iter(out, name, -1, at);
        }
    }
    return ok;
}

bson_t *mongodb_filter_expand(const bson_t *template, struct span key)
{
    bson_t *filter = bson_new();
    bson_iter_t at;

    if (bson_iter_init(&at, template) && expand(filter, &at, key))
        return filter;
    bson_destroy(filter);
    return NULL;
}
