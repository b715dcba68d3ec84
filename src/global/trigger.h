/* Wake a service: connect to its socket, write a few bytes, close. */
#ifndef GLOBAL_TRIGGER_H
#define GLOBAL_TRIGGER_H

#include "util/base.h"

/* path: "public/qmgr", relative to the queue directory. In a fiber it waits without
 * blocking others. False and errno when nobody listens; the bytes are then lost. */
bool trigger_send(const char *path, const char *bytes, int64_t timeout_s);

#endif
