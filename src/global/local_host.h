/* Which domains and addresses are this host: mydestination, the addresses of
 * inet_interfaces, and proxy_interfaces. */
#ifndef GLOBAL_LOCAL_HOST_H
#define GLOBAL_LOCAL_HOST_H

#include "global/match_list.h"

struct local_host;

/* Looks up interface names (may block; call at start-up). NULL with err for names that
 * cannot be resolved. cfg must outlive it. */
struct local_host *local_host_open(const struct config *cfg, struct err *err);
void local_host_close(struct local_host *lh); /* NULL allowed */

/* Is mail for this domain ours by mydestination, or by the address in "[address]"? A
 * trailing dot does not matter. */
enum match_result local_host_is_local(struct local_host *lh, struct span domain);
/* An address that we listen on. */
bool local_host_owns(const struct local_host *lh, const struct net_addr *addr);
/* An address of proxy_interfaces. */
bool local_host_is_proxy(const struct local_host *lh, const struct net_addr *addr);
const char *local_host_changed(const struct local_host *lh);

/* The addresses to listen on and send from, without ports. */
size_t local_host_addresses(const struct local_host *lh,
                            const struct net_addr **list_out);

#endif
