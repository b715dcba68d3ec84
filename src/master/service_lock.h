/* Lock files below pid/ and data_directory: one master an instance, one process of
 * a solitary service. */
#ifndef MASTER_SERVICE_LOCK_H
#define MASTER_SERVICE_LOCK_H

#include "util/err.h"
#include "util/file.h"

/* Open (create, mode 0600) and lock path exclusively without waiting. The lock
 * lives as long as *fd_out is open. Never follows symbolic links. */
enum lock_result service_lock_take(const char *path, int *fd_out, struct err *err);
/* Write the pid as master does: right-aligned in 32 columns and a newline. */
bool service_lock_write_pid(int fd, pid_t pid);
/* Who holds path: its pid; 0 when the lock is free or path does not exist; -1 when
 * that cannot be told. */
pid_t service_lock_holder(const char *path);

#endif
