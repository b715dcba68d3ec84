/* What a redis server sends, and a query with a key. No crash, no leak; a key is always
 * part of one argument; a redirect names a host that can stand in a list of hosts.
 * Input: a reply, or query, NUL, prefix, NUL, key. */
#include <stdlib.h>

#include "table/plugins/redis_proto.h"
#include "table/plugins/redis_query.h"

static bool count_bytes(void *arg, struct span value)
{
    size_t *bytes = arg;

    *bytes += value.len;
    return true;
}

static void read_redirect(struct span text)
{
    struct redis_redirect to;

    if (redis_redirect_parse(text, &to) &&
        (to.port == 0 || to.slot >= REDIS_SLOTS || strpbrk(to.host, ", \t\r\n/[]\"")))
        abort();
    redis_error_status(text);
}

static void read_replies(const uint8_t *data, size_t size)
{
    redisReader *reader = redis_reader_new();
    size_t bytes = 0, half = size / 2;
    void *reply = NULL;

    redisReaderFeed(reader, (const char *)data, half);
    redisReaderFeed(reader, (const char *)data + half, size - half);
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
        const redisReply *got = reply;
        if (got->type == REDIS_REPLY_ERROR)
            read_redirect(span_of(got->str, (size_t)got->len));
        redis_reply_each(got, count_bytes, &bytes);
        freeReplyObject(reply);
        reply = NULL;
    }
    if (reader->err && !redis_reader_problem(reader)[0])
        abort();
    if (bytes > 64 * size) /* numbers are printed */
        abort();
    redis_reader_free(reader);
}

static void expand(const struct redis_query *query, struct span key)
{
    struct redis_args args;
    size_t total = 0;

    if (redis_query_expand(query, key, &args)) {
        if (args.count != query->count || args.count < 2)
            abort();
        for (size_t i = 0; i < args.count; i++)
            total += args.arg[i].len;
        if (total != args.text.len)
            abort();
        if (!span_starts(args.arg[1], span_str(query->prefix)))
            abort();
        redis_key_slot(args.arg[1]);
    }
    redis_args_free(&args);
}

static void ask(struct span input)
{
    struct span text = span_cut(&input, '\0'), prefix = span_cut(&input, '\0');
    char *query_text = xstrndup(text.ptr, text.len);
    char *prefix_text = xstrndup(prefix.ptr ? prefix.ptr : "", prefix.len);
    struct strbuf pattern = STRBUF_INIT;
    struct redis_query query;
    struct err err = {0};

    if (redis_query_parse(&query, query_text, prefix_text, &err))
        expand(&query, input.ptr ? input : SPAN_LIT("a@b.test"));
    else if (!err.text[0])
        abort();
    redis_query_free(&query);
    redis_scan_pattern(prefix_text, &pattern);
    strbuf_free(&pattern);
    free(query_text);
    free(prefix_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 64 * 1024)
        return -1;
    read_replies(data, size);
    read_redirect(span_of((const char *)data, size));
    ask(span_of((const char *)data, size));
    return 0;
}
