#include "table/line_client.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "util/net.h"

#define KEEP_MAX 8
#define IDLE_S   5

struct line_client {
    char *host, *port, *path;
    int timeout_s;
    pthread_mutex_t lock;
    struct {
        int fd;
        time_t since;
    } kept[KEEP_MAX];
    size_t count;
};

struct line_client *line_client_new(struct span endpoint, bool is_unix, int timeout_s,
                                    struct err *err)
{
    struct span host = SPAN_EMPTY, port = endpoint;
    ssize_t colon = span_rchr(endpoint, ':');

    if (!is_unix && colon >= 0) {
        host = span_first(endpoint, (size_t)colon);
        port = span_skip(endpoint, (size_t)colon + 1);
    }
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = span_of(host.ptr + 1, host.len - 2);
    if (port.len == 0 || (!is_unix && (span_chr(port, '.') >= 0))) {
        err_set(err, "need host:port instead of \"%.*s\"", SPAN_ARG(endpoint));
        return NULL;
    }
    struct line_client *client = xcalloc(1, sizeof(*client));
    client->timeout_s = timeout_s;
    pthread_mutex_init(&client->lock, NULL);
    if (is_unix) {
        client->path = xstrndup(endpoint.ptr, endpoint.len);
        return client;
    }
    client->host = host.len ? xstrndup(host.ptr, host.len) : xstrdup("localhost");
    client->port = xstrndup(port.ptr, port.len);
    return client;
}

void line_client_free(struct line_client *client)
{
    if (!client)
        return;
    for (size_t i = 0; i < client->count; i++)
        close(client->kept[i].fd);
    pthread_mutex_destroy(&client->lock);
    free(client->host);
    free(client->port);
    free(client->path);
    free(client);
}

static int take_kept(struct line_client *client)
{
    int fd = -1;

    pthread_mutex_lock(&client->lock);
    while (fd < 0 && client->count > 0) {
        client->count--;
        fd = client->kept[client->count].fd;
        if (time(NULL) - client->kept[client->count].since > IDLE_S) {
            close(fd);
            fd = -1;
        }
    }
    pthread_mutex_unlock(&client->lock);
    return fd;
}

static void keep(struct line_client *client, int fd)
{
    pthread_mutex_lock(&client->lock);
    if (client->count < KEEP_MAX) {
        client->kept[client->count].fd = fd;
        client->kept[client->count++].since = time(NULL);
        fd = -1;
    }
    pthread_mutex_unlock(&client->lock);
    if (fd >= 0)
        close(fd);
}

static int connect_one(const struct addrinfo *info, int timeout_s)
{
    struct timeval limit = {.tv_sec = timeout_s};
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, info->ai_addr, info->ai_addrlen) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int connect_new(const struct line_client *client, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int fd = -1;

    if (client->path) {
        fd = net_connect_unix_blocking(client->path, client->timeout_s);
        if (fd < 0)
            err_set(err, "connect to %s: %s", client->path, strerror(errno));
        return fd;
    }
    int code = getaddrinfo(client->host, client->port, &hints, &all);
    if (code != 0) {
        err_set(err, "host or service %s:%s not found: %s", client->host, client->port,
                gai_strerror(code));
        return -1;
    }
    for (struct addrinfo *info = all; info && fd < 0; info = info->ai_next)
        fd = connect_one(info, client->timeout_s);
    if (fd < 0)
        err_set(err, "connect to %s:%s: %s", client->host, client->port,
                strerror(errno));
    freeaddrinfo(all);
    return fd;
}

static bool send_all(int fd, struct span data)
{
    while (data.len > 0) {
        ssize_t sent = send(fd, data.ptr, data.len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        data = span_skip(data, (size_t)sent);
    }
    return true;
}

static bool trouble(int error, struct err *err)
{
    bool late = error == EAGAIN || error == EWOULDBLOCK;

    return err_set(err, "%s",
                   error == 0 ? "unexpected disconnect"
                   : late     ? "timeout"
                              : strerror(error));
}

/* lost_out: the connection ended before the first byte of a reply. */
static bool exchange(int fd, struct span request, line_client_complete *complete,
                     void *arg, struct strbuf *reply, bool *lost_out, struct err *err)
{
    time_t end = time(NULL) + 200; /* of a reply that comes in drops */

    *lost_out = true;
    strbuf_reset(reply);
    if (!send_all(fd, request))
        return trouble(errno, err);
    for (;;) {
        strbuf_reserve(reply, 4096);
        ssize_t got = recv(fd, reply->ptr + reply->len, 4096, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            *lost_out = got == 0 && reply->len == 0;
        if (got <= 0)
            return trouble(got < 0 ? errno : 0, err);
        *lost_out = false;
        reply->len += (size_t)got;
        reply->ptr[reply->len] = '\0';
        ssize_t size = complete(arg, strbuf_span(reply), err);
        if (size < 0)
            return false;
        if (size > 0 && (size_t)size < reply->len)
            return err_set(err, "input format error: more than one reply");
        if (size > 0)
            return true;
        if (time(NULL) > end)
            return trouble(EAGAIN, err);
    }
}

bool line_client_call(struct line_client *client, struct span request,
                      line_client_complete *complete, void *arg, struct strbuf *reply,
                      struct err *err)
{
    int fd = take_kept(client);
    bool fresh = fd < 0, lost = false, ok = false;

    if (!fresh) {
        ok = exchange(fd, request, complete, arg, reply, &lost, err);
        if (!ok)
            close(fd);
    }
    if (fresh || (!ok && lost)) {
        fd = connect_new(client, err);
        if (fd < 0)
            return false;
        ok = exchange(fd, request, complete, arg, reply, &lost, err);
        if (!ok)
            close(fd);
    }
    if (ok)
        keep(client, fd);
    return ok;
}
