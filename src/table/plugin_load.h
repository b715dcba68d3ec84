/* Finding and loading plug-ins (plugin.h): $meta_directory/dynamicmaps.cf and the files
 * of dynamicmaps.cf.d beside it list them, "type file [open-function [mkmap-function]]"
 * a line; the functions are another program's and ignored. A relative file is taken
 * from $shlib_directory, and "postfix-TYPE.so" there stands for "gatepost-TYPE.so".
 * The first entry of a type counts. List and plug-in must belong to root or to the user
 * of this process and be writable by nobody else.
 *
 * Loading happens when a table is opened, before a service is jailed. What is loaded
 * stays. Not for worker threads. */
#ifndef TABLE_PLUGIN_LOAD_H
#define TABLE_PLUGIN_LOAD_H

#include "table/table_type.h"

struct plugin_entry {
    struct plugin_entry *next;
    const char *type, *path;
};

/* Entries in the order of the files; *out NULL when there are none. False with err: a
 * file is malformed or not to be trusted. */
bool plugin_list(const struct table_env *env, struct arena *arena,
                 struct plugin_entry **out, struct err *err);
/* The lines of one such file, for plugin_list. */
bool plugin_parse(struct arena *arena, const char *path, struct span text,
                  const char *shlib_directory, struct plugin_entry ***tail,
                  struct err *err);
/* NULL with err "unsupported dictionary type: TYPE" and perhaps why. */
const struct table_type *plugin_find(const struct table_env *env, struct span type,
                                     struct err *err);

#endif
