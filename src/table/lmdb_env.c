/* The library, call by call, under guard: an assertion or a fault inside leaves an
 * environment that is never touched again. */
#include <errno.h>

#include "table/lmdb_guard.h"
#include "table/lmdb_internal.h"

#define MAP_SIZE_MIN (1024 * 1024)

struct call {
    int (*fn)(struct lmdb_file *file, struct call *call);
    struct lmdb_file *file;
    MDB_val key, value;
    const char *path;
    size_t size;
    unsigned flags;
    struct strbuf *key_out, *value_out;
    int rc;
};

static void run_call(void *arg)
{
    struct call *call = arg;

    call->rc = call->fn(call->file, call);
}

static int guarded(struct lmdb_file *file, struct call *call)
{
    call->file = file;
    if (lmdb_guard(run_call, call, NULL, 0) == GUARD_OK)
        return call->rc;
    if (file->env)
        lmdb_guard_abandon(file->env);
    file->env = NULL;
    file->txn = NULL;
    return MDB_PANIC;
}

static MDB_val to_val(struct span s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)s.ptr};
}

/* -- environment -- */

static int do_open(struct lmdb_file *file, struct call *call)
{
    return mdb_env_open(file->env, call->path, call->flags, 0644);
}

static int do_close(struct lmdb_file *file, struct call *call)
{
    (void)call;
    if (file->txn)
        mdb_txn_abort(file->txn);
    file->txn = NULL;
    mdb_env_close(file->env);
    file->env = NULL;
    return 0;
}

void lmdb_env_drop(struct lmdb_file *file)
{
    struct call call = {.fn = do_close};

    if (file->env)
        guarded(file, &call);
    strbuf_free(&file->log);
}

static int do_abort(struct lmdb_file *file, struct call *call)
{
    (void)call;
    mdb_txn_abort(file->txn);
    file->txn = NULL;
    return 0;
}

void lmdb_txn_abort(struct lmdb_file *file)
{
    struct call call = {.fn = do_abort};

    if (file->txn)
        guarded(file, &call);
}

static int open_sized(struct lmdb_file *file, const char *path, size_t size)
{
    struct call call = {.fn = do_open, .path = path};
    int rc = mdb_env_create(&file->env);

    if (rc != 0)
        return rc;
    call.flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS;
    if (file->mode == TABLE_CREATE)
        call.flags |= MDB_NOSYNC; /* once, at the end */
    mdb_env_set_assert(file->env, lmdb_guard_on_assert);
    rc = mdb_env_set_mapsize(file->env, size);
    if (rc == 0)
        rc = guarded(file, &call);
    if (rc != 0)
        lmdb_env_drop(file);
    return rc;
}

/* The size is address space, of which there may be less than asked for. */
int lmdb_env_open(struct lmdb_file *file, const char *path)
{
    size_t size = file->map_size;
    int rc;

    while ((rc = open_sized(file, path, size)) == ENOMEM && size > MAP_SIZE_MIN)
        size /= 2;
    return rc;
}

static int do_sync(struct lmdb_file *file, struct call *call)
{
    (void)call;
    return mdb_env_sync(file->env, 1);
}

int lmdb_env_flush(struct lmdb_file *file)
{
    struct call call = {.fn = do_sync};

    return guarded(file, &call);
}

static int do_grow(struct lmdb_file *file, struct call *call)
{
    MDB_envinfo info;
    int rc;

    if (file->txn)
        mdb_txn_abort(file->txn);
    file->txn = NULL;
    rc = mdb_env_info(file->env, &info);
    if (rc == 0 && info.me_mapsize > SIZE_MAX / 2)
        rc = ENOMEM;
    call->size = info.me_mapsize * 2;
    return rc == 0 ? mdb_env_set_mapsize(file->env, call->size) : rc;
}

/* -- transactions -- */

static int do_begin(struct lmdb_file *file, struct call *call)
{
    int rc = mdb_txn_begin(file->env, NULL, 0, &file->txn);

    (void)call;
    /* Another process has made the file larger than our map: take its size. */
    if (rc == MDB_MAP_RESIZED && mdb_env_set_mapsize(file->env, 0) == 0)
        rc = mdb_txn_begin(file->env, NULL, 0, &file->txn);
    if (rc != 0)
        file->txn = NULL;
    else
        rc = mdb_dbi_open(file->txn, NULL, 0, &file->dbi);
    return rc;
}

static int begin(struct lmdb_file *file)
{
    struct call call = {.fn = do_begin};

    return guarded(file, &call);
}

int lmdb_txn_begin(struct lmdb_file *file)
{
    strbuf_reset(&file->log);
    return begin(file);
}

static int do_commit(struct lmdb_file *file, struct call *call)
{
    MDB_txn *txn = file->txn;

    (void)call;
    file->txn = NULL; /* gone, whatever the result */
    return mdb_txn_commit(txn);
}

