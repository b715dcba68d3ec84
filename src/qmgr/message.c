/* A message in the active queue: taken in, delivered in batches of recipients, and
 * in the end removed, returned or deferred. */
#include "qmgr/qmgr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/event.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/timefmt.h"

bool message_has_room(const struct qmgr *qm)
{
    return (int64_t)qm->messages.count < qm->cfg->qmgr_message_active_limit &&
           qm->rcpts_in_memory < qm->cfg->qmgr_message_recipient_limit;
}

static struct message *message_new(struct qmgr *qm, const char *id)
{
    struct arena *arena = arena_new();
    struct message *msg = arena_alloc(arena, sizeof *msg);

    msg->qm = qm;
    msg->arena = arena;
    strcpy(msg->id, id);
    list_init(&msg->jobs);
    msg->reading = true;
    hash_insert(&qm->messages, &msg->node, span_str(msg->id));
    return msg;
}

static void message_free(struct message *msg)
{
    struct qmgr *qm = msg->qm;

    list_each_safe(link, &msg->jobs)
        schedule_forget_job(list_entry(link, struct job, in_message));
    hash_remove(&qm->messages, &msg->node);
    arena_free(msg->arena);
    fiber_queue_wake_one(&qm->room);
}

static void save_corrupt(struct message *msg, const char *why)
{
    const struct queue *q = &msg->qm->queue;
    char path[QUEUE_PATH_MAX];

    msg_warn("%s: %s", msg->id, why);
    msg_warn("saving corrupt file \"%s\" from queue \"%s\" to queue \"%s\"", msg->id,
             QUEUE_ACTIVE, QUEUE_CORRUPT);
    queue_path(q, QUEUE_ACTIVE, msg->id, path);
    if (chmod(path, QUEUE_MODE_CORRUPT) < 0 ||
        queue_rename(q, QUEUE_ACTIVE, QUEUE_CORRUPT, msg->id) < 0)
        msg_warn("%s: cannot save: %s", msg->id, strerror(errno));
}

static size_t batch_size(const struct qmgr *qm)
{
    int64_t room = qm->cfg->qmgr_message_recipient_limit - qm->rcpts_in_memory;

    if (room < qm->cfg->qmgr_message_recipient_minimum)
        room = qm->cfg->qmgr_message_recipient_minimum;
    return (size_t)(room < 1 ? 1 : room);
}

/* Read the envelope, or its next recipients. */
static enum envelope_status read_file(struct message *msg, struct arena *arena,
                                      int64_t from, struct envelope *env,
                                      const char **why_out)
{
    int fd = queue_open(&msg->qm->queue, QUEUE_ACTIVE, msg->id, O_RDONLY);
    enum envelope_status status;
    struct stat st;

    if (fd < 0) {
        *why_out = strerror(errno);
        return ENVELOPE_IO_ERROR;
    }
    status = envelope_read(fd, batch_size(msg->qm), from, arena, env, why_out);
    if (fstat(fd, &st) == 0) {
        msg->expire |= (st.st_mode & QUEUE_BIT_EXPIRE) != 0;
        msg->flushed |= (st.st_mode & QUEUE_BIT_FLUSH) != 0;
        if (st.st_mode & QUEUE_BIT_FLUSH)
            fchmod(fd, (st.st_mode & 07777) & ~(mode_t)QUEUE_BIT_FLUSH);
    }
    close(fd);
    return status;
}

static void check_logs(struct message *msg)
{
    const struct queue *q = &msg->qm->queue;
    char path[QUEUE_PATH_MAX];

    queue_path(q, QUEUE_BOUNCE, msg->id, path);
    msg->bounced = access(path, F_OK) == 0;
    queue_path(q, QUEUE_TRACE, msg->id, path);
    msg->traced = access(path, F_OK) == 0;
    /* The defer log is about the attempt before, and starts anew: but with no further
     * attempt its reasons are the last ones. */
    queue_path(q, QUEUE_DEFER, msg->id, path);
    if (msg->expire && access(path, F_OK) == 0)
        msg->incomplete = true;
    else
        queue_remove(q, QUEUE_DEFER, msg->id);
}

/* Try again later: nothing was learned about its recipients. */
static void put_off(struct message *msg)
{
    struct qmgr *qm = msg->qm;
    int64_t due = time_now() + qm->cfg->minimal_backoff_time;
    struct timespec times[2] = {{.tv_sec = due}, {.tv_sec = due}};
    char path[QUEUE_PATH_MAX];

    queue_path(&qm->queue, QUEUE_ACTIVE, msg->id, path);
    utimensat(AT_FDCWD, path, times, 0);
    if (queue_rename(&qm->queue, QUEUE_ACTIVE, QUEUE_DEFERRED, msg->id) == 0)
        deferred_add(qm, msg->id, due);
}

/* After a restart an agent may still work for the predecessor: agents hold a shared
 * lock on the file. Its recipients must not be delivered twice. */
