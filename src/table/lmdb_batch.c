#include "table/lmdb_batch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/lmdb_lock.h"
#include "util/hash.h"
#include "util/msg.h"
#include "util/offload.h"

#define RETRY_MS 1000

struct change {
    struct hash_node node;
    size_t key_len, value_len;
    bool is_delete;
    char text[]; /* the key, the value */
};

enum state { IDLE, SPAWNED, WORKING, WORKED };

struct lmdb_batch {
    struct lmdb_file out;          /* the worker's own: never used by both threads */
    struct hash pending, flushing; /* of struct change */
    struct loop_timer timer;
    bool timer_is_set, orphan;
    _Atomic int state; /* of the fiber that flushes, and of its worker */
    struct fiber_queue waiters;
    enum table_status status; /* of the last flush */
    struct err err;
};

/* -- sets of changes -- */

static struct span change_key(const struct change *ch)
{
    return span_of(ch->text, ch->key_len);
}

static struct span change_value(const struct change *ch)
{
    return ch->is_delete ? SPAN_EMPTY : span_of(ch->text + ch->key_len, ch->value_len);
}

static struct change *first_change(const struct hash *set)
{
    struct hash_node *node = hash_next(set, NULL);

    return node ? hash_entry(node, struct change, node) : NULL;
}

static void drop_all(struct hash *set)
{
    struct change *ch;

    while ((ch = first_change(set)) != NULL) {
        hash_remove(set, &ch->node);
        free(ch);
    }
    hash_free(set);
    hash_init(set, false);
}

static void put_change(struct hash *set, struct change *ch, bool replace)
{
    struct hash_node *old = hash_find(set, change_key(ch));

    if (old && !replace) {
        free(ch);
        return;
    }
    if (old) {
        hash_remove(set, old);
        free(hash_entry(old, struct change, node));
    }
    hash_insert(set, &ch->node, change_key(ch));
}

static struct change *change_new(struct span key, struct span value)
{
    struct change *ch = xcalloc(1, sizeof(*ch) + key.len + value.len + 1);

    ch->key_len = key.len;
    ch->value_len = value.len;
    ch->is_delete = !value.ptr;
    memcpy(ch->text, key.ptr, key.len);
    if (value.len)
        memcpy(ch->text + key.len, value.ptr, value.len);
    return ch;
}

/* -- saving -- */

static enum table_status save_change(struct lmdb_batch *batch, const struct change *ch)
{
    if (ch->is_delete)
        return lmdb_file_remove(&batch->out, change_key(ch), &batch->err);
    return lmdb_file_put(&batch->out, change_key(ch), change_value(ch), &batch->err);
}

static bool is_error(enum table_status status)
{
    return status == TABLE_RETRY || status == TABLE_BROKEN;
}

/* On a worker thread, or inline. A key that no file can hold is the caller's loss. */
static void save_all(void *arg)
{
    struct lmdb_batch *batch = arg;
    struct hash_node *node = NULL;

    batch->status = lmdb_file_lock(&batch->out, &batch->err);
    while (!is_error(batch->status) &&
           (node = hash_next(&batch->flushing, node)) != NULL) {
        batch->status = save_change(batch, hash_entry(node, struct change, node));
        if (is_error(batch->status) && batch->out.txn)
            batch->status = TABLE_NOT_FOUND;
    }
    if (!is_error(batch->status))
        batch->status = lmdb_file_unlock(&batch->out, &batch->err);
    atomic_store(&batch->state, WORKED);
}

static void begin_flush(struct lmdb_batch *batch)
{
    struct hash empty = batch->flushing;

    batch->flushing = batch->pending;
    batch->pending = empty;
}

static void end_flush(struct lmdb_batch *batch)
{
    struct change *ch;

    while (is_error(batch->status) && (ch = first_change(&batch->flushing)) != NULL) {
        hash_remove(&batch->flushing, &ch->node);
        put_change(&batch->pending, ch, false); /* unless it has changed again */
    }
    drop_all(&batch->flushing);
    atomic_store(&batch->state, IDLE);
}

static void set_timer(struct lmdb_batch *batch, int64_t delay_ms);

static void flush_fiber(void *arg)
{
    struct lmdb_batch *batch = arg;

    if (!batch->orphan) {
        begin_flush(batch);
        atomic_store(&batch->state, WORKING);
        /* Locks that belong to the process would be shared by both threads. */
        if (LMDB_LOCK_IS_OF_FILE)
            offload(save_all, batch);
        else
            save_all(batch);
    }
    if (batch->orphan) { /* closed meanwhile: nothing is left */
        free(batch);
        return;
    }
    end_flush(batch);
    if (is_error(batch->status)) {
        msg_warn("%s -- will try again", batch->err.text);
        set_timer(batch, RETRY_MS);
    }
    fiber_queue_wake_all(&batch->waiters);
}

