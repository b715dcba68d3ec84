/* The query of a redis table: a command with arguments. It is split into arguments
 * when the table is opened, and each is expanded by itself, so that a key with spaces,
 * quotes or line ends is always part of one argument. */
#ifndef TABLE_PLUGINS_REDIS_QUERY_H
#define TABLE_PLUGINS_REDIS_QUERY_H

#include "table/backend.h"

#define REDIS_MAX_ARGS 64

struct redis_command; /* a command that only reads */

struct redis_query {
    const struct redis_command *command;
    char *args[REDIS_MAX_ARGS]; /* templates; [0] is the command */
    size_t count;
    char *prefix; /* literal; put before every key of the command */
};

/* False with err: too long, an unclosed quote, a command that is not known to be
 * harmless, a bad template. redis_query_free is right in any case. */
bool redis_query_parse(struct redis_query *query, const char *text, const char *prefix,
                       struct err *err);
void redis_query_free(struct redis_query *query);
/* Do numbers of the reply mean false (0) and true (1)? */
bool redis_query_is_test(const struct redis_query *query);
/* GET: the query tells where a value is to be stored. */
bool redis_query_is_get(const struct redis_query *query);
/* GET of the key as it is: stored keys tell which keys there are. */
bool redis_query_is_plain(const struct redis_query *query);

/* A query with the key filled in; spans point into text. */
struct redis_args {
    struct strbuf text;
    struct span arg[REDIS_MAX_ARGS];
    size_t count;
};
/* False: the key lacks a part that the query needs. args is initialised either way and
 * freed with redis_args_free. */
bool redis_query_expand(const struct redis_query *query, struct span key,
                        struct redis_args *args);
void redis_args_free(struct redis_args *args);

/* For SCAN: a pattern that matches what begins with prefix. */
void redis_scan_pattern(const char *prefix, struct strbuf *out);

#endif
