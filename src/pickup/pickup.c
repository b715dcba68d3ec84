#include "pickup/pickup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/msg.h"

/* How long messages wait that could not be handed over: longer each time, until one
 * goes through. */
#define RETRY_MIN_MS 10000
#define RETRY_MAX_MS 300000

/* A file that a scan must leave alone: under way, to be tried again later, or handed
 * over but impossible to remove. */
struct pickup_file {
    struct hash_node node;
    struct pickup *pk;
    enum { FILE_ACTIVE, FILE_WAITING, FILE_STUCK } state;
    char id[QUEUE_ID_MAX];
    char path[QUEUE_PATH_MAX];
};

static void scan(struct pickup *pk);

static void scan_fiber(void *arg)
{
    struct pickup *pk = arg;

    scan(pk);
    service_release(pk->svc);
}

static void start_scan(struct pickup *pk)
{
    service_hold(pk->svc);
    fiber_spawn("pickup scan", scan_fiber, pk);
}

static void forget(struct pickup_file *file)
{
    hash_remove(&file->pk->files, &file->node);
    free(file);
}

static void retry(void *arg)
{
    struct pickup *pk = arg;
    struct hash_node *next;

    for (struct hash_node *node = hash_next(&pk->files, NULL); node; node = next) {
        struct pickup_file *file = hash_entry(node, struct pickup_file, node);

        next = hash_next(&pk->files, node);
        if (file->state == FILE_WAITING)
            forget(file);
    }
    if (pk->retry_ms < RETRY_MAX_MS)
        pk->retry_ms *= 2;
    if (!pk->svc->retiring)
        start_scan(pk);
}

static void keep_for_later(struct pickup_file *file)
{
    struct pickup *pk = file->pk;

    file->state = FILE_WAITING;
    if (!heap_linked(&pk->retry_timer.node))
        loop_timer_set(&pk->retry_timer, pk->retry_ms, retry, pk);
}

static void remove_file(struct pickup_file *file)
{
    file->pk->retry_ms = RETRY_MIN_MS;
    if (unlink(file->path) < 0 && errno != ENOENT) {
        msg_warn("remove %s: %s", file->path, strerror(errno));
        file->state = FILE_STUCK;
        return;
    }
    forget(file);
}

static void save_corrupt(struct pickup_file *file)
{
    msg_warn("saving corrupt file \"%s\" from queue \"%s\" to queue \"%s\"", file->id,
             QUEUE_MAILDROP, QUEUE_CORRUPT);
    if (queue_rename(&file->pk->queue, QUEUE_MAILDROP, QUEUE_CORRUPT, file->id) < 0 &&
        errno != ENOENT) {
        msg_warn("rename %s to queue %s: %s", file->path, QUEUE_CORRUPT,
                 strerror(errno));
        keep_for_later(file);
        return;
    }
    forget(file);
}

static void file_fiber(void *arg)
{
    struct pickup_file *file = arg;
    struct pickup *pk = file->pk;

    switch (pickup_message(pk, file->id, file->path)) {
    case PICKUP_DONE:
        remove_file(file);
        break;
    case PICKUP_SKIP:
        forget(file);
        break;
    case PICKUP_RETRY:
        keep_for_later(file);
        break;
    case PICKUP_CORRUPT:
        save_corrupt(file);
        break;
    }
    pk->active--;
    fiber_queue_wake_one(&pk->room);
    service_release(pk->svc);
}

static bool is_ready(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return false;
    if (!S_ISREG(st.st_mode)) {
        msg_warn("%s: uid %ld: not a regular file", path, (long)st.st_uid);
        return false;
    }
    return (st.st_mode & S_IRWXU) == QUEUE_MODE_READY;
}

static bool visit(void *arg, const char *id, const char *path)
{
    struct pickup *pk = arg;
    struct pickup_file *file;

    if (hash_find(&pk->files, span_str(id)) || !is_ready(path))
        return true;
    while (pk->active >= PICKUP_PARALLEL)
        if (fiber_queue_wait(&pk->room, LOOP_NEVER) != WAIT_READY)
            return false;
    if (pk->svc->retiring)
        return false;
    file = xcalloc(1, sizeof *file);
    file->pk = pk;
    snprintf(file->id, sizeof file->id, "%s", id);
    snprintf(file->path, sizeof file->path, "%s", path);
    hash_insert(&pk->files, &file->node, span_str(file->id));
    pk->active++;
    service_hold(pk->svc);
    fiber_spawn("pickup", file_fiber, file);
    return true;
}

static void scan(struct pickup *pk)
{
    if (pk->scanning) {
        pk->again = true;
        return;
    }
    pk->scanning = true;
    do {
        pk->again = false;
        queue_scan(&pk->queue, QUEUE_MAILDROP, visit, pk);
    } while (pk->again && !pk->svc->retiring);
    pk->scanning = false;
}

static void trigger(struct service *svc, struct span bytes)
{
    (void)bytes; /* whatever they are, they mean "look" */
    scan(svc->data);
}

/* Which of cleanup's jobs receive_override_options leaves out for local mail. */
static int cleanup_flags(const struct config *cfg)
{
    static const struct {
        const char *name;
        int without;
    } options[] = {
        {"no_unknown_recipient_checks", 0},
        {"no_address_mappings", CLEANUP_MAP_OK | CLEANUP_BCC_OK},
        {"no_header_body_checks", CLEANUP_FILTER},
        {"no_milters", CLEANUP_MILTER},
    };
    struct span rest = span_str(cfg->receive_override_options), word;
    int flags = CLEANUP_EXTERNAL | CLEANUP_BOUNCE;

    while (span_token(&rest, ", \t\r\n", &word)) {
        size_t i = 0;

        while (i < ARRAY_LEN(options) && !span_ieq_str(word, options[i].name))
            i++;
        if (i == ARRAY_LEN(options))
            msg_fatal("unknown receive_override_options value \"%.*s\"",
                      SPAN_ARG(word));
        flags &= ~options[i].without;
    }
    return flags;
}

static void pre_jail(struct service *svc)
{
    struct pickup *pk = arena_alloc(svc->arena, sizeof *pk);

    svc->data = pk;
    pk->svc = svc;
    pk->retry_ms = RETRY_MIN_MS;
    pk->cfg = svc->cfg;
    pk->cleanup_flags = cleanup_flags(svc->cfg);
    pk->cleanup = cleanup_client_new(svc->cfg);
    queue_init(&pk->queue, svc->cfg, svc->arena);
    fiber_queue_init(&pk->room);
    hash_init(&pk->files, false);
}

/* What was submitted while the mail system was down. */
static void post_jail(struct service *svc)
{
    start_scan(svc->data);
}

static void retire(struct service *svc)
{
    struct pickup *pk = svc->data;

    loop_timer_cancel(&pk->retry_timer);
    fiber_queue_wake_all(&pk->room);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "pickup",
        .pre_jail = pre_jail,
        .post_jail = post_jail,
        .trigger = trigger,
        .retire = retire,
        .solitary = true,
    };

    return service_main(argc, argv, &ops);
}