static int do_get(struct lmdb_file *file, struct call *call)
{
    int rc = mdb_get(file->txn, file->dbi, &call->key, &call->value);

    if (rc == 0)
        strbuf_add(call->value_out, call->value.mv_data, call->value.mv_size);
    return rc;
}

static bool key_fits(const struct lmdb_file *file, struct span key)
{
    return key.len > 0 && key.len <= (size_t)mdb_env_get_maxkeysize(file->env);
}

/* file->stored is the key with its NUL. */
int lmdb_txn_get(struct lmdb_file *file, struct span key, struct strbuf *value)
{
    const struct span forms[] = {strbuf_span(&file->stored), key};
    const bool wanted[] = {file->try_nul, file->try_plain};
    int rc = MDB_NOTFOUND;

    for (int i = 0; i < 2 && rc == MDB_NOTFOUND && file->txn; i++) {
        struct call call = {.fn = do_get, .key = to_val(forms[i]), .value_out = value};
        if (wanted[i] && key_fits(file, forms[i]))
            rc = guarded(file, &call);
    }
    return rc;
}

static int do_next(struct lmdb_file *file, struct call *call)
{
    struct span last = strbuf_span(&file->last);
    bool first = call->flags;
    MDB_cursor *cursor;
    MDB_val k = to_val(last), v;
    int rc = mdb_cursor_open(file->txn, file->dbi, &cursor);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &k, &v, first ? MDB_FIRST : MDB_SET_RANGE);
    if (rc == 0 && !first && span_eq(span_of(k.mv_data, k.mv_size), last))
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    if (rc == 0) {
        strbuf_add(call->key_out, k.mv_data, k.mv_size);
        strbuf_add(call->value_out, v.mv_data, v.mv_size);
    }
    mdb_cursor_close(cursor);
    return rc;
}

int lmdb_txn_next(struct lmdb_file *file, bool first, struct strbuf *key,
                  struct strbuf *value)
{
    struct call call = {
        .fn = do_next, .flags = first, .key_out = key, .value_out = value};

    return guarded(file, &call);
}

/* -- changes -- */

static int do_put(struct lmdb_file *file, struct call *call)
{
    bool keep = file->flags & (TABLE_IGNORE_DUP | TABLE_WARN_DUP);

    return mdb_put(file->txn, file->dbi, &call->key, &call->value,
                   keep ? MDB_NOOVERWRITE : 0);
}

static int do_delete(struct lmdb_file *file, struct call *call)
{
    return mdb_del(file->txn, file->dbi, &call->key, NULL);
}

/* In the log: the lengths, the key, the value. */
struct entry {
    size_t key_len, value_len;
    bool is_put;
};

static int apply(struct lmdb_file *file, bool is_put, struct span key,
                 struct span value)
{
    struct call call = {
        .fn = is_put ? do_put : do_delete, .key = to_val(key), .value = to_val(value)};

    return guarded(file, &call);
}

static int repeat_log(struct lmdb_file *file)
{
    struct span rest = strbuf_span(&file->log);
    struct entry entry;
    int rc = 0;

    while (rest.len > 0 && rc == 0) {
        memcpy(&entry, rest.ptr, sizeof entry);
        struct span key = span_of(rest.ptr + sizeof entry, entry.key_len);
        struct span value = span_of(key.ptr + key.len, entry.value_len);
        rc = apply(file, entry.is_put, key, value);
        if (rc == MDB_KEYEXIST || rc == MDB_NOTFOUND)
            rc = 0;
        rest = span_skip(rest, sizeof entry + key.len + value.len);
    }
    return rc;
}

/* A transaction that has met a full map is lost, and the map cannot grow under it:
 * begin again in a larger one, with what had been changed already. */
static int grow_and_repeat(struct lmdb_file *file)
{
    int rc;

    do {
        struct call call = {.fn = do_grow};
        rc = guarded(file, &call);
        if (rc == 0)
            rc = begin(file);
        if (rc == 0)
            rc = repeat_log(file);
    } while (rc == MDB_MAP_FULL);
    return rc;
}

int lmdb_txn_commit(struct lmdb_file *file)
{
    for (;;) {
        struct call call = {.fn = do_commit};
        int rc = guarded(file, &call);
        if (rc == MDB_MAP_FULL)
            rc = grow_and_repeat(file);
        else
            return rc;
        if (rc != 0)
            return rc;
    }
}

int lmdb_txn_change(struct lmdb_file *file, bool is_put, struct span key,
                    struct span value)
{
    struct entry entry = {key.len, value.len, is_put};
    int rc = apply(file, is_put, key, value);

    while (rc == MDB_MAP_FULL) {
        rc = grow_and_repeat(file);
        if (rc == 0)
            rc = apply(file, is_put, key, value);
    }
    if (rc == 0) {
        strbuf_add(&file->log, &entry, sizeof entry);
        strbuf_add_span(&file->log, key);
        strbuf_add_span(&file->log, value);
    }
    return rc;
}
