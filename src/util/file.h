/* Files: safe opening, locks, small whole-file helpers. */
#ifndef UTIL_FILE_H
#define UTIL_FILE_H

#include <sys/stat.h>

#include "util/err.h"
#include "util/strbuf.h"

/* Open an existing or new file as the process is now, refusing what an attacker
 * could plant: anything but a regular file, more than one hard link, symbolic
 * links (one owned by root in a root-owned, not world-writable directory is
 * followed). uid/gid (-1: leave) are given to a file that is created. Returns the
 * fd, or -1 with err. *stat_out may be NULL. */
int file_open_safe(const char *path, int flags, mode_t mode, uid_t uid, gid_t gid,
                   struct stat *stat_out, struct err *err);

/* Whole file into sb, at most max bytes. */
bool file_read_all(const char *path, size_t max, struct strbuf *sb, struct err *err);
/* Atomic replace: temporary file in the same directory, owner and mode of the old
 * file when there was one, fsync of file and directory, rename. */
bool file_replace(const char *path, struct span content, mode_t mode, struct err *err);
bool file_write_full(int fd, const void *data, size_t len); /* false and errno */

enum lock_style { LOCK_FLOCK = 1, LOCK_FCNTL = 2, LOCK_DOTLOCK = 4 };
/* "flock, fcntl, dotlock" -> bits; false: an unknown name. */
bool lock_styles_parse(struct span text, unsigned *styles_out, struct err *err);

enum lock_result { LOCK_OK, LOCK_BUSY, LOCK_FAILED }; /* LOCK_FAILED: errno */
enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE, LOCK_UNLOCK };
/* Kernel lock on an open file by flock or fcntl; never waits. */
enum lock_result lock_try(int fd, enum lock_style style, enum lock_mode mode);
/* Create path.lock; a lock older than stale_s seconds is broken. */
enum lock_result lock_dot_try(const char *path, unsigned stale_s);
void lock_dot_release(const char *path);

/* fsync needs a second one on the directory for the name to be safe, except on
 * file systems known to commit both together (ext4, xfs, btrfs, f2fs). */
bool file_needs_dir_sync(int fd);

#endif
