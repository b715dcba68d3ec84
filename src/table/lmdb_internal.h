/* Shared by the parts of lmdb_file: opening (lmdb_file.c), reading (lmdb_read.c),
 * changing (lmdb_write.c), building anew (lmdb_build.c). */
#ifndef TABLE_LMDB_INTERNAL_H
#define TABLE_LMDB_INTERNAL_H

#include "table/lmdb_file.h"

/* -- lmdb_file.c -- */

/* Make sure that fd and view are those of the file that path names now, or keep what
 * is open where path cannot be reached. FOUND: they are there. */
enum table_status lmdb_file_settle(struct lmdb_file *file, bool now, struct err *err);
/* Bring the view to the newest commit. */
enum table_status lmdb_file_refresh(struct lmdb_file *file, struct err *err);
/* Forget everything that is open; the next use opens it again. */
void lmdb_file_drop(struct lmdb_file *file);
enum table_status lmdb_view_failed(enum view_status status);

/* -- lmdb_env.c: the library, guarded; MDB_PANIC after a fault or an assertion -- */

int lmdb_env_open(struct lmdb_file *file, const char *path);
int lmdb_env_flush(struct lmdb_file *file); /* make durable, for builds */
void lmdb_env_drop(struct lmdb_file *file); /* with its transaction */
int lmdb_txn_begin(struct lmdb_file *file);
int lmdb_txn_commit(struct lmdb_file *file);
void lmdb_txn_abort(struct lmdb_file *file);
/* NOTFOUND and KEYEXIST leave the transaction as it was. */
int lmdb_txn_change(struct lmdb_file *file, bool is_put, struct span key,
                    struct span value);
/* file->stored: key with its NUL. */
int lmdb_txn_get(struct lmdb_file *file, struct span key, struct strbuf *value);
/* The first key behind file->last, or of all. */
int lmdb_txn_next(struct lmdb_file *file, bool first, struct strbuf *key,
                  struct strbuf *value);

/* -- lmdb_write.c -- */

#define LMDB_KEY_MAX 511
/* The transaction is lost, and the lock given back. */
enum table_status lmdb_write_failed(struct lmdb_file *file, const char *what, int rc,
                                    struct err *err);

/* -- lmdb_build.c -- */

bool lmdb_build_start(struct lmdb_file *file, struct err *err);
/* After each change: save what need not be repeated any more. */
int lmdb_build_checkpoint(struct lmdb_file *file);

#endif
