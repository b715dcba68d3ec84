/* Which parameter names mean something in a configuration: built-in ones, those made
 * from the services of master.cf, and names of the operator's own that something
 * refers to. For postconf and "postfix check". */
#ifndef GLOBAL_CONFIG_USAGE_H
#define GLOBAL_CONFIG_USAGE_H

#include "global/config.h"
#include "global/master_cf.h"
#include "global/param.h"
#include "util/hash.h"

struct usage_name {
    struct hash_node node; /* keyed by name */
    const char *name;
    const struct param_row *pattern; /* of <transport>_... and <service>_... names */
};

struct config_usage {
    struct arena *arena;
    const struct config *cfg;
    const struct master_cf *mcf; /* NULL: not readable */
    struct hash names;           /* struct usage_name: valid though not built in */
    struct hash warned;          /* struct usage_name: undefined, and said so */
    struct hash options;         /* struct usage_name: set by -o in master.cf */
};

/* Both must outlive the result; mcf may be NULL. */
struct config_usage *config_usage_new(const struct config *cfg,
                                      const struct master_cf *mcf);
void config_usage_free(struct config_usage *usage);

/* Is a setting of that name worth something? */
bool config_usage_known(const struct config_usage *usage, struct span name);
/* "FILE: undefined parameter: NAME", once a name, for references to nothing. */
void config_usage_warn_undefined(struct config_usage *usage);
/* "FILE: unused parameter: NAME=VALUE", in the order of the files; and settings that
 * have a successor. */
void config_usage_warn_unused(struct config_usage *usage);
void config_usage_warn_unused_options(struct config_usage *usage); /* master.cf only */

/* The next name that *text refers to by $name and the like, in whatever branch. */
bool config_usage_next_reference(struct span *text, struct span *name_out);
/* Does a reference to that name find something? */
bool config_usage_defined(const struct config_usage *usage, struct span name);

/* Split the argument of "-o". False: no '='. */
bool config_usage_split(struct span setting, struct span *name_out,
                        struct span *value_out);

#endif
