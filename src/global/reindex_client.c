#include "global/reindex_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/table_type.h"
#include "util/file.h"
#include "util/ipc.h"
#include "util/net.h"

#define TIMEOUT_MS 60000
/* Nothing else happens in the process meanwhile, so that this is short. */
#define BLOCKING_TIMEOUT_S 5
#define REPLY_MAX          4096

/* Services run in the queue directory, maybe with it as their root; commands run
 * anywhere. */
static char *socket_path(const struct config *cfg)
{
    const char *dir = cfg->queue_directory;
    struct strbuf path = STRBUF_INIT;
    struct stat here, queue;

    if (stat(dir, &queue) == 0 &&
        (stat(".", &here) < 0 || here.st_dev != queue.st_dev ||
         here.st_ino != queue.st_ino))
        strbuf_addf(&path, "%s/", dir);
    strbuf_addf(&path, "private/%s", cfg->non_bdb_migration_service_name);
    return strbuf_detach(&path);
}

static enum ipc_status call_in_fiber(const char *path, const struct strbuf *request,
                                     struct strbuf *reply)
{
    struct ipc_pool *pool = ipc_pool_new(path, TIMEOUT_MS, 1, 0);
    enum ipc_status status = ipc_call(pool, request, reply);

    ipc_pool_free(pool);
    return status;
}

static enum ipc_status read_reply(int fd, struct strbuf *reply)
{
    char buf[REPLY_MAX];
    struct frame frame;
    size_t len = 0, used;

    while (len < sizeof buf) {
        ssize_t got = recv(fd, buf + len, sizeof buf - len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return IPC_TIMEOUT;
        if (got <= 0)
            return IPC_LOST;
        len += (size_t)got;
        switch (frame_parse(span_of(buf, len), &frame, &used)) {
        case FRAME_COMPLETE:
            strbuf_add_span(reply, frame.body);
            return IPC_OK;
        case FRAME_BROKEN:
            return IPC_BROKEN;
        case FRAME_PARTIAL:
            break;
        }
    }
    return IPC_BROKEN;
}

static enum ipc_status call_blocking(const char *path, const struct strbuf *request,
                                     struct strbuf *reply)
{
    struct strbuf out = STRBUF_INIT;
    int fd = net_connect_unix_blocking(path, BLOCKING_TIMEOUT_S);
    enum ipc_status status = IPC_LOST;
    size_t mark;

    if (fd < 0)
        return errno == EAGAIN || errno == ETIMEDOUT ? IPC_TIMEOUT : IPC_UNAVAILABLE;
    strbuf_add(&out, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN);
    mark = frame_begin(&out, 1);
    strbuf_add_span(&out, strbuf_span(request));
    frame_end(&out, mark);
    if (send(fd, out.ptr, out.len, MSG_NOSIGNAL) == (ssize_t)out.len)
        status = read_reply(fd, reply);
    close(fd);
    strbuf_free(&out);
    return status;
}

bool reindex_ask(const struct config *cfg, const char *type, const char *path,
                 struct err *err)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    char *socket = socket_path(cfg);
    struct frame_reader r;
    enum ipc_status status;
    int64_t answer = 1;

    err->text[0] = '\0';
    frame_str(&request, "type", type);
    frame_str(&request, "path", path);
    status =
        (table_in_fiber() ? call_in_fiber : call_blocking)(socket, &request, &reply);
    if (status == IPC_OK) {
        r = frame_reader(strbuf_span(&reply));
        answer = frame_want_num(&r, "status");
        if (r.missing)
            status = IPC_BROKEN;
    }
    if (status != IPC_OK && status != IPC_UNAVAILABLE && status != IPC_CANCELLED)
        err_set(err, "problem talking to service %s: %s", socket,
                ipc_status_text(status));
    strbuf_free(&request);
    strbuf_free(&reply);
    free(socket);
    return status == IPC_OK && answer == 0;
}
