/* The name of an SMTP client: address to name, then name back to addresses, through
 * the system's name service (nsswitch.conf) in the offload pool. A name that does not
 * lead back to the address is never used as the client's name. */
#ifndef DNS_CLIENT_NAME_H
#define DNS_CLIENT_NAME_H

#include "util/net.h"

#define CLIENT_NAME_SIZE 256

enum client_name_status {
    CLIENT_NAME_OK,
    CLIENT_NAME_TEMP,   /* the look-up failed and may work later */
    CLIENT_NAME_PERM,   /* there is no (valid) name */
    CLIENT_NAME_FORGED, /* the name exists without this address */
};

struct client_name {
    /* Verified in both directions, or "unknown". */
    char name[CLIENT_NAME_SIZE];
    enum client_name_status name_status;
    /* What the address resolves to, verified or not, or "unknown". */
    char reverse_name[CLIENT_NAME_SIZE];
    enum client_name_status reverse_name_status;
    /* To be logged as a warning; empty when there is nothing to say. */
    char warning[CLIENT_NAME_SIZE + 256];
};

/* Fiber only. Answers are shared between fibers that ask at the same time, and kept
 * for a few seconds (not the temporary failures); at most 1,000. Addresses other than
 * IPv4 and IPv6 give "localhost" as verified. */
void client_name_lookup(const struct net_addr *addr, struct client_name *result_out);
/* Drop what is kept. */
void client_name_forget(void);

#endif