static bool still_being_delivered(struct message *msg)
{
    int fd = queue_open(&msg->qm->queue, QUEUE_ACTIVE, msg->id, O_RDONLY);
    bool busy = fd >= 0 && lock_try(fd, LOCK_FLOCK, LOCK_EXCLUSIVE) == LOCK_BUSY;

    if (fd >= 0)
        close(fd);
    return busy;
}

static bool message_load(struct message *msg)
{
    const char *why = "";

    if (still_being_delivered(msg)) {
        msg_info("%s: skipped, still being delivered", msg->id);
        put_off(msg);
        return false;
    }
    switch (read_file(msg, msg->arena, 0, &msg->env, &why)) {
    case ENVELOPE_OK:
        check_logs(msg);
        return true;
    case ENVELOPE_CORRUPT:
        save_corrupt(msg, why);
        return false;
    case ENVELOPE_IO_ERROR:
        msg_warn("%s: cannot read queue file: %s", msg->id, why);
        put_off(msg);
        return false;
    }
    return false;
}

/* Texts of a notification's envelope are borrowed from the request: copy them. */
static void copy_envelope(struct message *msg, const struct envelope *env)
{
    struct strbuf sb = STRBUF_INIT;
    const char *missing;

    envelope_to_frame(env, &sb);
    if (!envelope_from_frame(arena_span(msg->arena, strbuf_span(&sb)), msg->arena,
                             &msg->env, &missing))
        panic("envelope does not survive a copy: %s", missing);
    strbuf_free(&sb);
}

static int request_flags(const struct envelope *env)
{
    return env->trace_flags &
           (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY | DELIVER_RECORD);
}

static void finish_fiber(void *arg);

static void end_if_done(struct message *msg)
{
    if (msg->entries > 0 || msg->reading || msg->finishing)
        return;
    msg->finishing = true;
    qmgr_hold(msg->qm);
    fiber_spawn("finish", finish_fiber, msg);
}

static void queue_batch(struct message *msg, struct batch *batch)
{
    msg->reading = true;
    batch->refs++;
    recipients_queue(msg, batch);
    batch->refs--;
    msg->reading = false;
}

bool message_admit(struct qmgr *qm, const char *from_queue, const char *id,
                   const struct envelope *env)
{
    struct message *msg;
    struct batch *batch;

    if (hash_find(&qm->messages, span_str(id)) ||
        queue_rename(&qm->queue, from_queue, QUEUE_ACTIVE, id) < 0)
        return false;
    deferred_remove(qm, span_str(id));
    msg = message_new(qm, id);
    gettimeofday(&msg->active_arrival, NULL);
    if (env) {
        copy_envelope(msg, env);
    } else if (!message_load(msg)) {
        message_free(msg);
        return false;
    }
    msg->attempt_flags = request_flags(&msg->env);
    event_active(id, msg->env.sender, msg->env.content_size, msg->env.rcpt_count);
    batch = arena_alloc(msg->arena, sizeof *batch);
    batch->message = msg;
    batch->arena = msg->arena;
    if (msg->expire && msg->incomplete) {
        msg->env.next_rcpt_offset = 0;
        msg->reading = false;
    } else {
        queue_batch(msg, batch);
    }
    end_if_done(msg);
    return true;
}

static void batch_release(struct batch *batch)
{
    /* The first batch lies in the message's own arena. */
    if (--batch->refs == 0 && batch->arena != batch->message->arena)
        arena_free(batch->arena);
}

/* Read the recipients that did not fit into memory before. */
static bool next_batch(struct message *msg)
{
    struct arena *arena;
    struct envelope more;
    struct batch *batch;
    const char *why = "";

    if (msg->env.next_rcpt_offset == 0)
        return false;
    arena = arena_new();
    if (read_file(msg, arena, msg->env.next_rcpt_offset, &more, &why) != ENVELOPE_OK) {
        msg_warn("%s: cannot read more recipients: %s", msg->id, why);
        msg->incomplete = true;
        msg->env.next_rcpt_offset = 0;
        arena_free(arena);
        return false;
    }
    msg->env.next_rcpt_offset = more.next_rcpt_offset;
    msg->env.rcpts = more.rcpts;
    msg->env.rcpt_len = more.rcpt_len;
    batch = arena_alloc(arena, sizeof *batch);
    batch->message = msg;
    batch->arena = arena;
    batch->refs = 1;
    queue_batch(msg, batch);
    batch_release(batch);
    return true;
}

void message_entry_done(struct entry *entry)
{
    struct message *msg = entry->message;

    msg->qm->rcpts_in_memory -= (int64_t)entry->rcpt_len;
    msg->rcpts -= (int64_t)entry->rcpt_len;
    msg->entries--;
    batch_release(entry->batch);
    end_if_done(msg);
}

static bool is_too_old(const struct message *msg)
{
    const struct config *cfg = msg->qm->cfg;
    int64_t lifetime =
        *msg->env.sender ? cfg->maximal_queue_lifetime : cfg->bounce_queue_lifetime;

    return msg->expire || time_now() >= msg->env.arrival.tv_sec + lifetime;
}

