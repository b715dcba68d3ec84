#include "postsuper/postsuper.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/list.h"
#include "util/msg.h"

#define SEARCH_ROUNDS 2 /* a message may move while it is looked for */

/* True: done; false with errno. */
static bool do_delete(struct super *s, const char *queue_name, const char *id)
{
    static const char *const logs[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};

    if (queue_remove(&s->queue, queue_name, id) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(logs); i++)
        queue_remove(&s->queue, logs[i], id);
    return true;
}

static bool set_mode_bit(struct super *s, const char *queue_name, const char *id,
                         mode_t bit)
{
    char path[QUEUE_PATH_MAX];
    struct stat st;

    queue_path(&s->queue, queue_name, id, path);
    if (lstat(path, &st) < 0)
        return false;
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0100)) {
        errno = EINVAL;
        return false;
    }
    return (st.st_mode & bit) || chmod(path, (st.st_mode & 07777) | bit) == 0;
}

static bool do_expire(struct super *s, const char *queue_name, const char *id)
{
    s->wake_qmgr = true;
    return set_mode_bit(s, queue_name, id, QUEUE_BIT_EXPIRE);
}

static bool do_expire_release(struct super *s, const char *queue_name, const char *id)
{
    if (!do_expire(s, queue_name, id))
        return false;
    return strcmp(queue_name, QUEUE_HOLD) != 0 ||
           queue_rename(&s->queue, QUEUE_HOLD, QUEUE_DEFERRED, id) == 0;
}

static bool do_hold(struct super *s, const char *queue_name, const char *id)
{
    return queue_rename(&s->queue, queue_name, QUEUE_HOLD, id) == 0;
}

static bool do_release(struct super *s, const char *queue_name, const char *id)
{
    s->wake_qmgr = true;
    return queue_rename(&s->queue, queue_name, QUEUE_DEFERRED, id) == 0;
}

static bool do_requeue(struct super *s, const char *queue_name, const char *id)
{
    s->wake_pickup = true;
    if (queue_rename(&s->queue, queue_name, QUEUE_MAILDROP, id) < 0)
        return false;
    /* What was learned about its recipients is learned anew. */
    queue_remove(&s->queue, QUEUE_BOUNCE, id);
    queue_remove(&s->queue, QUEUE_DEFER, id);
    queue_remove(&s->queue, QUEUE_TRACE, id);
    return true;
}

/* An action, the words of its log lines, and where it looks. */
static const struct {
    bool (*run)(struct super *s, const char *queue_name, const char *id);
    const char *one, *many;
    const char *queues[5];
} actions[ACT_COUNT] = {
    [ACT_DELETE] = {do_delete, "removed", "Deleted",
                    {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    [ACT_EXPIRE] = {do_expire, "expired", "Force-expired",
                    {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    [ACT_EXPIRE_RELEASE] = {do_expire_release, "expired", "Force-expired",
                            {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED,
                             NULL}},
    [ACT_HOLD] = {do_hold, "placed on hold", "Placed on hold",
                  {QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    [ACT_RELEASE] = {do_release, "released from hold", "Released from hold",
                     {QUEUE_HOLD, NULL}},
    [ACT_REQUEUE] = {do_requeue, "requeued", "Requeued",
                     {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
};

static bool is_selected(const struct super *s, const char *queue_name)
{
    for (size_t i = 0; s->queues[i]; i++)
        if (strcmp(s->queues[i], queue_name) == 0)
            return true;
    return false;
}

bool action_on_message(struct super *s, enum action action, const char *id,
                       bool each_line)
{
    for (int round = 0; round < SEARCH_ROUNDS; round++) {
        for (size_t i = 0; actions[action].queues[i]; i++) {
            const char *name = actions[action].queues[i];

            if (!is_selected(s, name))
                continue;
            if (actions[action].run(s, name, id)) {
                s->done[action]++;
                if (each_line)
                    msg_info("%s: %s", id, actions[action].one);
                return true;
            }
            if (errno != ENOENT)
                msg_warn("%s: %s/%s: %s", id, name, id, strerror(errno));
        }
    }
    return false;
}

/* -- all messages: the names first, since actions move files about -- */

struct name {
    struct list link;
    char id[];
};

struct names {
    struct list list;
};

static bool collect(void *arg, const char *id, const char *path)
{
    struct names *names = arg;
    size_t len = strlen(id);
    struct name *name = xmalloc(sizeof *name + len + 1);

    (void)path;
    memcpy(name->id, id, len + 1);
    list_append(&names->list, &name->link);
    return true;
}

void action_on_all(struct super *s, enum action action)
{
    for (size_t i = 0; actions[action].queues[i]; i++) {
        const char *queue_name = actions[action].queues[i];
        struct names names;

        if (!is_selected(s, queue_name))
            continue;
        list_init(&names.list);
        queue_scan(&s->queue, queue_name, collect, &names);
        list_each_safe(link, &names.list)
        {
            struct name *name = list_entry(link, struct name, link);

            if (actions[action].run(s, queue_name, name->id))
                s->done[action]++;
            else if (errno != ENOENT)
                msg_warn("%s/%s: %s", queue_name, name->id, strerror(errno));
            free(name);
        }
    }
}

void action_report(const struct super *s, enum action action)
{
    msg_info("%s: %lld message%s", actions[action].many, (long long)s->done[action],
             s->done[action] == 1 ? "" : "s");
}
