#include <stdlib.h>
#include <unistd.h>

#include "table/plugin_load.h"
#include "table/table_type.h"

extern const struct table_type table_type_btree, table_type_cidr, table_type_debug,
    table_type_environ, table_type_fail, table_type_hash, table_type_inline,
    table_type_internal, table_type_lmdb, table_type_memcache, table_type_pcre,
    table_type_pipemap, table_type_proxy, table_type_randmap, table_type_regexp,
    table_type_socketmap, table_type_static, table_type_tcp, table_type_texthash,
    table_type_unionmap, table_type_unix;

static const struct table_type *const types[] = {
    &table_type_btree,     &table_type_cidr,     &table_type_debug,
    &table_type_environ,   &table_type_fail,     &table_type_hash,
    &table_type_inline,    &table_type_internal, &table_type_lmdb,
    &table_type_memcache,  &table_type_pcre,     &table_type_pipemap,
    &table_type_proxy,     &table_type_randmap,  &table_type_regexp,
    &table_type_socketmap, &table_type_static,   &table_type_tcp,
    &table_type_texthash,  &table_type_unionmap, &table_type_unix,
};

const struct table_type *table_type_find(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (span_eq_str(name, types[i]->name))
            return types[i];
    return NULL;
}

const char *table_type_name(size_t index)
{
    return index < ARRAY_LEN(types) ? types[index]->name : NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_among(const char **names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

const char **table_type_names(const struct table_env *env, struct arena *arena,
                              struct err *err)
{
    struct plugin_entry *entries;
    size_t count = ARRAY_LEN(types);

    if (!plugin_list(env, arena, &entries, err))
        return NULL;
    for (const struct plugin_entry *entry = entries; entry; entry = entry->next)
        count++;
    const char **names = arena_alloc(arena, (count + 1) * sizeof(*names));
    count = 0;
    for (; count < ARRAY_LEN(types); count++)
        names[count] = types[count]->name;
    for (const struct plugin_entry *entry = entries; entry; entry = entry->next)
        if (!is_among(names, count, entry->type) && access(entry->path, R_OK) == 0)
            names[count++] = entry->type;
    qsort(names, count, sizeof(*names), by_name);
    return names;
}

bool table_type_is_buildable(struct span type)
{
    const struct table_type *found = table_type_find(type);

    return found && found->buildable;
}
