#include "qmgr/qmgr.h"

#include <stdlib.h>

#include "util/timefmt.h"

struct deferred {
    struct hash_node node;
    struct heap_node due_node; /* key: seconds since 1970 */
    char id[];
};

/* Mail that was deferred never takes the last places from new mail. */
static bool has_room_for_old(const struct qmgr *qm)
{
    return message_has_room(qm) &&
           (int64_t)qm->messages.count < qm->cfg->qmgr_message_active_limit -
                                             qm->cfg->qmgr_message_active_limit / 5;
}

static struct deferred *next_due(struct qmgr *qm)
{
    struct heap_node *head = heap_min(&qm->due);

    if (!head || head->key > time_now())
        return NULL;
    return container_of(head, struct deferred, due_node);
}

static void arm(struct qmgr *qm);

static void run_fiber(void *arg)
{
    struct qmgr *qm = arg;
    struct deferred *item;
    char id[QUEUE_ID_MAX];

    while (!qm->draining && (item = next_due(qm)) != NULL) {
        if (!has_room_for_old(qm)) {
            if (fiber_queue_wait(&qm->room, loop_deadline(1000)) == WAIT_CANCELLED)
                break;
            continue;
        }
        strcpy(id, item->id);
        deferred_remove(qm, span_str(id));
        message_admit(qm, QUEUE_DEFERRED, id, NULL);
    }
    qm->due_running = false;
    arm(qm);
}

static void due(void *arg)
{
    struct qmgr *qm = arg;

    if (qm->due_running || qm->draining)
        return;
    qm->due_running = true;
    fiber_spawn("deferred", run_fiber, qm);
}

static void arm(struct qmgr *qm)
{
    struct heap_node *head = heap_min(&qm->due);
    int64_t wait_ms;

    if (!head || qm->due_running || qm->draining) {
        loop_timer_cancel(&qm->due_timer);
        return;
    }
    wait_ms = head->key * 1000 - time_now_us() / 1000;
    loop_timer_set(&qm->due_timer, wait_ms < 1 ? 1 : wait_ms, due, qm);
}

void deferred_init(struct qmgr *qm)
{
    hash_init(&qm->deferred, false);
    heap_init(&qm->due);
}

void deferred_add(struct qmgr *qm, const char *id, int64_t due_s)
{
    size_t len = strlen(id);
    struct deferred *item;

    deferred_remove(qm, span_str(id));
    item = xcalloc(1, sizeof *item + len + 1);
    memcpy(item->id, id, len + 1);
    hash_insert(&qm->deferred, &item->node, span_str(item->id));
    heap_insert(&qm->due, &item->due_node, due_s);
    if (heap_min(&qm->due) == &item->due_node)
        arm(qm);
}

void deferred_remove(struct qmgr *qm, struct span id)
{
    struct hash_node *node = hash_find(&qm->deferred, id);
    struct deferred *item;

    if (!node)
        return;
    item = hash_entry(node, struct deferred, node);
    hash_remove(&qm->deferred, node);
    heap_remove(&qm->due, &item->due_node);
    free(item);
}

void deferred_all_due(struct qmgr *qm)
{
    int64_t now = time_now();

    for (struct hash_node *node = hash_next(&qm->deferred, NULL); node;
         node = hash_next(&qm->deferred, node)) {
        struct deferred *item = hash_entry(node, struct deferred, node);

        if (item->due_node.key <= now)
            continue;
        heap_remove(&qm->due, &item->due_node);
        heap_insert(&qm->due, &item->due_node, now);
    }
    arm(qm);
}
