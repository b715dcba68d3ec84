#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/backend.h"
#include "util/arena.h"

#define FILE_MAX_BYTES (1024 * 1024)

struct setting {
    struct setting *next;
    struct span name;
    const char *value;
};

struct backend_conf {
    const struct table_env *env;
    const char *name; /* the path, or the prefix of parameters in main.cf */
    bool is_file;
    bool failed;
    struct err err, warning;
    struct arena *arena;
    struct setting *settings;
};

static void warn(struct backend_conf *conf, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void warn(struct backend_conf *conf, const char *fmt, ...)
{
    struct err *warning = &conf->warning;
    size_t len = strlen(warning->text);
    va_list ap;

    if (len > 0)
        len += (size_t)snprintf(warning->text + len, sizeof warning->text - len, "; ");
    if (len >= sizeof warning->text)
        return;
    va_start(ap, fmt);
    vsnprintf(warning->text + len, sizeof warning->text - len, fmt, ap);
    va_end(ap);
}

static struct setting *find(struct backend_conf *conf, struct span name)
{
    for (struct setting *s = conf->settings; s; s = s->next)
        if (span_eq(s->name, name))
            return s;
    return NULL;
}

/* The value may be a password: only the name is ever shown. */
static bool add_line(struct backend_conf *conf, int line_number, struct span line,
                     struct err *err)
{
    struct span value = line;
    struct span name = span_trim(span_cut(&value, '='));

    if (!value.ptr)
        return err_set(err, "%s, line %d: missing '=' after attribute name", conf->name,
                       line_number);
    if (name.len == 0)
        return err_set(err, "%s, line %d: missing attribute name", conf->name,
                       line_number);
    if (memchr(line.ptr, '\0', line.len))
        return err_set(err, "%s, line %d: a NUL byte", conf->name, line_number);
    struct setting *setting = find(conf, name);
    if (setting) {
        warn(conf, "%s, line %d: overriding earlier entry: %.*s", conf->name,
             line_number, SPAN_ARG(name));
    } else {
        setting = arena_alloc(conf->arena, sizeof(*setting));
        setting->name = arena_span(conf->arena, name);
        setting->next = conf->settings;
        conf->settings = setting;
    }
    setting->value = arena_span_str(conf->arena, span_trim(value));
    return true;
}

static bool is_skipped(struct span line)
{
    struct span text = span_ltrim(line);

    return text.len == 0 || text.ptr[0] == '#';
}

/* As in main.cf: a line that begins with white space goes on with the one before. */
static bool add_lines(struct backend_conf *conf, struct span text, struct err *err)
{
    struct strbuf whole = STRBUF_INIT;
    int number = 0, begun = 0;
    bool ok = true;

    strbuf_reserve(&whole, text.len);
    while (ok && text.len > 0) {
        struct span line = span_cut(&text, '\n');
        number++;
        if (is_skipped(line))
            continue;
        if (begun && !ascii_space(line.ptr[0])) {
            ok = add_line(conf, begun, strbuf_span(&whole), err);
            strbuf_reset(&whole);
            begun = 0;
        }
        if (!begun)
            begun = number;
        strbuf_add_span(&whole, line);
    }
    if (ok && begun)
        ok = add_line(conf, begun, strbuf_span(&whole), err);
    if (whole.cap)
        explicit_bzero(whole.ptr, whole.cap);
    strbuf_free(&whole);
    return ok;
}

static bool read_fd(int fd, const char *path, size_t size, struct strbuf *text,
                    struct err *err)
{
    ssize_t count;

    strbuf_reserve(text, size); /* no copies of a password left by growing */
    while ((count = read(fd, text->ptr + text->len, size - text->len)) != 0) {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return err_set(err, "read %s: %s", path, strerror(errno));
        text->len += (size_t)count;
    }
    text->ptr[text->len] = '\0';
    return true;
}

static void warn_if_readable(struct backend_conf *conf, const struct stat *st)
{
    static const char *const secrets[] = {"password", "bind_pw", "uri"};

    if (!(st->st_mode & S_IROTH))
        return;
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        const struct setting *s = find(conf, span_str(secrets[i]));
        if (s && s->value[0] &&
            (strcmp(secrets[i], "uri") != 0 || strchr(s->value, '@')))
            warn(conf, "%s holds a password and can be read by every user", conf->name);
    }
}

