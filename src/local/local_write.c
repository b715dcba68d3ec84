/* Files and mailboxes: the lock file, then the delivery itself with the rights of
 * their user, in a child (or on a worker thread when we already are that user). */
#include "local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/file.h"
#include "util/msg.h"
#include "util/offload.h"

#define WHY_MAX 4096

bool local_is_maildir(const char *path)
{
    size_t len = strlen(path);

    return len > 1 && path[len - 1] == '/';
}

/* -- lock file -- */

struct dot_lock {
    const char *path;
    const char *dir;
    bool writable; /* the directory, for the user */
    enum lock_result result;
    int error;
    unsigned stale_s;
    const struct user_ids *owner; /* for a mailbox that is made by root */
};

static const struct user_ids root_ids = {.uid = 0, .gid = 0};

static void probe_dir(void *arg)
{
    struct dot_lock *lock = arg;

    lock->writable = faccessat(AT_FDCWD, lock->dir, W_OK | X_OK, AT_EACCESS) == 0;
}

static void try_lock(void *arg)
{
    struct dot_lock *lock = arg;

    lock->result = lock_dot_try(lock->path, lock->stale_s);
    lock->error = errno;
}

static void release_lock(void *arg)
{
    struct dot_lock *lock = arg;

    lock_dot_release(lock->path);
}

