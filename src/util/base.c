#include "util/base.h"

#include <stdlib.h>
#include <unistd.h>

_Noreturn static void out_of_memory(void)
{
    static const char text[] = "fatal: out of memory\n";
    ssize_t unused = write(STDERR_FILENO, text, sizeof text - 1);

    (void)unused;
    _exit(1);
}

void *xmalloc(size_t size)
{
    void *ptr = malloc(size ? size : 1);

    if (!ptr)
        out_of_memory();
    return ptr;
}

void *xcalloc(size_t count, size_t size)
{
    void *ptr = calloc(count ? count : 1, size ? size : 1);

    if (!ptr)
        out_of_memory();
    return ptr;
}

void *xrealloc(void *old, size_t size)
{
    void *ptr = realloc(old, size ? size : 1);

    if (!ptr)
        out_of_memory();
    return ptr;
}

char *xstrdup(const char *str)
{
    return xstrndup(str, strlen(str));
}

char *xstrndup(const char *str, size_t len)
{
    char *copy = xmalloc(len + 1);

    memcpy(copy, str, len);
    copy[len] = '\0';
    return copy;
}
