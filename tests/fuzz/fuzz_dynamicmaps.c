/* dynamicmaps.cf from memory. No crash; every entry has a type that is a word and a
 * path without NUL below the given directory, or an absolute one. */
#include <stdlib.h>

#include "table/plugin_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct plugin_entry *entries = NULL, **tail = &entries;
    struct err err = {0};
    bool ok = plugin_parse(arena, "dynamicmaps.cf", span_of((const char *)data, size),
                           "/lib", &tail, &err);

    if (ok == (err.text[0] != '\0'))
        abort();
    for (; entries; entries = entries->next)
        if (!entries->type[0] || strpbrk(entries->type, "/ :.") ||
            entries->path[0] != '/')
            abort();
    arena_free(arena);
    return 0;
}
