#include "postsuper/postsuper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/list.h"
#include "util/msg.h"

#define SEARCH_ROUNDS 2 /* a message may move while it is looked for */

enum outcome { DONE, NOT_HERE, LEFT_ALONE };

/* The message at hand. */
struct target {
    const char *queue_name, *id;
    char path[QUEUE_PATH_MAX];
    struct stat st;
    bool told; /* one line each in the log */
};

static enum outcome failed(const struct target *t)
{
    if (errno == ENOENT)
        return NOT_HERE;
    msg_warn("%s: %s", t->path, strerror(errno));
    return LEFT_ALONE;
}

static void count(struct super *s, const struct target *t, enum total total)
{
    static const char *const done[TOTALS] = {
        [TOTAL_DELETED] = "removed",
        [TOTAL_REQUEUED] = "requeued",
        [TOTAL_EXPIRED] = "expired",
        [TOTAL_HELD] = "placed on hold",
        [TOTAL_RELEASED] = "released from hold",
    };

    s->totals[total]++;
    if (t->told)
        msg_info("%s: %s", t->id, done[total]);
}

static void told_removal(const struct super *s, const char *queue_name, const char *id)
{
    char path[QUEUE_PATH_MAX];

    queue_path(&s->queue, queue_name, id, path);
    if (msg_verbose)
        msg_info("removed file %s", path);
}

/* The logs go first: what is left when this is interrupted is still a message. */
static enum outcome do_delete(struct super *s, const struct target *t)
{
    static const char *const logs[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};

    for (size_t i = 0; i < ARRAY_LEN(logs); i++)
        if (queue_remove(&s->queue, logs[i], t->id) == 0)
            told_removal(s, logs[i], t->id);
    if (queue_remove(&s->queue, t->queue_name, t->id) < 0)
        return failed(t);
    told_removal(s, t->queue_name, t->id);
    count(s, t, TOTAL_DELETED);
    return DONE;
}

static enum outcome do_expire(struct super *s, const struct target *t)
{
    if (t->st.st_mode & QUEUE_BIT_EXPIRE)
        return DONE;
    if (chmod(t->path, (t->st.st_mode & 07777) | QUEUE_BIT_EXPIRE) < 0)
        return failed(t);
    s->wake_qmgr = true;
    count(s, t, TOTAL_EXPIRED);
    return DONE;
}

static enum outcome do_release(struct super *s, const struct target *t)
{
    if (queue_rename(&s->queue, QUEUE_HOLD, QUEUE_DEFERRED, t->id) < 0)
        return failed(t);
    s->wake_qmgr = true;
    count(s, t, TOTAL_RELEASED);
    return DONE;
}

static enum outcome do_expire_release(struct super *s, const struct target *t)
{
    enum outcome outcome = do_expire(s, t);

    if (outcome == DONE && strcmp(t->queue_name, QUEUE_HOLD) == 0)
        outcome = do_release(s, t);
    return outcome;
}

static enum outcome do_hold(struct super *s, const struct target *t)
{
    if (queue_rename(&s->queue, t->queue_name, QUEUE_HOLD, t->id) < 0)
        return failed(t);
    count(s, t, TOTAL_HELD);
    return DONE;
}

/* The time of the file was that of the next attempt: pickup would wait for it. A list
 * of what has bounced already stays; that of the delays would be made anew. */
static enum outcome do_requeue(struct super *s, const struct target *t)
{
    if (utimensat(AT_FDCWD, t->path, NULL, AT_SYMLINK_NOFOLLOW) < 0 ||
        queue_rename(&s->queue, t->queue_name, QUEUE_MAILDROP, t->id) < 0)
        return failed(t);
    queue_remove(&s->queue, QUEUE_DEFER, t->id);
    s->wake_pickup = true;
    count(s, t, TOTAL_REQUEUED);
    return DONE;
}

