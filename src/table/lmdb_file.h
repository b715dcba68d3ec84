/* One LMDB file (a single file, no lock file beside it) as the tables lmdb, hash and
 * btree use it. Built anew it is written beside the old one and renamed over it;
 * changed in place it is locked by kernel locks on the file itself (lmdb_lock.h).
 * Files of other programs that follow the same convention are understood, and may be
 * shared with them while both run.
 *
 * Reading takes no lock and, most of the time, no system call (lmdb_view.h). At most
 * once in some milliseconds a look-up asks whether the name leads to another file, and
 * goes over to that.
 *
 * Writing is the library's business, under the exclusive lock and after the pages that
 * it will rely on were checked. The map grows when it is full: what the transaction has
 * changed so far is kept in memory, and repeated in the larger map.
 *
 * Status of all calls: RETRY for what may pass (locked, cut off, vanished, disk full),
 * BROKEN for a damaged file. After each error the file is opened again at the next use.
 */
#ifndef TABLE_LMDB_FILE_H
#define TABLE_LMDB_FILE_H

#include <lmdb.h>

#include "table/lmdb_view.h"
#include "table/table_type.h"

struct lmdb_id {
    dev_t dev;
    ino_t ino;
};

struct lmdb_file {
    char *path;       /* the file that readers open */
    char *build_path; /* TABLE_CREATE: where it is being built */
    enum table_mode mode;
    unsigned flags;  /* table flags: how to write */
    size_t map_size; /* of a writer, to start with */

    int fd; /* for locks and the view; -1: to be opened */
    struct lmdb_id id, directory;
    struct lmdb_view view;
    int64_t checked_ms; /* when the name was looked up */
    bool detached;      /* replaced, and out of reach (chroot, rights) */

    bool try_nul, try_plain; /* which form of keys the file may hold */
    struct strbuf stored;    /* scratch: a key as stored */
    struct strbuf last;      /* the key that next returned last, as stored */

    MDB_env *env; /* of a writer, opened at the first change */
    MDB_txn *txn; /* of a build or a transaction; else NULL */
    MDB_dbi dbi;
    struct strbuf log;  /* what txn has changed */
    size_t checked_txn; /* commit whose free list was checked */
};

/* file is zeroed. map_size: bytes to start with. */
bool lmdb_file_open(struct lmdb_file *file, const char *path, enum table_mode mode,
                    unsigned flags, size_t map_size, struct err *err);
void lmdb_file_close(struct lmdb_file *file);
/* Replaced by a file that this process cannot open. */
bool lmdb_file_is_detached(struct lmdb_file *file);

enum table_status lmdb_file_get(struct lmdb_file *file, struct span key,
                                struct strbuf *value, struct err *err);
/* NOT_FOUND: the key is there and is to be kept. */
enum table_status lmdb_file_put(struct lmdb_file *file, struct span key,
                                struct span value, struct err *err);
enum table_status lmdb_file_remove(struct lmdb_file *file, struct span key,
                                   struct err *err);
enum table_status lmdb_file_next(struct lmdb_file *file, bool first, struct strbuf *key,
                                 struct strbuf *value, struct err *err);
/* Transaction in place. Unlock: all changes since lock are saved, or none. */
enum table_status lmdb_file_lock(struct lmdb_file *file, struct err *err);
enum table_status lmdb_file_unlock(struct lmdb_file *file, struct err *err);
/* End of a build. */
bool lmdb_file_commit(struct lmdb_file *file, struct err *err);

#endif
