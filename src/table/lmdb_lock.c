#include "table/lmdb_lock.h"

#include <errno.h>
#include <unistd.h>

#include "table/table_type.h"

#define WAIT_MS      10000
#define PAUSE_MAX_MS 10

enum lock_result lmdb_lock_try(int fd, enum lock_mode mode)
{
    struct flock lock = {.l_whence = SEEK_SET,
                         .l_type = mode == LOCK_SHARED      ? F_RDLCK
                                   : mode == LOCK_EXCLUSIVE ? F_WRLCK
                                                            : F_UNLCK};
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

bool lmdb_lock_wait(int fd, enum lock_mode mode, const char *path, struct err *err)
{
    int pause = 1;

    for (int waited = 0; waited < WAIT_MS; waited += pause) {
        enum lock_result result = lmdb_lock_try(fd, mode);
        if (result == LOCK_OK)
            return true;
        if (result == LOCK_FAILED)
            return err_set(err, "lock %s: %s", path, strerror(errno));
        if (pause < PAUSE_MAX_MS)
            pause++;
        if (!table_in_fiber())
            usleep((useconds_t)pause * 1000);
        else if (fiber_sleep(pause) == WAIT_CANCELLED)
            break;
    }
    return err_set(err, "lock %s: still locked by another process", path);
}

void lmdb_lock_release(int fd)
{
    lmdb_lock_try(fd, LOCK_UNLOCK);
}
