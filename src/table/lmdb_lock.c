#include "table/lmdb_lock.h"

#include <errno.h>
#include <unistd.h>

#include "table/table_type.h"

#define WAIT_MS        10000
#define PAUSE_MAX_MS   10
#define PAUSE_FIRST_MS 2 /* of the first in the queue */

/* Behind the end of every file. */
#define GATE_AT ((off_t)1 << (sizeof(off_t) > 4 ? 62 : 30))

static enum lock_result set_lock(int fd, short type, off_t start, off_t len)
{
    struct flock lock = {
        .l_whence = SEEK_SET, .l_type = type, .l_start = start, .l_len = len};
    int rc;

    do {
#if LMDB_LOCK_IS_OF_FILE
        rc = fcntl(fd, F_OFD_SETLK, &lock);
#else
        rc = fcntl(fd, F_SETLK, &lock);
#endif
    } while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return LOCK_OK;
    return errno == EAGAIN || errno == EACCES ? LOCK_BUSY : LOCK_FAILED;
}

enum lock_result lmdb_lock_try(int fd, enum lock_mode mode)
{
    short type = mode == LOCK_SHARED      ? F_RDLCK
                 : mode == LOCK_EXCLUSIVE ? F_WRLCK
                                          : F_UNLCK;

    return set_lock(fd, type, 0, GATE_AT);
}

static bool pause_ms(int pause)
{
    if (table_in_fiber())
        return fiber_sleep(pause) != WAIT_CANCELLED;
    usleep((useconds_t)pause * 1000);
    return true;
}

/* Whoever polls for a lock misses the moments in which it is free when others take and
 * give it without a pause. So a second lock is the gate to it: one process waits at the
 * lock itself, and those that had it wait at the gate. */
static enum lock_result try_behind_gate(int fd, enum lock_mode mode, bool *first)
{
    enum lock_result result;

    if (!*first) {
        result = set_lock(fd, F_WRLCK, GATE_AT, 1);
        if (result != LOCK_OK)
            return result;
        *first = true;
    }
    return lmdb_lock_try(fd, mode);
}

static void leave_gate(int fd)
{
    set_lock(fd, F_UNLCK, GATE_AT, 1);
}

bool lmdb_lock_wait(int fd, enum lock_mode mode, const char *path, struct err *err)
{
    enum lock_result result = LOCK_BUSY;
    bool first = false;
    int pause = 0;

    for (int waited = 0; waited < WAIT_MS; waited += pause) {
        result = try_behind_gate(fd, mode, &first);
        if (result == LOCK_FAILED)
            err_set(err, "lock %s: %s", path, strerror(errno));
        if (result != LOCK_BUSY)
            break;
        if (pause < (first ? PAUSE_FIRST_MS : PAUSE_MAX_MS))
            pause++;
        else if (first)
            pause = PAUSE_FIRST_MS;
        if (!pause_ms(pause))
            break;
    }
    if (first)
        leave_gate(fd);
    if (result == LOCK_BUSY)
        err_set(err, "lock %s: still locked by another process", path);
    return result == LOCK_OK;
}

void lmdb_lock_release(int fd)
{
    lmdb_lock_try(fd, LOCK_UNLOCK);
}