/* Users cannot make files in most mail spools; root makes the empty mailbox. */
static void create_mailbox(void *arg)
{
    struct dot_lock *lock = arg;
    int fd =
        open(lock->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return; /* there already, or the delivery tells what is wrong */
    if (fchown(fd, lock->owner->uid, lock->owner->gid) < 0)
        unlink(lock->path);
    close(fd);
}

/* Who makes files beside the mailbox. */
static const struct user_ids *helper_ids(const struct local_user *user,
                                         const struct local_box *box,
                                         struct dot_lock *lock)
{
    if (!box->spool || !user_switch_possible())
        return &user->ids;
    if (!user_do(&user->ids, probe_dir, lock))
        lock->writable = true;
    return lock->writable ? &user->ids : &root_ids;
}

static enum mailbox_result lock_failed(struct local_delivery *ld,
                                       const struct dot_lock *lock,
                                       const char **why_out)
{
    bool busy = lock->result == LOCK_BUSY;

    *why_out = arena_printf(ld->arena, "unable to create lock file %s.lock: %s",
                            lock->path, strerror(busy ? EEXIST : lock->error));
    if (busy)
        return MAILBOX_BUSY;
    return lock->error == ENOSPC || lock->error == EIO ? MAILBOX_RETRY
                                                       : MAILBOX_REFUSED;
}

static enum mailbox_result take_lock(struct local_delivery *ld,
                                     const struct user_ids *ids, struct dot_lock *lock,
                                     const char **why_out)
{
    const struct config *cfg = ld->agent->cfg;

    for (int64_t tries = 1;; tries++) {
        lock->result = LOCK_FAILED;
        lock->error = EPERM;
        user_do(ids, try_lock, lock);
        if (lock->result == LOCK_OK)
            return MAILBOX_DELIVERED;
        if (lock->result != LOCK_BUSY || tries >= cfg->deliver_lock_attempts)
            return lock_failed(ld, lock, why_out);
        if (fiber_sleep(cfg->deliver_lock_delay * 1000) != WAIT_READY)
            return lock_failed(ld, lock, why_out);
    }
}

/* -- delivery -- */

struct write_job {
    const struct mailbox_message *message;
    const struct mailbox_file *file;
    const struct maildir *dir; /* or NULL */
    enum mailbox_result result;
    struct strbuf why;
};

static int write_in_child(void *arg, struct strbuf *why)
{
    struct write_job *job = arg;

    return (int)(job->dir ? maildir_deliver(job->dir, job->message, why)
                          : mailbox_append(job->file, job->message, why));
}

static void write_on_thread(void *arg)
{
    struct write_job *job = arg;

    job->result = (enum mailbox_result)write_in_child(job, &job->why);
}

static void write_as(struct local_delivery *ld, const struct user_ids *ids,
                     struct write_job *job)
{
    int status;

    if (!user_switch_possible() && ids->uid == geteuid()) {
        offload(write_on_thread, job);
        return;
    }
    job->result = MAILBOX_RETRY;
    switch (user_run(ids, write_in_child, job, ld->agent->cfg->command_time_limit,
                     WHY_MAX, &job->why, &status)) {
    case USER_EXITED:
        if (status <= MAILBOX_REFUSED)
            job->result = (enum mailbox_result)status;
        else
            strbuf_add_str(&job->why, "cannot take the rights of the recipient");
        break;
    case USER_SIGNALLED:
        strbuf_addf(&job->why, "delivery process died with signal %d", status);
        break;
    case USER_TIMEOUT:
        strbuf_add_str(&job->why, "delivery took too long");
        break;
    case USER_CANCELLED:
        strbuf_add_str(&job->why, "delivery was interrupted");
        break;
    case USER_FAILED:
        break; /* says why */
    }
}

static enum mailbox_result run(struct local_delivery *ld, const struct local_user *user,
                               struct write_job *job, const char **why_out)
{
    strbuf_init(&job->why);
    write_as(ld, &user->ids, job);
    *why_out = arena_str(ld->arena, job->why.ptr);
    strbuf_free(&job->why);
    return job->result;
}

static const char *directory_of(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == path ? "/" : arena_printf(arena, "%.*s", (int)(slash - path), path);
}

static enum mailbox_result append(struct local_delivery *ld,
                                  const struct local_user *user,
                                  const struct local_box *box, struct write_job *job,
                                  const char **why_out)
{
    const struct config *cfg = ld->agent->cfg;
    struct dot_lock lock = {.path = box->path,
                            .dir = directory_of(ld->arena, box->path),
                            .stale_s = (unsigned)cfg->stale_lock_time,
                            .owner = &user->ids};
    const struct user_ids *helper = helper_ids(user, box, &lock);
    enum mailbox_result result = MAILBOX_DELIVERED;
    bool locked = false;

    if ((ld->agent->locks & LOCK_DOTLOCK) && strncmp(box->path, "/dev/", 5) != 0) {
        result = take_lock(ld, helper, &lock, why_out);
        locked = result == MAILBOX_DELIVERED;
        if (result == MAILBOX_REFUSED && !box->strict) {
            msg_warn("%s", *why_out);
            result = MAILBOX_DELIVERED; /* a file in a directory of others */
        }
    }
    if (result == MAILBOX_DELIVERED) {
        if (helper == &root_ids)
            user_do(helper, create_mailbox, &lock);
        result = run(ld, user, job, why_out);
    }
    if (locked)
        user_do(helper, release_lock, &lock);
    return result;
}

enum mailbox_result local_write(struct local_delivery *ld,
                                const struct local_user *user,
                                const struct local_box *box,
                                const struct mailbox_message *message,
                                const char **why_out)
{
    const struct config *cfg = ld->agent->cfg;
    struct mailbox_file file = {.path = box->path,
                                .owner = user->ids.uid,
                                .strict = box->strict && cfg->strict_mailbox_ownership,
                                .locks = ld->agent->locks & ~(unsigned)LOCK_DOTLOCK,
                                .lock_tries = (unsigned)cfg->deliver_lock_attempts,
                                .lock_wait_s = cfg->deliver_lock_delay,
                                .size_limit = box->size_limit,
                                .biff_user =
                                    box->spool && cfg->biff ? user->name : NULL};
    struct maildir dir = {
        .path = arena_printf(ld->arena, "%.*s", (int)strlen(box->path) - 1, box->path),
        .hostname = cfg->myhostname,
        .size_limit = box->size_limit};
    struct write_job job = {.message = message, .file = &file};

    *why_out = "";
    if (!local_is_maildir(box->path))
        return append(ld, user, box, &job, why_out);
    job.dir = &dir;
    return run(ld, user, &job, why_out);
}
