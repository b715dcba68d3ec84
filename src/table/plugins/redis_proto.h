/* Redis protocol (RESP2) pieces that need no connection: replies with bounds, the
 * redirects of a cluster, and the hash slot of a key. hiredis formats commands and
 * reads replies; what it is told by a server is not trusted here. */
#ifndef TABLE_PLUGINS_REDIS_PROTO_H
#define TABLE_PLUGINS_REDIS_PROTO_H

#include <hiredis/hiredis.h>

#include "table/table.h"

#define REDIS_SLOTS        16384
#define REDIS_MAX_ELEMENTS 100000             /* of one array */
#define REDIS_MAX_REPLY    (8u * 1024 * 1024) /* bytes of one reply */
#define REDIS_MAX_HOST     255

/* A reader that refuses arrays of more than REDIS_MAX_ELEMENTS before it allocates
 * them. Free with redis_reader_free. */
redisReader *redis_reader_new(void);
const char *redis_reader_problem(const redisReader *reader); /* after an error */
void redis_reader_free(redisReader *reader);                 /* NULL allowed */

/* "MOVED 3999 127.0.0.1:6381" and "ASK 3999 [2001:db8::1]:6381" (with or without
 * brackets: the last colon ends the host). An empty host means the server that sent
 * this. host is a copy. */
struct redis_redirect {
    bool ask;
    unsigned slot;
    uint16_t port;
    char host[REDIS_MAX_HOST + 1];
};
bool redis_redirect_parse(struct span text, struct redis_redirect *redirect_out);

/* CRC16 (XMODEM) of the key, or of its {hash tag}, modulo REDIS_SLOTS. */
unsigned redis_key_slot(struct span key);

/* Sent instead of a reply when there are too many connections; the server then closes
 * this one. */
bool redis_error_is_crowded(struct span text);

/* What an error reply means for a look-up: RETRY for what passes by itself or is a
 * matter of rights and load, BROKEN for a command that can never work. */
enum table_status redis_error_status(struct span text);

/* Call each for every value of a reply: strings, status lines and numbers, those in
 * arrays too (in order, nested ones flattened); nil has no value. False as soon as
 * each returns false, or for a type of reply that RESP2 does not have. */
bool redis_reply_each(const redisReply *reply,
                      bool (*each)(void *arg, struct span value), void *arg);

#endif
