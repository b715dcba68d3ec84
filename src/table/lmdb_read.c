#include "table/lmdb_guard.h"
#include "table/lmdb_internal.h"

#define READ_TRIES 100 /* a commit each, meanwhile */

/* Keys and values may have been written with their NUL. */
static struct span without_nul(struct span s)
{
    if (s.len > 0 && s.ptr[s.len - 1] == '\0')
        s.len--;
    return s;
}

struct reading {
    struct lmdb_file *file;
    struct span key;   /* to be found */
    struct span after; /* next: the key before */
    bool is_next;
    struct strbuf *value, *key_out;
    enum view_status status;
    bool stale; /* to be repeated after a refresh */
};

static enum view_status find_form(struct reading *rd, bool with_nul, struct span *value)
{
    struct lmdb_file *file = rd->file;

    if (!with_nul)
        return lmdb_view_find(&file->view, rd->key, value);
    return lmdb_view_find(&file->view, strbuf_span(&file->stored), value);
}

static enum view_status find(struct reading *rd, struct span *value)
{
    struct lmdb_file *file = rd->file;
    enum view_status status = VIEW_NONE;

    if (file->try_nul)
        status = find_form(rd, true, value);
    if (status == VIEW_OK)
        file->try_plain = false;
    if (status != VIEW_NONE || !file->try_plain)
        return status;
    status = find_form(rd, false, value);
    if (status == VIEW_OK)
        file->try_nul = false;
    return status;
}

/* Inside the guard: everything that touches the map. Buffers make room before they
 * copy, so that a fault leaves them whole. */
static void read_map(void *arg)
{
    struct reading *rd = arg;
    struct lmdb_file *file = rd->file;
    struct span key = SPAN_EMPTY, value = SPAN_EMPTY;

    rd->stale = !lmdb_view_is_current(&file->view);
    if (rd->stale)
        return;
    rd->status = rd->is_next ? lmdb_view_next(&file->view, rd->after, &key, &value)
                             : find(rd, &value);
    if (rd->status == VIEW_OK) {
        strbuf_add_span(rd->value, value);
        if (rd->is_next)
            strbuf_add_span(rd->key_out, key);
    }
    rd->stale = !lmdb_view_is_current(&file->view);
}

static enum table_status read_once(struct reading *rd, struct err *err)
{
    struct lmdb_file *file = rd->file;

    if (!file->view.map) {
        enum table_status status = lmdb_file_refresh(file, err);
        if (status != TABLE_FOUND)
            return status;
    }
    if (lmdb_guard(read_map, rd, file->view.map, file->view.map_size) != GUARD_OK) {
        err_set(err, "error reading %s: the file has been cut off", file->path);
        lmdb_file_drop(file);
        return TABLE_RETRY;
    }
    if (rd->stale)
        return lmdb_file_refresh(file, err);
    if (rd->status == VIEW_DAMAGED) {
        err_set(err, "error reading %s: the file is damaged", file->path);
        return TABLE_BROKEN;
    }
    return rd->status == VIEW_OK ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static enum table_status read_current(struct reading *rd, struct err *err)
{
    enum table_status status = lmdb_file_settle(rd->file, false, err);

    for (int i = 0; status == TABLE_FOUND && i < READ_TRIES; i++) {
        strbuf_reset(rd->value);
        if (rd->is_next)
            strbuf_reset(rd->key_out);
        rd->stale = false;
        status = read_once(rd, err);
        if (!rd->stale)
            return status;
    }
    if (status == TABLE_FOUND) {
        err_set(err, "error reading %s: it is changing all the time", rd->file->path);
        return TABLE_RETRY;
    }
    return status;
}

static enum table_status txn_status(struct lmdb_file *file, int rc, struct err *err)
{
    if (rc == 0)
        return TABLE_FOUND;
    if (rc == MDB_NOTFOUND)
        return TABLE_NOT_FOUND;
    return lmdb_write_failed(file, "error reading", rc, err);
}

enum table_status lmdb_file_get(struct lmdb_file *file, struct span key,
                                struct strbuf *value, struct err *err)
{
    struct reading rd = {.file = file, .key = key, .value = value};
    enum table_status status;

    if (key.len == 0)
        return TABLE_NOT_FOUND;
    strbuf_reset(&file->stored);
    strbuf_add_span(&file->stored, key);
    strbuf_add_char(&file->stored, '\0');
    if (file->txn)
        status = txn_status(file, lmdb_txn_get(file, key, value), err);
    else
        status = read_current(&rd, err);
    if (status == TABLE_FOUND)
        strbuf_truncate(value, without_nul(strbuf_span(value)).len);
    else
        strbuf_reset(value);
    return status;
}

/* Position by the last key each time, so that nothing is held between calls. */
enum table_status lmdb_file_next(struct lmdb_file *file, bool first, struct strbuf *key,
                                 struct strbuf *value, struct err *err)
{
    struct reading rd = {.file = file, .is_next = true, .key_out = key, .value = value};
    enum table_status status;

    if (!first)
        rd.after = strbuf_span(&file->last);
    if (file->txn)
        status = txn_status(file, lmdb_txn_next(file, first, key, value), err);
    else
        status = read_current(&rd, err);
    if (status != TABLE_FOUND)
        return status;
    strbuf_reset(&file->last);
    strbuf_add_span(&file->last, strbuf_span(key));
    strbuf_truncate(key, without_nul(strbuf_span(key)).len);
    strbuf_truncate(value, without_nul(strbuf_span(value)).len);
    return TABLE_FOUND;
}
