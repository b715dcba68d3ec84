/* Client of trivial-rewrite (private/rewrite, multiplexed, request attributes):
 *   request=rewrite context=local|remote address=A     -> address=B
 *   request=resolve sender=S address=A [probe=1]        -> transport nexthop
 *                                                          recipient flags
 * Results are cached for a few seconds (bounded). The service being away is
 * REWRITE_RETRY: the caller defers or says 451. */
#ifndef GLOBAL_REWRITE_CLIENT_H
#define GLOBAL_REWRITE_CLIENT_H

#include "global/config.h"
#include "util/arena.h"

enum rewrite_status { REWRITE_OK, REWRITE_RETRY };

enum resolve_flag {
    RESOLVE_ROUTED = 1,          /* sender-specified routing in the local part */
    RESOLVE_ERROR = 2,           /* bad address: transport is error, nexthop says why */
    RESOLVE_FAIL = 4,            /* table or resolver trouble: try again later */
    RESOLVE_CLASS_LOCAL = 8,     /* final: mydestination, *_interfaces */
    RESOLVE_CLASS_ALIAS = 16,    /* virtual_alias_domains */
    RESOLVE_CLASS_VIRTUAL = 32,  /* virtual_mailbox_domains */
    RESOLVE_CLASS_RELAY = 64,    /* relay_domains */
    RESOLVE_CLASS_DEFAULT = 128, /* anything else */
};
#define RESOLVE_CLASS_FINAL                                                            \
    (RESOLVE_CLASS_LOCAL | RESOLVE_CLASS_ALIAS | RESOLVE_CLASS_VIRTUAL)

struct resolve {
    const char *transport, *nexthop, *recipient;
    int flags;
};

struct rewrite_client;
struct rewrite_client *rewrite_client_new(const struct config *cfg);
void rewrite_client_free(struct rewrite_client *rc);

/* "local": append_at_myorigin etc. apply; "remote": remote_header_rewrite_domain. */
enum rewrite_status rewrite_address(struct rewrite_client *rc, const char *context,
                                    struct span address, struct arena *arena,
                                    const char **result_out);
enum rewrite_status rewrite_resolve(struct rewrite_client *rc, const char *sender,
                                    struct span address, struct arena *arena,
                                    struct resolve *resolve_out);

#endif
