/* What the copies of util's and table's files in a plug-in expect of a program. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "table/plugin.h"

static const struct table_host *loaded_by;

void table_plugin_set_host(const struct table_host *host)
{
    loaded_by = host;
}

const struct table_host *table_host(void)
{
    return loaded_by;
}

_Noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("panic: table plug-in: ", stderr);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}
