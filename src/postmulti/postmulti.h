/* The command postmulti: several mail systems on one host. */
#ifndef POSTMULTI_POSTMULTI_H
#define POSTMULTI_POSTMULTI_H

#include "global/config.h"

struct instance {
    const char *dir;          /* configuration directory */
    const char *name, *group; /* "" when none */
    const char *queue_directory, *data_directory;
    bool enabled, primary;
    struct config *cfg; /* NULL for one that is yet to be made */
};

/* What -a, -g and -i say; all NULL: every instance. */
struct selection {
    const char *name, *group; /* name "-": the primary instance */
};

struct postmulti {
    struct arena *arena;
    struct instance *instances; /* the primary one first */
    size_t count;
    struct selection selection;
    const char *new_name, *new_group; /* -I, -G; NULL: not given, "-": none */
    bool json;
    bool reverse;
    int argc; /* what follows the options */
    char **argv;
};

/* instances.c. Fatal when main.cf cannot be read, or is no primary instance's. */
void instances_load(struct postmulti *pm, const char *primary_dir);
void instances_free(struct postmulti *pm);
struct config *instance_config(const char *dir, struct err *err);
struct instance instance_from_config(struct config *cfg);
bool instance_is_selected(const struct postmulti *pm, const struct instance *instance);
/* The one that an edit is for. Fatal when there is none. */
struct instance *instance_selected(struct postmulti *pm);
/* Fatal when a new instance (or one with a new name) would get in the way of another.
 */
void instance_check_unique(const struct postmulti *pm, const struct instance *fresh);
void instances_print(const struct postmulti *pm);

/* edit.c, create.c, destroy.c: exit statuses. */
int edit_init(struct postmulti *pm);
int edit_enable(struct postmulti *pm);
int edit_disable(struct postmulti *pm);
int edit_assign(struct postmulti *pm);
int edit_import(struct postmulti *pm);
int edit_deport(struct postmulti *pm);
int edit_create(struct postmulti *pm);
int edit_destroy(struct postmulti *pm);

/* edit.c: what these actions share. Names of settings that the action takes end with
 * NULL; values go into the instance. Fatal for others. */
struct instance edit_new_instance(struct postmulti *pm, const char *action,
                                  const char *const *allowed);
void edit_list_instance(struct postmulti *pm, const char *dir, bool listed);
void edit_refuse_removal(const struct instance *instance);

/* run.c */
/* Change main.cf in dir; settings "name=value" end with NULL. False: postconf said why.
 */
bool run_postconf_try(const struct postmulti *pm, const char *dir,
                      const char *const *settings);
/* The same, fatal on failure. */
void run_postconf(const struct postmulti *pm, const char *dir,
                  const char *const *settings);
/* postfix -c DIR COMMAND...: its exit status. command ends with NULL. */
int run_postfix(const struct postmulti *pm, const struct instance *instance,
                char *const *command);
int run_postfix_each(struct postmulti *pm); /* -p */
int run_any_each(struct postmulti *pm);     /* -x */

#endif
