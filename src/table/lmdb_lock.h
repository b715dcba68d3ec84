/* Locks on an index file: kernel record locks on all of the file, as all programs that
 * share these files use them. They end with their owner, need no second file, and a
 * read-only descriptor is enough for a shared one.
 *
 * Where the system has them, locks belong to the open file (F_OFD_SETLK) and not to the
 * process: another table that this process has open on the same file neither shares nor
 * drops them. Both kinds exclude one another, so other programs need not know. */
#ifndef TABLE_LMDB_LOCK_H
#define TABLE_LMDB_LOCK_H

#include <fcntl.h>

#include "util/err.h"
#include "util/file.h"

#ifdef F_OFD_SETLK
#define LMDB_LOCK_IS_OF_FILE 1
#else
#define LMDB_LOCK_IS_OF_FILE 0
#endif

/* Never waits. */
enum lock_result lmdb_lock_try(int fd, enum lock_mode mode);
/* Waits at most 10 s, as a fiber where that is possible; false with err. Among those
 * who wait here nobody is passed over for long. */
bool lmdb_lock_wait(int fd, enum lock_mode mode, const char *path, struct err *err);
void lmdb_lock_release(int fd);

#endif
