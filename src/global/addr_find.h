/* Search tables for a mail address, from its full form to ever shorter partial keys,
 * as canonical(5), virtual(5), transport(5), access(5) describe it. Keys are tried in
 * external form, then, when that differs, as they are. Tables of patterns see only the
 * full address. */
#ifndef GLOBAL_ADDR_FIND_H
#define GLOBAL_ADDR_FIND_H

#include "global/config.h"
#include "global/local_host.h"
#include "table/maps.h"

/* In the order in which they are tried. */
enum addr_find_step {
    ADDR_FIND_FULL = 1,   /* user+ext@domain */
    ADDR_FIND_NO_EXT = 2, /* user@domain */
    ADDR_FIND_USER = 4,   /* user+ext, then user, if the domain is $myorigin or ours */
    ADDR_FIND_AT_DOMAIN = 8,    /* @domain */
    ADDR_FIND_DOMAIN = 16,      /* domain */
    ADDR_FIND_PARENTS = 32,     /* domain's parents, without a leading dot */
    ADDR_FIND_DOT_PARENTS = 64, /* .domain of the parents */
    ADDR_FIND_USER_AT = 128,    /* user+ext@, then user@ */
};
/* canonical, virtual, generic, bcc and relocated maps */
#define ADDR_FIND_DEFAULT                                                              \
    (ADDR_FIND_FULL | ADDR_FIND_NO_EXT | ADDR_FIND_USER | ADDR_FIND_AT_DOMAIN)

struct addr_finder {
    const struct config *cfg;
    struct local_host *local; /* for ADDR_FIND_USER; NULL: only $myorigin is ours */
};

/* address: internal form. *extension_out (may be NULL): the extension that the key
 * found lacks, delimiter included, such as "+ext"; empty when it was part of the key or
 * there is none. Trouble is logged and TABLE_RETRY. */
enum table_status addr_find(const struct addr_finder *finder, struct maps *maps,
                            struct span address, unsigned steps, struct arena *arena,
                            const char **value_out, struct span *extension_out);

/* Find and expand: the value is a list of addresses. "@domain" stands for the same
 * local part at that domain. With propagate an extension that did not match is added
 * to each result. */
struct addr_list {
    struct span *list; /* internal form, in arena */
    size_t count;
};
enum table_status addr_map(const struct addr_finder *finder, struct maps *maps,
                           struct span address, unsigned steps, bool propagate,
                           struct arena *arena, struct addr_list *list_out);
/* Does propagate_unmatched_extensions name this kind ("canonical", "virtual", "alias",
 * "forward", "include", "generic")? */
bool addr_map_propagates(const struct config *cfg, const char *kind);

#endif
