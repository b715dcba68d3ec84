#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "pickup/pickup.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/timefmt.h"

static enum pickup_outcome open_failed(const struct err *err)
{
    if (errno == ENOENT)
        return PICKUP_SKIP;
    msg_warn("%s", err->text);
    return PICKUP_RETRY;
}

/* Postdrop gives everybody the right to read, for our sake; files of the other queues,
 * which postsuper put here, are ours and nobody else's. */
static bool is_requeued(const struct stat *st)
{
    return st->st_uid == geteuid() && !(st->st_mode & S_IROTH);
}

static int64_t arrival(const struct stat *st)
{
    int64_t now = (int64_t)time_now();

    return (int64_t)st->st_mtime < now ? (int64_t)st->st_mtime : now;
}

static const char *status_text(const struct cleanup_result *result)
{
    const char *text;

    if (result->reason[0])
        return result->reason;
    if (result->status & CLEANUP_STAT_BAD)
        return "internal protocol error";
    if (result->status & CLEANUP_STAT_RCPT)
        return "no recipients specified";
    text = cleanup_status_detail(result->status)->text;
    return strncmp(text, "Error: ", 7) == 0 ? text + 7 : text;
}

/* Cleanup returns to the sender what it must not accept: what is left is either its
 * trouble, or ours. */
static enum pickup_outcome judge(const struct pickup_source *src, const char *queue_id,
                                 const struct cleanup_result *result)
{
    if (result->status == CLEANUP_STAT_OK)
        return PICKUP_DONE;
    msg_warn("%s: error writing %s: %s", src->path, queue_id, status_text(result));
    if (result->status & CLEANUP_STAT_BAD)
        return PICKUP_CORRUPT;
    /* All recipients of a requeued message may be done. */
    if (result->status & CLEANUP_STAT_RCPT)
        return PICKUP_DONE;
    return PICKUP_RETRY;
}

static enum pickup_outcome transfer(struct pickup *pk, const struct pickup_source *src)
{
    const char *why;
    char queue_id[QUEUE_ID_MAX];
    struct cleanup_message *msg = cleanup_open(pk->cleanup, pk->cleanup_flags, &why);
    struct cleanup_result result;
    enum pickup_outcome outcome;
    struct arena *arena;

    if (!msg) {
        if (!fiber_cancelled())
            msg_warn("%s: service %s: %s", src->path, pk->cfg->cleanup_service_name,
                     why);
        return PICKUP_RETRY;
    }
    strcpy(queue_id, cleanup_message_id(msg));
    service_note_session(queue_id);
    outcome = pickup_copy(pk, src, msg);
    if (outcome != PICKUP_DONE) {
        cleanup_abort(msg);
        return outcome;
    }
    arena = arena_new();
    result = cleanup_commit(msg, arena);
    outcome = judge(src, queue_id, &result);
    arena_free(arena);
    return outcome;
}

enum pickup_outcome pickup_message(struct pickup *pk, const char *id, const char *path)
{
    struct pickup_source src = {.path = path, .id = id};
    enum pickup_outcome outcome;
    struct stat st;
    struct err err;

    src.fd = file_open_safe(path, O_RDONLY, 0, (uid_t)-1, (gid_t)-1, &st, &err);
    if (src.fd < 0)
        return open_failed(&err);
    if ((st.st_mode & S_IRWXU) != QUEUE_MODE_READY) {
        close(src.fd);
        return PICKUP_SKIP;
    }
    src.uid = st.st_uid;
    src.requeued = is_requeued(&st);
    src.time_s = arrival(&st);
    outcome = transfer(pk, &src);
    close(src.fd);
    return outcome;
}
