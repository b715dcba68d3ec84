#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/fold.h"
#include "table/plugin_load.h"
#include "table/table_type.h"
#include "util/escape.h"
#include "util/msg.h"
#include "util/offload.h"

static struct table *table_new(const struct table_type *type, const char *full_name,
                               const char *name)
{
    struct table *table = xcalloc(1, type->size);

    table->type = type;
    table->full_name = xstrdup(full_name);
    table->name = xstrdup(name);
    table->flags = type->flags;
    table->thread_safe = type->thread_safe;
    strbuf_init(&table->key);
    strbuf_init(&table->seq_key);
    strbuf_init(&table->seq_value);
    fiber_queue_init(&table->waiters);
    return table;
}

/* What a call that succeeded says (table_type.h). */
static void log_warning(const struct err *err)
{
    if (err->text[0])
        msg_warn("%s", err->text);
}

struct table *table_open(const struct table_env *env, const char *name,
                         enum table_mode mode, unsigned flags, struct err *err)
{
    const char *colon = strchr(name, ':');

    if (!colon || colon == name || !colon[1]) {
        err_set(err, "open dictionary: expecting \"type:name\" form instead of \"%s\"",
                name);
        return NULL;
    }
    struct span type_name = span_of(name, (size_t)(colon - name));
    const struct table_type *type = table_type_find(type_name);
    if (!type)
        type = plugin_find(env, type_name, err);
    if (!type)
        return NULL;
    if (mode == TABLE_CREATE && !type->buildable) {
        err_set(err,
                "unsupported dictionary type: %s does not support bulk-mode creation.",
                type->name);
        return NULL;
    }
    if (mode == TABLE_WRITE && !type->update && !type->remove) {
        err_set(err, "%s map requires O_RDONLY access mode", name);
        return NULL;
    }
    struct table *table = table_new(type, name, colon + 1);
    table->env = env;
    table->mode = mode;
    table->flags |= flags & TABLE_ASKED;
    err->text[0] = '\0';
    if (!type->open(table, err)) {
        table_close(table);
        return NULL;
    }
    log_warning(err);
    return table;
}

void table_close(struct table *table)
{
    if (!table)
        return;
    table->type->close(table);
    strbuf_free(&table->key);
    strbuf_free(&table->seq_key);
    strbuf_free(&table->seq_value);
    free((char *)table->full_name);
    free((char *)table->name);
    free(table);
}

const char *table_name(const struct table *table)
{
    return table->full_name;
}

unsigned table_flags(const struct table *table)
{
    return table->flags;
}

/* The key as it is stored: folded to lower case unless the caller or the kind of
 * table does not want that. */
static struct span stored_key(const struct table *table, struct span key,
                              struct strbuf *buf)
{
    if (!(table->flags & TABLE_FIXED) || (table->flags & TABLE_NO_FOLD))
        return key;
    return fold_key(key, table->flags & TABLE_UTF8, buf);
}

enum table_status table_lookup_inner(struct table *inner, struct span key,
                                     struct strbuf *value, struct err *err)
{
    struct strbuf folded = STRBUF_INIT;
    enum table_status status =
        inner->type->lookup(inner, stored_key(inner, key, &folded), value, err);

    strbuf_free(&folded);
    return status;
}

/* One call of a kind's function, wherever it runs. */
struct table_call {
    void (*run)(struct table_call *call);
    struct table *table;
    struct span key;
    struct strbuf value; /* that a look-up found */
    struct span text;    /* to be stored */
    bool first;          /* of a walk */
    struct err *err;
    enum table_status status;
};

/* Of the thread, not of the process: set while a worker runs a call. */
static _Thread_local bool on_worker;

bool table_in_fiber(void)
{
    return !on_worker && fiber_self();
}

static void run_lookup(struct table_call *call)
{
    call->status =
        call->table->type->lookup(call->table, call->key, &call->value, call->err);
}

static void run_update(struct table_call *call)
{
    call->status =
        call->table->type->update(call->table, call->key, call->text, call->err);
}

static void run_remove(struct table_call *call)
{
    call->status = call->table->type->remove(call->table, call->key, call->err);
}

static void run_next(struct table_call *call)
{
    struct table *table = call->table;

    call->status = table->type->next(table, call->first, &table->seq_key,
                                     &table->seq_value, call->err);
}

static void run_offloaded(void *arg)
{
    struct table_call *call = arg;
    bool outer = on_worker;

    on_worker = true;
    call->run(call);
    on_worker = outer;
}

/* A blocking backend that is not thread-safe serves one fiber at a time, and a walk has
 * a state in any. */
