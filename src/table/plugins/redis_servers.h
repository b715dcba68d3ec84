/* The servers of a redis table: those that are configured, and in a cluster those that
 * they send us to. Safe on several threads at once. */
#ifndef TABLE_PLUGINS_REDIS_SERVERS_H
#define TABLE_PLUGINS_REDIS_SERVERS_H

#include "table/plugins/redis_conn.h"

#define REDIS_MAX_NODES     200 /* of a cluster */
#define REDIS_MAX_REDIRECTS 5

struct redis_servers;

/* hosts: separated by commas and white space. settings must outlive this. Connects to
 * nothing yet; never NULL. */
struct redis_servers *redis_servers_new(const struct redis_settings *settings,
                                        const char *hosts, unsigned idle_s,
                                        unsigned retry_s);
void redis_servers_free(struct redis_servers *servers); /* NULL allowed */

struct redis_request {
    const struct span *args;
    size_t count;
    struct span key; /* decides on the node of a cluster */
    bool change;     /* not for servers that can only be read */
};
/* FOUND: *reply_out is the reply (freeReplyObject), no error reply, and err may hold a
 * warning. Otherwise RETRY or BROKEN with err. */
enum table_status redis_servers_ask(struct redis_servers *servers,
                                    const struct redis_request *request,
                                    redisReply **reply_out, struct err *err);
/* Has any server turned out to be part of a cluster? */
bool redis_servers_clustered(struct redis_servers *servers);

#endif