static const struct {
    enum outcome (*run)(struct super *s, const struct target *t);
    const char *queues[6]; /* where it looks */
} actions[ACT_COUNT] = {
    [ACT_DELETE] = {do_delete,
                    {QUEUE_MAILDROP, QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE,
                     QUEUE_DEFERRED}},
    [ACT_EXPIRE] = {do_expire,
                    {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED}},
    [ACT_EXPIRE_RELEASE] = {do_expire_release,
                            {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED}},
    [ACT_HOLD] = {do_hold, {QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED}},
    [ACT_RELEASE] = {do_release, {QUEUE_HOLD}},
    [ACT_REQUEUE] = {do_requeue,
                     {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED}},
};

static bool is_selected(const struct super *s, const char *queue_name)
{
    for (size_t i = 0; s->queues[i]; i++)
        if (strcmp(s->queues[i], queue_name) == 0)
            return true;
    return false;
}

/* What is still being written is left alone, unless all are to be deleted. */
static enum outcome run_on(struct super *s, enum action action, struct target *t)
{
    queue_path(&s->queue, t->queue_name, t->id, t->path);
    if (lstat(t->path, &t->st) < 0)
        return failed(t);
    if (!S_ISREG(t->st.st_mode)) {
        msg_warn("%s: uid %ld: not a regular file", t->path, (long)t->st.st_uid);
        return LEFT_ALONE;
    }
    if (!(t->st.st_mode & 0100) && (action != ACT_DELETE || t->told))
        return LEFT_ALONE;
    return actions[action].run(s, t);
}

void action_on_message(struct super *s, enum action action, const char *id)
{
    for (int round = 0; round < SEARCH_ROUNDS; round++) {
        for (size_t i = 0; actions[action].queues[i]; i++) {
            struct target t = {
                .queue_name = actions[action].queues[i], .id = id, .told = true};

            if (is_selected(s, t.queue_name) && run_on(s, action, &t) == DONE)
                return;
        }
    }
}

/* -- all messages: the names first, since actions move files about -- */

struct name {
    struct list link;
    char id[];
};

static bool collect(void *arg, const char *id, const char *path)
{
    struct list *names = arg;
    size_t len = strlen(id);
    struct name *name = xmalloc(sizeof *name + len + 1);

    (void)path;
    memcpy(name->id, id, len + 1);
    list_append(names, &name->link);
    return true;
}

void action_on_all(struct super *s, enum action action)
{
    for (size_t i = 0; actions[action].queues[i]; i++) {
        const char *queue_name = actions[action].queues[i];
        struct list names;

        if (!is_selected(s, queue_name))
            continue;
        list_init(&names);
        queue_scan(&s->queue, queue_name, collect, &names);
        list_each_safe(link, &names)
        {
            struct name *name = list_entry(link, struct name, link);
            struct target t = {.queue_name = queue_name, .id = name->id};

            run_on(s, action, &t);
            free(name);
        }
    }
}

/* -- the sums -- */

static const struct {
    const char *text;
    unsigned actions; /* a bit each: the actions that tell it */
} total_lines[TOTALS] = {
    [TOTAL_DELETED] = {"Deleted", 1u << ACT_DELETE},
    [TOTAL_REQUEUED] = {"Requeued", 1u << ACT_REQUEUE},
    [TOTAL_EXPIRED] = {"Force-expired", 1u << ACT_EXPIRE | 1u << ACT_EXPIRE_RELEASE},
    [TOTAL_HELD] = {"Placed on hold", 1u << ACT_HOLD},
    [TOTAL_RELEASED] = {"Released from hold",
                        1u << ACT_RELEASE | 1u << ACT_EXPIRE_RELEASE},
};

void action_report(const struct super *s, unsigned requested)
{
    for (size_t i = 0; i < TOTALS; i++)
        if (total_lines[i].actions & requested)
            msg_info("%s: %lld message%s", total_lines[i].text, (long long)s->totals[i],
                     s->totals[i] == 1 ? "" : "s");
}