/* O_NONBLOCK: opening a FIFO would wait. */
static bool read_file(struct backend_conf *conf, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    struct stat st;
    int fd = open(conf->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return err_set(err, "open %s: %s", conf->name, strerror(errno));
    bool ok = fstat(fd, &st) == 0;
    if (!ok)
        err_set(err, "open %s: %s", conf->name, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        ok = err_set(err, "open %s: not a regular file", conf->name);
    else if (st.st_size > FILE_MAX_BYTES)
        ok = err_set(err, "open %s: larger than %d bytes", conf->name, FILE_MAX_BYTES);
    else
        ok = read_fd(fd, conf->name, (size_t)st.st_size, &text, err) &&
             add_lines(conf, strbuf_span(&text), err);
    close(fd);
    if (ok)
        warn_if_readable(conf, &st);
    if (text.cap)
        explicit_bzero(text.ptr, text.cap);
    strbuf_free(&text);
    return ok;
}

struct backend_conf *backend_conf_open(const struct table *table, struct err *err)
{
    struct backend_conf *conf = xcalloc(1, sizeof(*conf));

    conf->env = table->env;
    conf->arena = arena_new();
    conf->name = arena_str(conf->arena, table->name);
    conf->is_file = table->name[0] == '/' || table->name[0] == '.';
    if (conf->is_file && !read_file(conf, err)) {
        backend_conf_free(conf);
        return NULL;
    }
    return conf;
}

void backend_conf_free(struct backend_conf *conf)
{
    if (!conf)
        return;
    for (struct setting *s = conf->settings; s; s = s->next)
        explicit_bzero((char *)s->value, strlen(s->value));
    arena_free(conf->arena);
    free(conf);
}

static const char *raw_value(struct backend_conf *conf, const char *name)
{
    if (conf->is_file) {
        const struct setting *setting = find(conf, span_str(name));
        return setting ? setting->value : NULL;
    }
    if (!conf->env)
        return NULL;
    const char *full = arena_printf(conf->arena, "%s_%s", conf->name, name);
    return conf->env->param(conf->env->arg, full);
}

/* "FILE: TEXT: NAME", or "TEXT: PREFIX_NAME"; the first one stays. */
static void fail(struct backend_conf *conf, const char *text, const char *name,
                 const char *rest)
{
    if (conf->failed)
        return;
    conf->failed = true;
    if (conf->is_file)
        err_set(&conf->err, "%s: %s: %s%s", conf->name, text, name, rest);
    else
        err_set(&conf->err, "%s: %s_%s%s", text, conf->name, name, rest);
}

const char *backend_conf_str(struct backend_conf *conf, const char *name,
                             const char *otherwise)
{
    const char *value = raw_value(conf, name);

    return value ? value : otherwise;
}

const char *backend_conf_need(struct backend_conf *conf, const char *name)
{
    const char *value = backend_conf_str(conf, name, "");

    if (!value[0])
        fail(conf, "bad string length 0 < 1", name, " = ");
    return value;
}

static void fail_value(struct backend_conf *conf, const char *text, const char *name,
                       const char *value)
{
    fail(conf, text, name, arena_printf(conf->arena, " = %s", value));
}

static int64_t bounded(struct backend_conf *conf, const char *name, const char *text,
                       int64_t value, int64_t min, int64_t max)
{
    if (value >= min && value <= max)
        return value;
    fail(conf, "bad numerical configuration", name,
         arena_printf(conf->arena, " = %s (allowed: %lld to %lld)", text,
                      (long long)min, (long long)max));
    return min;
}

int64_t backend_conf_num(struct backend_conf *conf, const char *name, int64_t otherwise,
                         int64_t min, int64_t max)
{
    const char *text = raw_value(conf, name);
    int64_t value;

    if (!text || !text[0])
        return otherwise;
    if (!span_i64(span_str(text), &value)) {
        fail_value(conf, "bad numerical configuration", name, text);
        return otherwise;
    }
    return bounded(conf, name, text, value, min, max);
}

static int64_t unit_seconds(char unit)
{
    switch (ascii_lower(unit)) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 7 * 86400;
    default:
        return 0;
    }
}

int64_t backend_conf_time(struct backend_conf *conf, const char *name,
                          int64_t otherwise, int64_t min, int64_t max)
{
    const char *text = raw_value(conf, name);
    struct span number = span_str(text);
    int64_t value, unit = 1;

    if (number.len == 0)
        return otherwise;
    if (!ascii_digit(number.ptr[number.len - 1])) {
        unit = unit_seconds(number.ptr[number.len - 1]);
        number.len--;
    }
    if (unit == 0 || !span_i64(number, &value) || value > INT64_MAX / unit ||
        value < 0) {
        fail_value(conf, "bad time configuration", name, text);
        return otherwise;
    }
    return bounded(conf, name, text, value * unit, min, max);
}

bool backend_conf_bool(struct backend_conf *conf, const char *name, bool otherwise)
{
    const char *text = raw_value(conf, name);

    if (!text || !text[0])
        return otherwise;
    if (span_ieq_str(span_str(text), "yes"))
        return true;
    if (!span_ieq_str(span_str(text), "no"))
        fail_value(conf, "bad boolean configuration", name, text);
    return false;
}

const char *backend_conf_template(struct backend_conf *conf, const char *name,
                                  const char *otherwise)
{
    const char *text = backend_conf_str(conf, name, otherwise);
    struct err err;

    if (text && !backend_template_ok(text, &err))
        backend_conf_bad(conf, name, "%s", err.text);
    return text;
}

void backend_conf_bad(struct backend_conf *conf, const char *name, const char *fmt, ...)
{
    struct err why;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why.text, sizeof why.text, fmt, ap);
    va_end(ap);
    fail(conf, "bad value of", name, arena_printf(conf->arena, ": %s", why.text));
}

bool backend_conf_ok(const struct backend_conf *conf, struct err *err)
{
    *err = conf->failed ? conf->err : conf->warning;
    return !conf->failed;
}

const char *backend_conf_source(const struct backend_conf *conf)
{
    return conf->name;
}