static void on_timer(void *arg)
{
    struct lmdb_batch *batch = arg;

    batch->timer_is_set = false;
    if (atomic_load(&batch->state) != IDLE) {
        set_timer(batch, LMDB_BATCH_MS);
        return;
    }
    atomic_store(&batch->state, SPAWNED);
    fiber_spawn("table batch", flush_fiber, batch);
}

static void set_timer(struct lmdb_batch *batch, int64_t delay_ms)
{
    if (!batch->timer_is_set)
        loop_timer_set(&batch->timer, delay_ms, on_timer, batch);
    batch->timer_is_set = true;
}

/* Until no fiber flushes. Outside of fibers, that is at the end, the worker is waited
 * for, and the fiber left to find the batch closed. */
static bool wait_idle(struct lmdb_batch *batch)
{
    while (table_in_fiber() && atomic_load(&batch->state) != IDLE)
        if (fiber_queue_wait(&batch->waiters, LOOP_NEVER) == WAIT_CANCELLED)
            break;
    while (atomic_load(&batch->state) == WORKING)
        usleep(1000);
    return atomic_load(&batch->state) == IDLE;
}

bool lmdb_batch_flush(struct lmdb_batch *batch, struct err *err)
{
    if (!wait_idle(batch))
        return err_set(err, "save changes to %s: cancelled", batch->out.path);
    if (batch->pending.count == 0)
        return true;
    begin_flush(batch);
    if (table_in_fiber() && LMDB_LOCK_IS_OF_FILE) {
        atomic_store(&batch->state, WORKING);
        offload(save_all, batch);
    } else {
        save_all(batch);
    }
    end_flush(batch);
    fiber_queue_wake_all(&batch->waiters);
    return !is_error(batch->status) || err_set(err, "%s", batch->err.text);
}

/* -- interface -- */

struct lmdb_batch *lmdb_batch_open(const char *path, unsigned flags, size_t map_size,
                                   struct err *err)
{
    struct lmdb_batch *batch = xcalloc(1, sizeof(*batch));

    flags &= ~(unsigned)(TABLE_IGNORE_DUP | TABLE_WARN_DUP);
    hash_init(&batch->pending, false);
    hash_init(&batch->flushing, false);
    fiber_queue_init(&batch->waiters);
    if (lmdb_file_open(&batch->out, path, TABLE_WRITE, flags | TABLE_REPLACE_DUP,
                       map_size, err))
        return batch;
    lmdb_file_close(&batch->out);
    free(batch);
    return NULL;
}

void lmdb_batch_close(struct lmdb_batch *batch)
{
    if (!batch)
        return;
    if (batch->timer_is_set)
        loop_timer_cancel(&batch->timer);
    batch->orphan = !wait_idle(batch);
    if (batch->orphan && batch->flushing.count > 0) {
        bool failed = is_error(batch->status);
        end_flush(batch);
        if (failed)
            batch->status = TABLE_RETRY;
    }
    if (batch->pending.count > 0) {
        begin_flush(batch);
        save_all(batch);
        if (is_error(batch->status))
            msg_warn("%s -- %zu changes are lost", batch->err.text,
                     batch->flushing.count);
    }
    drop_all(&batch->pending);
    drop_all(&batch->flushing);
    hash_free(&batch->pending);
    hash_free(&batch->flushing);
    lmdb_file_close(&batch->out);
    if (!batch->orphan)
        free(batch);
}

bool lmdb_batch_find(const struct lmdb_batch *batch, struct span key,
                     struct span *value_out)
{
    struct hash_node *node = hash_find(&batch->pending, key);

    if (!node)
        node = hash_find(&batch->flushing, key);
    if (!node)
        return false;
    *value_out = change_value(hash_entry(node, struct change, node));
    return true;
}

enum table_status lmdb_batch_add(struct lmdb_batch *batch, struct span key,
                                 struct span value, struct err *err)
{
    if (batch->pending.count >= LMDB_BATCH_MAX) {
        err_set(err, "%s", batch->err.text[0] ? batch->err.text : "too many changes");
        return TABLE_RETRY;
    }
    put_change(&batch->pending, change_new(key, value), true);
    set_timer(batch, LMDB_BATCH_MS);
    return TABLE_FOUND;
}
