#include "table/plugins/redis_query.h"

#include <stdlib.h>

struct redis_command {
    const char *name;
    bool many_keys; /* all arguments are keys; otherwise the first */
    bool test;
};

static const struct redis_command commands[] = {
    {"EXISTS", true, true},
    {"GET", false, false},
    {"GETRANGE", false, false},
    {"HEXISTS", false, true},
    {"HGET", false, false},
    {"HKEYS", false, false},
    {"HMGET", false, false},
    {"HVALS", false, false},
    {"LINDEX", false, false},
    {"LRANGE", false, false},
    {"MGET", true, false},
    {"SDIFF", true, false},
    {"SINTER", true, false},
    {"SISMEMBER", false, true},
    {"SMEMBERS", false, false},
    {"SRANDMEMBER", false, false},
    {"SUNION", true, false},
    {"ZRANGE", false, false},
    {"ZRANGEBYLEX", false, false},
    {"ZRANGEBYSCORE", false, false},
    {"ZREVRANGE", false, false},
    {"ZREVRANGEBYLEX", false, false},
    {"ZREVRANGEBYSCORE", false, false},
    {"ZSCORE", false, false},
};

static bool find_command(struct redis_query *query, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (span_ieq_str(span_str(query->args[0]), commands[i].name))
            query->command = &commands[i];
    if (!query->command)
        return err_set(err, "command %.40s is not one of those that only read",
                       query->args[0]);
    return query->count > 1 || err_set(err, "%s has no key", query->command->name);
}

/* One argument off the front, up to white space; double quotes keep it together and a
 * backslash in them takes the next character as it is. */
static bool cut_argument(struct span *rest, struct strbuf *arg, struct err *err)
{
    bool quoted = false;
    size_t i;

    for (i = 0; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (!quoted && ascii_space(c))
            break;
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (quoted && c == '\\' && i + 1 < rest->len)
            c = rest->ptr[++i];
        strbuf_add_char(arg, c);
    }
    *rest = span_ltrim(span_skip(*rest, i));
    return !quoted || err_set(err, "unbalanced double quote");
}

bool redis_query_parse(struct redis_query *query, const char *text, const char *prefix,
                       struct err *err)
{
    struct span rest = span_trim(span_str(text));

    *query = (struct redis_query){.prefix = xstrdup(prefix)};
    while (rest.len > 0) {
        struct strbuf arg = STRBUF_INIT;
        bool good = cut_argument(&rest, &arg, err);
        if (good && query->count == REDIS_MAX_ARGS)
            good = err_set(err, "more than %d arguments", REDIS_MAX_ARGS);
        if (good && query->count > 0)
            good = backend_template_ok(arg.ptr, err);
        if (!good) {
            strbuf_free(&arg);
            return false;
        }
        query->args[query->count++] = strbuf_detach(&arg);
    }
    if (query->count == 0)
        return err_set(err, "no command");
    return find_command(query, err);
}

void redis_query_free(struct redis_query *query)
{
    for (size_t i = 0; i < query->count; i++)
        free(query->args[i]);
    free(query->prefix);
    *query = (struct redis_query){0};
}

bool redis_query_is_test(const struct redis_query *query)
{
    return query->command->test;
}

bool redis_query_is_get(const struct redis_query *query)
{
    return strcmp(query->command->name, "GET") == 0 && query->count == 2;
}

bool redis_query_is_plain(const struct redis_query *query)
{
    return redis_query_is_get(query) && strcmp(query->args[1], "%s") == 0;
}

bool redis_query_expand(const struct redis_query *query, struct span key,
                        struct redis_args *args)
{
    size_t end[REDIS_MAX_ARGS];

    strbuf_init(&args->text);
    args->count = 0;
    strbuf_add_str(&args->text, query->command->name);
    end[0] = args->text.len;
    for (size_t i = 1; i < query->count; i++) {
        if (i == 1 || query->command->many_keys)
            strbuf_add_str(&args->text, query->prefix);
        if (!backend_expand(query->args[i], key, key, NULL, &args->text))
            return false;
        end[i] = args->text.len;
    }
    for (size_t i = 0; i < query->count; i++) {
        size_t start = i > 0 ? end[i - 1] : 0;
        args->arg[i] = span_of(args->text.ptr + start, end[i] - start);
    }
    args->count = query->count;
    return true;
}

void redis_args_free(struct redis_args *args)
{
    strbuf_free(&args->text);
}

void redis_scan_pattern(const char *prefix, struct strbuf *out)
{
    for (; *prefix; prefix++) {
        if (strchr("*?[]\\^", *prefix))
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, *prefix);
    }
    strbuf_add_char(out, '*');
}
