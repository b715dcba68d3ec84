#include "table/plugins/sql_common.h"

#include <stdlib.h>
#include <time.h>

#define INTERVAL_MAX 86400
#define WAIT_MS      20000

char *sql_query_template(struct backend_conf *conf)
{
    const char *query = backend_conf_template(conf, "query", "");
    struct strbuf made = STRBUF_INIT;

    if (query[0])
        return xstrdup(query);
    const char *table = backend_conf_need(conf, "table");
    const char *select = backend_conf_need(conf, "select_field");
    const char *where = backend_conf_need(conf, "where_field");
    const char *more = backend_conf_str(conf, "additional_conditions", "");
    strbuf_addf(&made, "SELECT %s FROM %s WHERE %s = '%%s' %s", select, table, where,
                more);
    struct err err;
    if (!backend_template_ok(made.ptr, &err))
        backend_conf_bad(conf, "additional_conditions", "%s", err.text);
    return strbuf_detach(&made);
}

char *sql_copy_str(struct backend_conf *conf, const char *name)
{
    const char *value = backend_conf_str(conf, name, "");

    return value[0] ? xstrdup(value) : NULL;
}

struct conn_pool_limits sql_pool_limits(struct backend_conf *conf)
{
    return (struct conn_pool_limits){
        .wait_ms = WAIT_MS,
        .idle_s =
            (unsigned)backend_conf_time(conf, "idle_interval", 60, 1, INTERVAL_MAX),
        .retry_s =
            (unsigned)backend_conf_time(conf, "retry_interval", 60, 1, INTERVAL_MAX),
    };
}

bool sql_quote_standard(void *arg UNUSED, struct strbuf *out, struct span text)
{
    if (memchr(text.ptr, '\0', text.len))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            strbuf_add_char(out, '\'');
        strbuf_add_char(out, text.ptr[i]);
    }
    return true;
}

int64_t sql_now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static bool parse_port(const char *text, struct span port, struct sql_host *out,
                       struct err *err)
{
    uint32_t number;

    if (port.ptr && (!span_u32(port, &number) || number == 0 || number > 65535))
        return err_set(err, "bad port in host \"%s\"", text);
    out->port = port.ptr ? number : 0;
    return true;
}

bool sql_host_parse(const char *text, struct sql_host *out, struct err *err)
{
    struct span rest = span_str(text), host;

    *out = (struct sql_host){0};
    if (span_starts(rest, SPAN_LIT("unix:")) || text[0] == '/') {
        out->is_unix = true;
        out->name = xstrdup(text[0] == '/' ? text : text + strlen("unix:"));
        return true;
    }
    if (span_starts(rest, SPAN_LIT("inet:")))
        rest = span_skip(rest, strlen("inet:"));
    if (rest.len > 0 && rest.ptr[0] == '[') {
        rest = span_skip(rest, 1);
        host = span_cut(&rest, ']');
        if (!rest.ptr || (rest.len > 0 && rest.ptr[0] != ':'))
            return err_set(err, "bad host \"%s\"", text);
        rest = rest.len > 0 ? span_skip(rest, 1) : SPAN_EMPTY;
    } else {
        host = span_cut(&rest, ':');
    }
    if (host.len == 0 || !parse_port(text, rest, out, err))
        return host.len > 0 ? false : err_set(err, "bad host \"%s\"", text);
    out->name = xstrndup(host.ptr, host.len);
    return true;
}
