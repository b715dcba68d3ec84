/* Configuration and start-up errors as values: functions return false (or NULL)
 * and leave the whole message, with file, line, name and value, in err. main()
 * prints it once. */
#ifndef UTIL_ERR_H
#define UTIL_ERR_H

#include "util/base.h"

struct err {
    char text[1024];
};

/* Always returns false, so that callers write: return err_set(err, ...). */
bool err_set(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Put "prefix: " before the text; returns false. */
bool err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
