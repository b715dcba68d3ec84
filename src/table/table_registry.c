#include "table/table_type.h"

extern const struct table_type table_type_btree, table_type_cidr, table_type_environ,
    table_type_fail, table_type_hash, table_type_inline, table_type_internal,
    table_type_lmdb, table_type_pcre, table_type_pipemap, table_type_proxy,
    table_type_regexp, table_type_static, table_type_texthash, table_type_unionmap,
    table_type_unix;

static const struct table_type *const types[] = {
    &table_type_btree,  &table_type_cidr,     &table_type_environ,  &table_type_fail,
    &table_type_hash,   &table_type_inline,   &table_type_internal, &table_type_lmdb,
    &table_type_pcre,   &table_type_pipemap,  &table_type_proxy,    &table_type_regexp,
    &table_type_static, &table_type_texthash, &table_type_unionmap, &table_type_unix,
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

bool table_type_is_buildable(struct span type)
{
    const struct table_type *found = table_type_find(type);

    return found && found->buildable;
}
