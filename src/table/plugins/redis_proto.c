#include "table/plugins/redis_proto.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH 8 /* of nested arrays */

#define STRING_OF(number)      STRING_OF_TOKEN(number)
#define STRING_OF_TOKEN(token) #token

/* The type of the count changed with the first major release. */
#if HIREDIS_MAJOR >= 1
#define ELEMENT_COUNT size_t
#else
#define ELEMENT_COUNT int
#endif

struct reader_limits {
    redisReplyObjectFunctions bounded;
    redisReplyObjectFunctions *stock;
    bool too_many;
};

static void *create_bounded_array(const redisReadTask *task, ELEMENT_COUNT count)
{
    struct reader_limits *limits = task->privdata;

    limits->too_many = (unsigned long long)count > REDIS_MAX_ELEMENTS;
    if (limits->too_many)
        return NULL;
    return limits->stock->createArray(task, count);
}

redisReader *redis_reader_new(void)
{
    redisReader *reader = redisReaderCreate();
    struct reader_limits *limits = xcalloc(1, sizeof(*limits));

    if (!reader)
        panic("redisReaderCreate: out of memory");
    limits->stock = reader->fn;
    limits->bounded = *reader->fn;
    limits->bounded.createArray = create_bounded_array;
    reader->fn = &limits->bounded;
    reader->privdata = limits;
    return reader;
}

void redis_reader_free(redisReader *reader)
{
    if (!reader)
        return;
    struct reader_limits *limits = reader->privdata;
    redisReaderFree(reader);
    free(limits);
}

const char *redis_reader_problem(const redisReader *reader)
{
    const struct reader_limits *limits = reader->privdata;

    return limits->too_many ? "more than " STRING_OF(REDIS_MAX_ELEMENTS) " elements"
                            : reader->errstr;
}

/* It goes into a list of hosts, and to the name service. */
static bool is_host(struct span host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!ascii_alnum(host.ptr[i]) && !memchr(".-_:%", host.ptr[i], 5))
            return false;
    return host.len <= REDIS_MAX_HOST;
}

static bool parse_endpoint(struct span text, struct redis_redirect *redirect)
{
    ssize_t colon = span_rchr(text, ':');
    uint32_t port;

    if (colon < 0 || !span_u32(span_skip(text, (size_t)colon + 1), &port) ||
        port == 0 || port > UINT16_MAX)
        return false;
    struct span host = span_first(text, (size_t)colon);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = span_of(host.ptr + 1, host.len - 2);
    if (!is_host(host))
        return false;
    redirect->port = (uint16_t)port;
    snprintf(redirect->host, sizeof(redirect->host), "%.*s", SPAN_ARG(host));
    return true;
}

bool redis_redirect_parse(struct span text, struct redis_redirect *redirect_out)
{
    struct span kind = span_cut(&text, ' ');
    struct span slot = span_cut(&text, ' ');
    uint32_t number;

    redirect_out->ask = span_eq_str(kind, "ASK");
    if (!redirect_out->ask && !span_eq_str(kind, "MOVED"))
        return false;
    if (!span_u32(slot, &number) || number >= REDIS_SLOTS)
        return false;
    redirect_out->slot = number;
    return parse_endpoint(text, redirect_out);
}

static unsigned crc16(struct span data)
{
    unsigned crc = 0;

    for (size_t i = 0; i < data.len; i++) {
        crc ^= (unsigned)(unsigned char)data.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
    }
    return crc;
}

unsigned redis_key_slot(struct span key)
{
    ssize_t open = span_chr(key, '{');

    if (open >= 0) {
        struct span inside = span_skip(key, (size_t)open + 1);
        ssize_t close = span_chr(inside, '}');
        if (close > 0)
            key = span_first(inside, (size_t)close);
    }
    return crc16(key) % REDIS_SLOTS;
}

bool redis_error_is_crowded(struct span text)
{
    return span_starts(text, SPAN_LIT("ERR max number of clients"));
}

enum table_status redis_error_status(struct span text)
{
    static const char *const hopeless[] = {"ERR", "WRONGTYPE", "CROSSSLOT", "NOSCRIPT"};
    if (redis_error_is_crowded(text))
        return TABLE_RETRY;
    struct span code = span_cut(&text, ' ');
    for (size_t i = 0; i < ARRAY_LEN(hopeless); i++)
        if (span_eq_str(code, hopeless[i]))
            return TABLE_BROKEN;
    return TABLE_RETRY;
}

static bool each_in(const redisReply *reply, int depth,
                    bool (*each)(void *arg, struct span value), void *arg)
{
    char number[24];

    switch (reply->type) {
    case REDIS_REPLY_NIL:
        return true;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return each(arg, span_of(reply->str, (size_t)reply->len));
    case REDIS_REPLY_INTEGER:
        snprintf(number, sizeof(number), "%lld", reply->integer);
        return each(arg, span_str(number));
    case REDIS_REPLY_ARRAY:
        break;
    default:
        return false;
    }
    if (depth >= MAX_DEPTH)
        return false;
    for (size_t i = 0; i < reply->elements; i++)
        if (!each_in(reply->element[i], depth + 1, each, arg))
            return false;
    return true;
}

bool redis_reply_each(const redisReply *reply,
                      bool (*each)(void *arg, struct span value), void *arg)
{
    return each_in(reply, 0, each, arg);
}
