/* What every file of the project may assume: fixed-width types, a few macros,
 * and panic() for impossible conditions. No mail knowledge lives in util/. */
#ifndef UTIL_BASE_H
#define UTIL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(fmt_arg, first_arg)                                                \
    __attribute__((format(printf, fmt_arg, first_arg)))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define UNUSED                          __attribute__((unused))

/* A bug: say what was impossible, flush the log, abort(). Defined in msg.c. */
_Noreturn void panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Heap memory that is never NULL; out of memory is the one fatal exit inside
 * the libraries. xfree(NULL) is allowed. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size); /* overflow-checked, zeroed */
void *xrealloc(void *ptr, size_t size);
char *xstrdup(const char *str);
char *xstrndup(const char *str, size_t len);

#endif