/* Return what is left to the sender: the defer log holds the last reasons. */
static void expire(struct message *msg)
{
    struct qmgr *qm = msg->qm;

    event_expired(msg->id, msg->env.sender, msg->expire);
    if (bounce_notify(qm->bounce, qm->cfg->defer_service_name, BOUNCE_FLUSH,
                      BOUNCE_FLAG_CLEAN | BOUNCE_FLAG_DELRCPT, QUEUE_ACTIVE, msg->id,
                      &msg->env))
        msg->incomplete = false;
}

/* A report that was asked for is about the first attempt only. */
static void cancel_trace(struct message *msg)
{
    char killed = REC_KILLED;
    int fd;

    if (!msg->attempt_flags || msg->env.trace_offset <= 0)
        return;
    fd = queue_open(&msg->qm->queue, QUEUE_ACTIVE, msg->id, O_RDWR);
    if (fd < 0)
        return;
    if (pwrite(fd, &killed, 1, msg->env.trace_offset) != 1)
        msg_warn("%s: cannot cancel further reports: %s", msg->id, strerror(errno));
    close(fd);
}

static void send_notifications(struct message *msg)
{
    struct qmgr *qm = msg->qm;

    if (msg->bounced &&
        !bounce_notify(qm->bounce, qm->cfg->bounce_service_name, BOUNCE_FLUSH,
                       BOUNCE_FLAG_CLEAN, QUEUE_ACTIVE, msg->id, &msg->env))
        msg->incomplete = true;
    if (!msg->traced)
        return;
    if (bounce_notify(qm->bounce, qm->cfg->trace_service_name, BOUNCE_TRACE,
                      BOUNCE_FLAG_CLEAN, QUEUE_ACTIVE, msg->id, &msg->env))
        cancel_trace(msg);
    else
        msg->incomplete = true;
}

static void clear_warn_time(struct message *msg)
{
    char record[32];
    int fd;

    if (msg->env.warn_offset <= 0)
        return;
    fd = queue_open(&msg->qm->queue, QUEUE_ACTIVE, msg->id, O_RDWR);
    if (fd < 0)
        return;
    snprintf(record, sizeof record, "%c%c%15ld", REC_WARN_TIME, 15, 0L);
    if (pwrite(fd, record, 17, msg->env.warn_offset) != 17)
        msg_warn("%s: cannot record the delay warning: %s", msg->id, strerror(errno));
    close(fd);
}

static void warn_of_delay(struct message *msg)
{
    struct qmgr *qm = msg->qm;

    if (msg->env.warn_time <= 0 || time_now() < msg->env.warn_time)
        return;
    if (bounce_notify(qm->bounce, qm->cfg->defer_service_name, BOUNCE_WARN, 0,
                      QUEUE_ACTIVE, msg->id, &msg->env))
        clear_warn_time(msg);
}

static void defer(struct message *msg)
{
    struct qmgr *qm = msg->qm;
    int64_t now = time_now();
    int64_t delay = now - msg->env.arrival.tv_sec;
    char path[QUEUE_PATH_MAX];

    if (delay < qm->cfg->minimal_backoff_time)
        delay = qm->cfg->minimal_backoff_time;
    if (delay > qm->cfg->maximal_backoff_time)
        delay = qm->cfg->maximal_backoff_time;
    if (msg->retry_soon)
        delay = 0;
    queue_path(&qm->queue, QUEUE_ACTIVE, msg->id, path);
    struct timespec times[2] = {{.tv_sec = now + delay}, {.tv_sec = now + delay}};
    if (utimensat(AT_FDCWD, path, times, 0) < 0)
        msg_warn("%s: update time of %s: %s", msg->id, path, strerror(errno));
    if (queue_rename(&qm->queue, QUEUE_ACTIVE, QUEUE_DEFERRED, msg->id) < 0) {
        if (errno != ENOENT)
            msg_warn("%s: rename to %s: %s", msg->id, QUEUE_DEFERRED, strerror(errno));
        return;
    }
    deferred_add(qm, msg->id, now + delay);
}

static void remove_message(struct message *msg)
{
    if (queue_remove(&msg->qm->queue, QUEUE_ACTIVE, msg->id) < 0) {
        if (errno != ENOENT)
            msg_warn("%s: remove: %s", msg->id, strerror(errno));
        return;
    }
    event_removed(msg->id);
}

static void settle(struct message *msg)
{
    send_notifications(msg);
    if (msg->incomplete && !msg->retry_soon) {
        if (is_too_old(msg))
            expire(msg);
        else
            warn_of_delay(msg);
    }
    if (msg->incomplete || msg->retry_soon)
        defer(msg);
    else
        remove_message(msg);
}

static void finish_fiber(void *arg)
{
    struct message *msg = arg;
    struct qmgr *qm = msg->qm;

    if (!qm->draining && next_batch(msg)) {
        msg->finishing = false;
        end_if_done(msg);
    } else {
        if (msg->env.next_rcpt_offset != 0)
            msg->retry_soon = true;
        settle(msg);
        message_free(msg);
    }
    qmgr_release(qm);
}