static void run_blocking(struct table_call *call)
{
    struct table *table = call->table;
    struct strbuf key = STRBUF_INIT;

    strbuf_add_span(&key, call->key); /* table->key changes under other fibers */
    call->key = strbuf_span(&key);
    bool serial = fiber_self() && (!table->thread_safe || call->run == run_next);
    while (serial && table->busy) {
        if (fiber_queue_wait(&table->waiters, LOOP_NEVER) != WAIT_READY) {
            err_set(call->err, "lookup was cancelled");
            call->status = TABLE_RETRY;
            strbuf_free(&key);
            return;
        }
    }
    if (serial)
        table->busy = true;
    offload_wait(run_offloaded, call);
    if (serial) {
        table->busy = false;
        fiber_queue_wake_one(&table->waiters);
    }
    strbuf_free(&key);
}

static enum table_status run_call(struct table_call *call)
{
    if (call->table->flags & TABLE_BLOCKS)
        run_blocking(call);
    else
        call->run(call);
    return call->status;
}

static bool decode_value(const struct table *table, struct span key,
                         struct strbuf *value)
{
    struct strbuf text = STRBUF_INIT, shown = STRBUF_INIT;
    bool ok = base64_decode(&text, strbuf_span(value));

    if (ok) {
        strbuf_free(value);
        *value = text;
        return true;
    }
    escape_printable(&shown, strbuf_span(value), '?', true);
    msg_warn("table %s: key %.*s: malformed BASE64 value: %.100s", table->full_name,
             SPAN_ARG(key), shown.ptr);
    strbuf_free(&shown);
    strbuf_free(&text);
    return false;
}

static bool is_utf8(const struct table *table, struct span text)
{
    return !(table->flags & TABLE_UTF8) || span_is_ascii(text) || span_is_utf8(text);
}

static bool key_is_utf8(const struct table *table, struct span key)
{
    if (is_utf8(table, key))
        return true;
    struct strbuf shown = STRBUF_INIT;
    escape_printable(&shown, key, '?', true);
    msg_warn("%s: non-UTF-8 key \"%s\": malformed UTF-8 or invalid codepoint",
             table->full_name, shown.ptr);
    strbuf_free(&shown);
    return false;
}

/* Callers write what they find into headers and replies that must be UTF-8. */
static enum table_status check_value(struct table_call *job)
{
    struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;

    if (is_utf8(job->table, strbuf_span(&job->value)))
        return TABLE_FOUND;
    escape_printable(&key, job->key, '?', true);
    escape_printable(&value, strbuf_span(&job->value), '?', true);
    msg_warn("%s: key \"%s\": non-UTF-8 value \"%s\": malformed UTF-8 or invalid "
             "codepoint",
             job->table->full_name, key.ptr, value.ptr);
    strbuf_free(&key);
    strbuf_free(&value);
    return TABLE_BROKEN;
}

enum table_status table_lookup(struct table *table, struct span key,
                               struct arena *arena, const char **value_out,
                               struct err *err)
{
    struct table_call job = {.run = run_lookup, .table = table, .err = err};

    *value_out = NULL;
    err->text[0] = '\0';
    if (!key_is_utf8(table, key))
        return TABLE_NOT_FOUND;
    strbuf_init(&job.value);
    job.key = stored_key(table, key, &table->key);
    run_call(&job);
    if (job.status == TABLE_FOUND || job.status == TABLE_NOT_FOUND)
        log_warning(err);
    if (job.status == TABLE_FOUND)
        job.status = check_value(&job);
    if (job.status == TABLE_FOUND && (table->flags & TABLE_BASE64) &&
        !decode_value(table, job.key, &job.value))
        job.status = TABLE_BROKEN;
    if (job.status == TABLE_FOUND)
        *value_out = arena_span_str(arena, strbuf_span(&job.value));
    strbuf_free(&job.value);
    return job.status;
}

static enum table_status unsupported(const struct table *table, const char *what,
                                     struct err *err)
{
    err_set(err, "table %s: %s operation is not supported", table->full_name, what);
    return TABLE_BROKEN;
}

enum table_status table_update(struct table *table, struct span key, struct span value,
                               struct err *err)
{
    if (!table->type->update || table->mode == TABLE_READ)
        return unsupported(table, "update", err);
    err->text[0] = '\0';
    struct table_call call = {.run = run_update,
                              .table = table,
                              .key = stored_key(table, key, &table->key),
                              .text = value,
                              .err = err};
    enum table_status status = run_call(&call);
    if (status == TABLE_FOUND || status == TABLE_NOT_FOUND)
        log_warning(err);
    return status;
}

