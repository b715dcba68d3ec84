#include "table/backend.h"

#include <stdlib.h>

#include "table/backend_domain.h"
#include "util/escape.h"

#define RESULT_MAX (1024 * 1024)

struct backend {
    char *table_name, *source;
    char *result_format;
    int64_t expansion_limit;
    struct backend_domains *domains; /* NULL: any key */
};

struct backend *backend_new(const struct table *table, struct backend_conf *conf)
{
    struct backend *backend = xcalloc(1, sizeof(*backend));
    const char *format = backend_conf_template(conf, "result_format", NULL);
    const char *domains = backend_conf_str(conf, "domain", "");
    struct err err;

    if (!format)
        format = backend_conf_template(conf, "result_filter", NULL);
    backend->result_format = xstrdup(format && format[0] ? format : "%s");
    backend->table_name = xstrdup(table->full_name);
    backend->source = xstrdup(backend_conf_source(conf));
    /* A negative one means none, as it always did. */
    backend->expansion_limit =
        backend_conf_num(conf, "expansion_limit", 0, INT32_MIN, INT32_MAX);
    if (span_trim(span_str(domains)).len > 0) {
        backend->domains = backend_domains_open(table, domains, &err);
        if (!backend->domains)
            backend_conf_bad(conf, "domain", "%s", err.text);
    }
    return backend;
}

void backend_free(struct backend *backend)
{
    if (!backend)
        return;
    backend_domains_free(backend->domains);
    free(backend->result_format);
    free(backend->table_name);
    free(backend->source);
    free(backend);
}

int64_t backend_expansion_limit(const struct backend *backend)
{
    return backend->expansion_limit > 0 ? backend->expansion_limit : 0;
}

/* -- templates -- */

/* All, when there is no domain. */
static struct span local_part(struct span address)
{
    ssize_t at = span_rchr(address, '@');

    return at < 0 ? address : span_first(address, (size_t)at);
}

static struct span domain_part(struct span address)
{
    ssize_t at = span_rchr(address, '@');

    return at < 0 ? SPAN_EMPTY : span_skip(address, (size_t)at + 1);
}

/* Parts of a domain counted from the right, beginning with 1; empty ones do not count.
 */
static struct span numbered_part(struct span domain, int number)
{
    struct span part = SPAN_EMPTY;

    while (number > 0 && domain.len > 0) {
        ssize_t dot = span_rchr(domain, '.');
        part = span_skip(domain, (size_t)(dot + 1));
        domain = span_first(domain, dot < 0 ? 0 : (size_t)dot);
        number -= part.len > 0;
    }
    return number == 0 ? part : SPAN_EMPTY;
}

/* Empty: there is no such part. */
static struct span letter_part(char letter, struct span value, struct span key)
{
    switch (letter) {
    case 's':
        return value;
    case 'u':
        return local_part(value);
    case 'd':
        return domain_part(value);
    case 'S':
        return key;
    case 'U':
        return local_part(key);
    case 'D':
        return domain_part(key);
    default:
        return numbered_part(domain_part(key), letter - '0');
    }
}

static bool is_letter(char c)
{
    return c && strchr("sudSUD123456789", c);
}

static bool add_quoted(const struct backend_quote *quote, struct strbuf *out,
                       struct span text)
{
    if (quote)
        return quote->add(quote->arg, out, text);
    strbuf_add_span(out, text);
    return true;
}

bool backend_expand(const char *template, struct span value, struct span key,
                    const struct backend_quote *quote, struct strbuf *out)
{
    size_t before = out->len;

    for (const char *cp = template; *cp; cp++) {
        if (*cp != '%' || !cp[1]) {
            strbuf_add_char(out, *cp);
        } else if (*++cp == '%') {
            strbuf_add_char(out, '%');
        } else {
            struct span part = letter_part(*cp, value, key);
            if (part.len == 0 || !add_quoted(quote, out, part)) {
                strbuf_truncate(out, before);
                return false;
            }
        }
    }
    return true;
}

bool backend_template_ok(const char *template, struct err *err)
{
    for (const char *cp = template; *cp; cp++) {
        if (*cp != '%')
            continue;
        cp++;
        if (*cp != '%' && !is_letter(*cp))
            return err_set(err, "Invalid template: \"%s\": \"%%%.1s\" means nothing",
                           template, cp);
    }
    return true;
}

/* -- queries -- */

static void show_key(struct strbuf *sb, struct span key)
{
    escape_printable(sb, span_first(key, 200), '?', true);
}

enum table_status backend_wanted(const struct backend *backend, struct span key,
                                 struct err *err)
{
    ssize_t at = span_rchr(key, '@');

    if (!span_is_utf8(key))
        return TABLE_NOT_FOUND;
    if (!backend->domains)
        return TABLE_FOUND;
    if (at <= 0 || (size_t)at + 1 == key.len)
        return TABLE_NOT_FOUND;
    enum table_status status =
        backend_domains_find(backend->domains, domain_part(key), err);
    if (status == TABLE_RETRY)
        err_prefix(err, "%s", backend->source);
    return status;
}

enum table_status backend_query(const struct backend *backend, const char *template,
                                struct span key, const struct backend_quote *quote,
                                struct strbuf *out, struct err *err)
{
    enum table_status status = backend_wanted(backend, key, err);

    if (status == TABLE_FOUND && !backend_expand(template, key, key, quote, out))
        return TABLE_NOT_FOUND;
    return status;
}

/* -- results -- */

struct backend_result backend_result_start(const struct backend *backend,
                                           struct span key, struct strbuf *value)
{
    return (struct backend_result){.backend = backend, .key = key, .value = value};
}

static void note_empty(const struct backend_result *result, struct err *err)
{
    struct strbuf key = STRBUF_INIT;

    show_key(&key, result->key);
    err_set(err, "table \"%s\": empty lookup result for: \"%s\" -- ignored",
            result->backend->table_name, key.ptr);
    strbuf_free(&key);
}

static bool too_many(const struct backend_result *result, struct err *err)
{
    struct strbuf key = STRBUF_INIT;

    show_key(&key, result->key);
    err_set(err, "%s: Expansion limit exceeded for key '%s'", result->backend->source,
            key.ptr);
    strbuf_free(&key);
    return false;
}

bool backend_result_add(struct backend_result *result, struct span value,
                        struct err *err)
{
    const struct backend *backend = result->backend;
    size_t before = result->value->len;

    if (value.len == 0) {
        note_empty(result, err);
        return true;
    }
    if (result->count > 0)
        strbuf_add_char(result->value, ',');
    if (!backend_expand(backend->result_format, value, result->key, NULL,
                        result->value)) {
        strbuf_truncate(result->value, before);
        return true;
    }
    result->count++;
    if (backend->expansion_limit > 0 &&
        result->count > (uint64_t)backend->expansion_limit)
        return too_many(result, err);
    if (result->value->len > RESULT_MAX)
        return err_set(err, "%s: a result of more than %d bytes", backend->source,
                       RESULT_MAX);
    return true;
}

enum table_status backend_result_status(const struct backend_result *result)
{
    return result->count > 0 ? TABLE_FOUND : TABLE_NOT_FOUND;
}
