/* Walks of the queue directories: at start-up, on request (postqueue, postsuper), and
 * for what cleanup could not announce. New mail normally comes by notification, and
 * the deferred queue has its index, so no scan happens in daily work. */
#include "qmgr/qmgr.h"

#include <errno.h>

#include "util/msg.h"
#include "util/timefmt.h"

static bool visit_active(void *arg, const char *id, const char *path)
{
    struct qmgr *qm = arg;

    (void)path;
    if (!hash_find(&qm->messages, span_str(id)) &&
        queue_rename(&qm->queue, QUEUE_ACTIVE, QUEUE_INCOMING, id) < 0 &&
        errno != ENOENT)
        msg_warn("%s: rename from %s to %s: %s", id, QUEUE_ACTIVE, QUEUE_INCOMING,
                 strerror(errno));
    return !qm->draining;
}

static bool wait_for_room(struct qmgr *qm)
{
    while (!message_has_room(qm))
        if (qm->draining ||
            fiber_queue_wait(&qm->room, loop_deadline(1000)) == WAIT_CANCELLED)
            return false;
    return !qm->draining;
}

static bool visit_incoming(void *arg, const char *id, const char *path)
{
    struct qmgr *qm = arg;
    struct stat st;

    /* Not yet complete, or gone, or put off by its time stamp. */
    if (stat(path, &st) < 0 || (st.st_mode & 0700) != QUEUE_MODE_READY ||
        st.st_mtime > time_now())
        return true;
    if (!wait_for_room(qm))
        return false;
    message_admit(qm, QUEUE_INCOMING, id, NULL);
    return true;
}

static bool visit_deferred(void *arg, const char *id, const char *path)
{
    struct qmgr *qm = arg;
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & 0700) == QUEUE_MODE_READY)
        deferred_add(qm, id,
                     st.st_mode & (QUEUE_BIT_FLUSH | QUEUE_BIT_EXPIRE) ? time_now()
                                                                       : st.st_mtime);
    return !qm->draining;
}

static void scan_fiber(void *arg)
{
    struct qmgr *qm = arg;

    while (qm->scan_want && !qm->draining) {
        unsigned want = qm->scan_want;

        qm->scan_want = 0;
        if (want & SCAN_ACTIVE)
            queue_scan(&qm->queue, QUEUE_ACTIVE, visit_active, qm);
        if (want & SCAN_DEFERRED)
            queue_scan(&qm->queue, QUEUE_DEFERRED, visit_deferred, qm);
        if (want & SCAN_ALL_DUE)
            deferred_all_due(qm);
        if (want & SCAN_INCOMING)
            queue_scan(&qm->queue, QUEUE_INCOMING, visit_incoming, qm);
    }
    qm->scanning = false;
}

void scan_request(struct qmgr *qm, unsigned want)
{
    qm->scan_want |= want;
    if (qm->scanning || qm->draining || !qm->scan_want)
        return;
    qm->scanning = true;
    fiber_spawn("scan", scan_fiber, qm);
}
