/* Rewriting of addresses to standard form, user@fully.qualified.domain. */
#ifndef TRIVIAL_REWRITE_REWRITE_H
#define TRIVIAL_REWRITE_REWRITE_H

#include "global/config.h"

/* The domains with which incomplete addresses are completed. */
struct rewrite_context {
    const char *origin; /* for "user"; NULL: do not append */
    const char *domain; /* for "user@host"; NULL: do not append */
};

/* "local": myorigin and mydomain as configured. "remote":
 * remote_header_rewrite_domain for both, where appending is configured. */
struct rewrite_context rewrite_context_local(const struct config *cfg);
struct rewrite_context rewrite_context_remote(const struct config *cfg);

/* Internal form in, internal form out (in arena). Strips source routes and one trailing
 * dot, reads "site!user" and "user%site" where configured. */
struct span rewrite_standard_form(const struct config *cfg,
                                  const struct rewrite_context *context,
                                  struct span address, struct arena *arena);

#endif