enum table_status table_delete(struct table *table, struct span key, struct err *err)
{
    if (!table->type->remove || table->mode == TABLE_READ)
        return unsupported(table, "delete", err);
    if (!key_is_utf8(table, key))
        return TABLE_NOT_FOUND;
    struct table_call call = {.run = run_remove,
                              .table = table,
                              .key = stored_key(table, key, &table->key),
                              .err = err};
    return run_call(&call);
}

enum table_status table_next(struct table *table, bool first, struct span *key_out,
                             struct span *value_out, struct err *err)
{
    if (!table->type->next)
        return unsupported(table, "sequence", err);
    struct table_call call = {
        .run = run_next, .table = table, .first = first, .err = err};
    bool usable = true;

    do {
        strbuf_reset(&table->seq_key);
        strbuf_reset(&table->seq_value);
        run_call(&call);
        if (call.status == TABLE_FOUND && (table->flags & TABLE_BASE64))
            usable =
                decode_value(table, strbuf_span(&table->seq_key), &table->seq_value);
        call.first = false;
    } while (!usable && call.status == TABLE_FOUND);
    *key_out = strbuf_span(&table->seq_key);
    *value_out = strbuf_span(&table->seq_value);
    return call.status;
}

bool table_inherit(struct table *table, const struct stat *source, bool owner,
                   bool mode, struct err *err)
{
    if (!table->type->build_fd || table->mode != TABLE_CREATE)
        return true;
    int fd = table->type->build_fd(table);
    if (owner && fchown(fd, source->st_uid, source->st_gid) < 0)
        return err_set(err, "change owner of %s: %s", table->full_name,
                       strerror(errno));
    if (mode && fchmod(fd, 0600 | (source->st_mode & 0044)) < 0)
        return err_set(err, "change mode of %s: %s", table->full_name, strerror(errno));
    return true;
}

bool table_commit(struct table *table, struct err *err)
{
    return !table->type->commit || table->type->commit(table, err);
}

bool table_lock(struct table *table, struct err *err)
{
    return !table->type->lock || table->type->lock(table, err);
}

bool table_unlock(struct table *table, struct err *err)
{
    return !table->type->unlock || table->type->unlock(table, err);
}

bool table_flush(struct table *table, struct err *err)
{
    return !table->type->flush || table->type->flush(table, err);
}

void table_watch(struct table *table, int fd)
{
    struct stat st;

    table->watched = fstat(fd, &st) == 0;
    table->watched_fd = fd;
    table->watched_mtime = st.st_mtim;
}

/* Replaced (no name leads to our file any more) or changed in place. */
bool table_file_changed(const struct table *table)
{
    struct stat now;

    return table->watched && fstat(table->watched_fd, &now) == 0 &&
           (now.st_nlink == 0 || now.st_mtim.tv_sec != table->watched_mtime.tv_sec ||
            now.st_mtim.tv_nsec != table->watched_mtime.tv_nsec);
}

bool table_changed(const struct table *table)
{
    return table->type->changed ? table->type->changed(table)
                                : table_file_changed(table);
}

int64_t table_param_num(const struct table *table, const char *name, int64_t otherwise)
{
    int64_t value;
    const char *text = table->env ? table->env->param(table->env->arg, name) : NULL;

    return text && span_i64(span_str(text), &value) ? value : otherwise;
}

bool table_next_element(struct span *rest, struct span *element_out)
{
    static const char separators[] = ", \t\r\n";
    size_t start = 0, depth = 0, end;

    while (start < rest->len && rest->ptr[start] &&
           strchr(separators, rest->ptr[start]))
        start++;
    for (end = start; end < rest->len; end++) {
        char c = rest->ptr[end];
        if (c == '{')
            depth++;
        else if (c == '}' && depth > 0)
            depth--;
        else if (depth == 0 && c && strchr(separators, c))
            break;
    }
    *element_out = span_of(rest->ptr + start, end - start);
    *rest = span_skip(*rest, end);
    return element_out->len > 0;
}

size_t table_braces(struct span text)
{
    size_t depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        depth += text.ptr[i] == '{';
        depth -= text.ptr[i] == '}' && depth > 0;
        if (depth == 0)
            return text.ptr[0] == '{' ? i + 1 : 0;
    }
    return 0;
}

bool table_inline_text(const struct table *table, struct span *inside_out)
{
    struct span text = span_rtrim(span_str(table->name));

    if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}')
        return false;
    *inside_out = span_trim(span_of(text.ptr + 1, text.len - 2));
    return true;
}
