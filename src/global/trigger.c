#include "global/trigger.h"

#include <errno.h>
#include <unistd.h>

#include "util/file.h"
#include "util/net.h"

bool trigger_send(const char *path, const char *bytes, int64_t timeout_s)
{
    int fd = -1;
    bool ok;

    if (!fiber_self())
        fd = net_connect_unix_blocking(path, (int)timeout_s);
    else if (net_connect_unix(path, loop_deadline(timeout_s * 1000), &fd) !=
             NET_CONNECTED)
        fd = -1;
    if (fd < 0)
        return false;
    /* A few bytes always fit the empty socket buffer. */
    ok = file_write_full(fd, bytes, strlen(bytes));
    close(fd);
    return ok;
}
