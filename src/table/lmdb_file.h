/* One LMDB file (a single file, no lock file beside it) as the tables lmdb, hash and
 * btree use it. Built anew it is written beside the old one and renamed over it;
 * changed in place it is locked by kernel locks on the file itself, which end with
 * their owner and need no writable directory: shared for a look-up, exclusive for a
 * change. Files of other programs that follow the same convention are understood. */
#ifndef TABLE_LMDB_FILE_H
#define TABLE_LMDB_FILE_H

#include <lmdb.h>

#include "table/table_type.h"

struct lmdb_file {
    char *path;       /* the file that readers open */
    char *build_path; /* TABLE_CREATE: where it is being built */
    MDB_env *env;
    MDB_txn *read_txn;  /* reset between look-ups */
    MDB_txn *write_txn; /* of a build or a transaction; else NULL */
    struct strbuf last; /* the key that next returned last, as stored */
    MDB_dbi dbi;
    int fd; /* of env */
    size_t map_size;
    bool try_nul, try_plain; /* which form of keys the file may hold */
    unsigned flags;          /* table flags: how to write */
};

/* file is zeroed. map_size: bytes to start with. */
bool lmdb_file_open(struct lmdb_file *file, const char *path, enum table_mode mode,
                    unsigned flags, size_t map_size, struct err *err);
void lmdb_file_close(struct lmdb_file *file);
enum table_status lmdb_file_get(struct lmdb_file *file, struct span key,
                                struct strbuf *value, struct err *err);
/* NOT_FOUND: the key is there and is to be kept. */
enum table_status lmdb_file_put(struct lmdb_file *file, struct span key,
                                struct span value, struct err *err);
enum table_status lmdb_file_remove(struct lmdb_file *file, struct span key,
                                   struct err *err);
enum table_status lmdb_file_next(struct lmdb_file *file, bool first, struct strbuf *key,
                                 struct strbuf *value, struct err *err);
bool lmdb_file_lock(struct lmdb_file *file, struct err *err);
bool lmdb_file_unlock(struct lmdb_file *file, struct err *err);
bool lmdb_file_commit(struct lmdb_file *file, struct err *err);

#endif
