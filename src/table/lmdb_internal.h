/* Shared by the halves of lmdb_file: reading (lmdb_file.c), changing (lmdb_write.c). */
#ifndef TABLE_LMDB_INTERNAL_H
#define TABLE_LMDB_INTERNAL_H

#include "table/lmdb_file.h"
#include "util/file.h"

/* Waits some seconds at most; false with err. */
bool lmdb_wait_lock(struct lmdb_file *file, enum lock_mode mode, struct err *err);
void lmdb_release_lock(struct lmdb_file *file);

#endif
