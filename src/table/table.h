/* Lookup tables: "type:name" maps a key to a value. One small interface over all
 * kinds; a kind is a struct table_type (table_type.h) in a file of its own. Lists of
 * tables as in main.cf are maps.h; this layer knows nothing of mail addresses.
 *
 * Results are never "null plus errno": found, not found, retry (the store is away,
 * busy or failed: mail must wait) or broken (it will not get better by itself, such
 * as a corrupt file or a bad query: mail must wait too, and the operator is told).
 *
 * Call from fibers or from plain commands. Kinds that block (NSS, SQL) run in the
 * offload pool, so any look-up, update, deletion or step of a walk may switch fibers.
 */
#ifndef TABLE_TABLE_H
#define TABLE_TABLE_H

#include <sys/stat.h>

#include "util/arena.h"
#include "util/err.h"
#include "util/strbuf.h"

enum table_status {
    TABLE_FOUND,
    TABLE_NOT_FOUND,
    TABLE_RETRY,
    TABLE_BROKEN,
};

enum table_mode {
    TABLE_READ,
    TABLE_WRITE,  /* update in place: caches, shared by several writers */
    TABLE_CREATE, /* build anew beside the old one; table_commit replaces it */
};

/* What a caller asks for, and what a table says of itself. */
enum table_flag {
    TABLE_FIXED = 1,   /* keys match whole; callers try parent domains and so on */
    TABLE_PATTERN = 2, /* one query with the full key; no folding, no partial keys */
    TABLE_NO_FOLD = 4, /* asked: do not lower the case of fixed keys */
    TABLE_UTF8 = 8,    /* asked: keys and values must be UTF-8 (smtputf8_enable) */
    TABLE_BLOCKS = 16, /* calls run in the offload pool */
    TABLE_IGNORE_DUP = 32,  /* asked, for update: keep the old value, say nothing */
    TABLE_REPLACE_DUP = 64, /* asked, for update: take the new value, say nothing */
    TABLE_WARN_DUP = 128,   /* asked, for update: keep the old value, warn */
    TABLE_NO_NUL = 256,     /* asked: write keys and values without a trailing NUL */
    TABLE_BASE64 = 512,     /* asked: values are stored as base64 of the content */
    TABLE_BATCH = 1024, /* asked, for TABLE_WRITE: collect changes; see table_flush */
};
#define TABLE_ASKED (~(TABLE_FIXED | TABLE_PATTERN | TABLE_BLOCKS))

/* Where tables get their settings from; this layer cannot see main.cf. */
struct table_env {
    const char *(*param)(void *arg, const char *name); /* NULL: undefined */
    void *arg;
    /* Optional: have the index of a hash or btree table built that is missing, or older
     * than its source path. True: done. An empty err: there is nothing that could. */
    bool (*reindex)(void *arg, const char *type, const char *path, struct err *err);
};

struct table;

/* name: "type:name". env may be NULL (defaults) and must outlive the table. NULL with
 * err, which starts with what could not be opened. */
struct table *table_open(const struct table_env *env, const char *name,
                         enum table_mode mode, unsigned flags, struct err *err);
void table_close(struct table *table); /* an uncommitted build is discarded */
/* A table that answers every call with status (retry or broken) and text. */
struct table *table_surrogate(const char *name, enum table_status status,
                              const char *text);

const char *table_name(const struct table *table); /* as given to open */
unsigned table_flags(const struct table *table);   /* TABLE_FIXED, ... */

/* The value is copied to arena. On retry and broken err says why (not logged). */
enum table_status table_lookup(struct table *table, struct span key,
                               struct arena *arena, const char **value_out,
                               struct err *err);
/* FOUND: done. NOT_FOUND: a duplicate was left alone. */
enum table_status table_update(struct table *table, struct span key, struct span value,
                               struct err *err);
enum table_status table_delete(struct table *table, struct span key, struct err *err);
/* Walk through all entries: first starts over. NOT_FOUND: the end. Keys and values are
 * borrowed until the next call. No promise for entries changed meanwhile. */
enum table_status table_next(struct table *table, bool first, struct span *key_out,
                             struct span *value_out, struct err *err);
/* Give what is being built the owner of its source, and to group and others the right
 * to read that they have there. */
bool table_inherit(struct table *table, const struct stat *source, bool owner,
                   bool mode, struct err *err);
/* End of TABLE_CREATE: make what was built durable and visible at once. */
bool table_commit(struct table *table, struct err *err);

/* A transaction of TABLE_WRITE over processes: reads and updates between lock and
 * unlock see and make one consistent change; single calls need none. Never held across
 * a fiber switch. Lock fails when another process keeps it too long; unlock when the
 * changes could not be saved. Kinds without transactions save each change at once. */
bool table_lock(struct table *table, struct err *err);
bool table_unlock(struct table *table, struct err *err);

/* TABLE_BATCH: changes are seen by this process at once; they are saved together, some
 * 100 ms later, by a worker thread, at table_close, and here, where the calling fiber
 * waits. A crash loses those not saved; for caches. Kinds that cannot do so save each
 * change at once. False: not saved; they are kept, and saved later. */
bool table_flush(struct table *table, struct err *err);

/* Has the file behind an open table been replaced by one that this process cannot go
 * over to by itself? (lmdb, hash and btree tables do so at the next look-up.) Then the
 * process should end after the log line "table X has changed -- restarting". Cheap (one
 * stat a call). */
bool table_changed(const struct table *table);

/* Next of several "type:name" or "{ ... }" elements separated by commas and white
 * space; braces anywhere in an element keep it together. */
bool table_next_element(struct span *rest, struct span *element_out);

/* Built-in types in alphabetic order; NULL behind the last. */
const char *table_type_name(size_t index);
/* Those and the plug-ins that are listed and present, in alphabetic order, for
 * "postconf -m"; NULL behind the last. NULL with err: a list of plug-ins is malformed.
 */
const char **table_type_names(const struct table_env *env, struct arena *arena,
                              struct err *err);
/* Can postmap build this type? */
bool table_type_is_buildable(struct span type);

#endif
