/* Where mail for a recipient goes: transport, next hop, and the class of the address
 * (local, virtual alias, virtual mailbox, relay, default). */
#ifndef TRIVIAL_REWRITE_RESOLVE_H
#define TRIVIAL_REWRITE_RESOLVE_H

#include "global/rewrite_client.h"
#include "trivial-rewrite/resolve_class.h"

struct resolver;

/* Start-up: opens all tables. NULL with err. */
struct resolver *resolver_open(const struct config *cfg, struct err *err);
void resolver_close(struct resolver *resolver); /* NULL allowed */

/* sender and address in internal form; probe: for address verification, with the
 * address_verify_ variants of the parameters. Results live in arena. Trouble with a
 * table gives RESOLVE_FAIL. */
void resolver_resolve(struct resolver *resolver, bool probe, struct span sender,
                      struct span address, struct arena *arena, struct resolve *out);

/* Name of a table that has changed on disk, or NULL. */
const char *resolver_changed(const struct resolver *resolver);

#endif
