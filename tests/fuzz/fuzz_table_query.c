/* A client configuration and a key: settings, template expansion, quoting, results. No
 * crash; what stands between quotes in a query holds no lone quote; a secret never
 * shows in an error. Input: configuration, NUL, key. */
#include <stdlib.h>
#include <unistd.h>

#include "table/backend.h"
#include "util/msg.h"

static bool quote(void *arg, struct strbuf *out, struct span text)
{
    (void)arg;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            strbuf_add_char(out, '\'');
        strbuf_add_char(out, text.ptr[i]);
    }
    return true;
}

static void ask(const struct backend *backend, const char *template, struct span key)
{
    const struct backend_quote quoting = {.add = quote};
    struct strbuf query = STRBUF_INIT, value = STRBUF_INIT;
    struct backend_result result = backend_result_start(backend, key, &value);
    struct err err;
    size_t quotes = 0;

    if (backend_query(backend, template, key, &quoting, &query, &err) == TABLE_FOUND) {
        if (!strchr(template, '\'')) {
            for (size_t i = 0; i < query.len; i++)
                quotes += query.ptr[i] == '\'';
            if (quotes % 2)
                abort();
        }
        backend_result_add(&result, key, &err);
        backend_result_add(&result, strbuf_span(&query), &err);
    } else if (query.len > 0) {
        abort();
    }
    strbuf_free(&query);
    strbuf_free(&value);
}

static void run(struct table *table, struct span key)
{
    struct err err;
    struct backend_conf *conf = backend_conf_open(table, &err);

    if (!conf)
        return;
    struct backend *backend = backend_new(table, conf);
    const char *query = backend_conf_template(conf, "query", "%s");
    backend_conf_time(conf, "idle_interval", 60, 1, 3600);
    backend_conf_bool(conf, "bind", true);
    backend_conf_need(conf, "dbname");
    backend_conf_ok(conf, &err);
    if (backend_template_ok(query, &err))
        ask(backend, query, key);
    backend_free(backend);
    backend_conf_free(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/fuzz-query-XXXXXX";
    const char *end = memchr(data, '\0', size);
    size_t len = end ? (size_t)(end - (const char *)data) : size;
    struct span key = end ? span_of(end + 1, size - len - 1) : SPAN_LIT("a@b.test");
    struct table table = {.full_name = "fuzz:x"};

    /* No tables and no files: those are the file system's. */
    if (memmem(data, len, "domain", 6) &&
        (memchr(data, ':', len) || memchr(data, '/', len)))
        return -1;
    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    int fd = mkstemp(path);
    if (fd < 0)
        return 0;
    if (write(fd, data, len) == (ssize_t)len) {
        table.name = path;
        run(&table, key);
    }
    close(fd);
    unlink(path);
    return 0;
}
