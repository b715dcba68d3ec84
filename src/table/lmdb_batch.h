/* Changes of one process to an index file, collected and saved together: for caches
 * (TABLE_BATCH). A change is visible to this process at once, and to others after
 * LMDB_BATCH_MS at most, when all changes since go into one transaction, on a worker
 * thread so that no session waits for the disk. A crash loses the changes of that time
 * and nothing else. While saving fails (disk full) changes are kept and saved later; a
 * warning is logged, and at LMDB_BATCH_MAX changes further ones are refused. */
#ifndef TABLE_LMDB_BATCH_H
#define TABLE_LMDB_BATCH_H

#include "table/lmdb_file.h"

#define LMDB_BATCH_MS  100
#define LMDB_BATCH_MAX 100000

struct lmdb_batch;

/* flags: of the table. NULL with err. */
struct lmdb_batch *lmdb_batch_open(const char *path, unsigned flags, size_t map_size,
                                   struct err *err);
/* Saves what is left, waiting for the disk; a failure is logged. NULL allowed. */
void lmdb_batch_close(struct lmdb_batch *batch);

/* Is there a change of this key? NULL value: it is deleted. Borrowed until the next
 * call. */
bool lmdb_batch_find(const struct lmdb_batch *batch, struct span key,
                     struct span *value_out);
/* value.ptr NULL: delete. */
enum table_status lmdb_batch_add(struct lmdb_batch *batch, struct span key,
                                 struct span value, struct err *err);
/* Save now; the calling fiber waits. */
bool lmdb_batch_flush(struct lmdb_batch *batch, struct err *err);

#endif
