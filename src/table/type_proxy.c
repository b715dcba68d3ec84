/* proxy:type:name asks the proxymap service, which opens type:name outside of the
 * chroot and for all processes together; tables that are written go to proxywrite. In
 * fibers the requests of all tables of a process share one connection to the service;
 * plain commands and worker threads talk on a connection of the table's own.
 *
 * Opening sends nothing: services open their tables before there may be anybody to
 * answer. The service folds keys, because only the open table knows whether it wants
 * that. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/proxy.h"
#include "table/table_type.h"
#include "util/ipc.h"
#include "util/msg.h"

#define TRIES    3
#define PAUSE_MS 300

/* A connection to a service, shared by the tables of the process. */
struct channel {
    struct list link;
    char *path;
    struct ipc_mux *mux;
    size_t refs;
};

/* Of the loop's thread. One list a process: the point of it is sharing. */
static struct list channels = {&channels, &channels};

struct proxy {
    struct table table;
    const char *service;
    char *path;        /* of the socket, when it is known */
    unsigned asked;    /* flags for the service */
    int64_t timeout_s; /* of the service's answers */
    struct channel *channel;
    pthread_mutex_t lock; /* of fd: worker threads */
    int fd;
    struct strbuf batch; /* entries of sequence */
    struct span rest;    /* of batch */
    int64_t cursor;
};

static struct proxy *self(const struct table *table)
{
    return (struct proxy *)table;
}

static const char *param(const struct table *table, const char *name,
                         const char *otherwise)
{
    const char *text = table->env ? table->env->param(table->env->arg, name) : NULL;

    return text && text[0] ? text : otherwise;
}

static int64_t ipc_timeout(const struct table *table)
{
    struct span text = span_str(param(table, "ipc_timeout", "3600s"));
    int64_t value;

    if (text.len > 0 && text.ptr[text.len - 1] == 's')
        text = span_first(text, text.len - 1);
    return span_i64(text, &value) && value > 0 && value < 1000000 ? value : 3600;
}

static bool proxy_open(struct table *table, struct err *err)
{
    struct proxy *proxy = self(table);
    bool write = table->mode == TABLE_WRITE;

    proxy->fd = -1;
    pthread_mutex_init(&proxy->lock, NULL);
    strbuf_init(&proxy->batch);
    if (!table->name[0])
        return err_set(err,
                       "open dictionary: expecting \"type:name\" form instead of "
                       "\"%s\"",
                       table->full_name);
    if (!strchr(table->name, ':'))
        return err_set(err, "proxymap open failed for table \"%s\": invalid request",
                       table->name);
    proxy->service = write ? param(table, "proxywrite_service_name", "proxywrite")
                           : param(table, "proxymap_service_name", "proxymap");
    proxy->timeout_s = ipc_timeout(table);
    /* Values are decoded here when the caller wants that. */
    proxy->asked = table->flags & TABLE_ASKED & ~(unsigned)TABLE_BASE64;
    table->flags |= TABLE_NO_FOLD | proxy_guess_flags(span_str(table->name));
    return true;
}

static void channel_unref(struct channel *channel)
{
    if (--channel->refs > 0)
        return;
    list_remove(&channel->link);
    ipc_mux_free(channel->mux);
    free(channel->path);
    free(channel);
}

static void proxy_close(struct table *table)
{
    struct proxy *proxy = self(table);

    if (proxy->channel)
        channel_unref(proxy->channel);
    if (proxy->fd >= 0)
        close(proxy->fd);
    free(proxy->path);
    strbuf_free(&proxy->batch);
    pthread_mutex_destroy(&proxy->lock);
}

/* Services run in the queue directory, maybe with it as their root; commands run
 * anywhere. Not asked before the first request: until then the root may change. */
static bool runs_in_queue_directory(const char *dir)
{
    struct stat here, queue;

    return !dir[0] || stat(dir, &queue) < 0 ||
           (stat(".", &here) == 0 && here.st_dev == queue.st_dev &&
            here.st_ino == queue.st_ino);
}

static const char *socket_path(struct proxy *proxy)
{
    const char *dir = param(&proxy->table, "queue_directory", "");
    struct strbuf path = STRBUF_INIT;

    if (proxy->path)
        return proxy->path;
    if (!runs_in_queue_directory(dir))
        strbuf_addf(&path, "%s/", dir);
    strbuf_addf(&path, "private/%s", proxy->service);
    proxy->path = strbuf_detach(&path);
    return proxy->path;
}

static struct channel *channel_get(const char *path, int64_t timeout_s)
{
    struct channel *channel;

    list_each(link, &channels)
    {
        channel = list_entry(link, struct channel, link);
        if (strcmp(channel->path, path) == 0) {
            channel->refs++;
            return channel;
        }
    }
    channel = xcalloc(1, sizeof(*channel));
    channel->path = xstrdup(path);
    channel->mux = ipc_mux_new(path, timeout_s * 1000);
    channel->refs = 1;
    list_append(&channels, &channel->link);
    return channel;
}

static bool call_in_fiber(struct proxy *proxy, const struct strbuf *request,
                          struct strbuf *reply, struct err *err)
{
    enum ipc_status status = IPC_UNAVAILABLE;

    if (!proxy->channel)
        proxy->channel = channel_get(socket_path(proxy), proxy->timeout_s);
    for (int i = 0; i < TRIES && status == IPC_UNAVAILABLE; i++) {
        if (i > 0 && fiber_sleep(PAUSE_MS) == WAIT_CANCELLED)
            break;
        status = ipc_mux_call(proxy->channel->mux, request, reply);
    }
    if (status == IPC_UNAVAILABLE && access(proxy->path, F_OK) < 0 && errno == ENOENT)
        return err_set(err,
                       "connect to subsystem %s: service %s is not configured in "
                       "master.cf, or the mail system is down",
                       proxy->path, proxy->service);
    return status == IPC_OK || err_set(err, "problem talking to service %s: %s",
                                       proxy->path, ipc_status_text(status));
}

static bool call(struct proxy *proxy, const struct strbuf *request,
                 struct strbuf *reply, struct err *err)
{
    if (table_in_fiber())
        return call_in_fiber(proxy, request, reply, err);
    pthread_mutex_lock(&proxy->lock);
    bool ok = proxy_call_blocking(&proxy->fd, socket_path(proxy), proxy->timeout_s,
                                  request, reply, err);
    pthread_mutex_unlock(&proxy->lock);
    return ok;
}

static void begin(const struct proxy *proxy, struct strbuf *request, const char *kind,
                  struct span key)
{
    frame_str(request, "request", kind);
    frame_str(request, "table", proxy->table.name);
    frame_num(request, "asked", proxy->asked);
    frame_span(request, "key", key);
}

static enum table_status refused(const struct proxy *proxy, struct err *err)
{
    bool write = proxy->table.mode == TABLE_WRITE;

    err_set(err,
            "%s service is not configured for table \"%s\": list proxy:%s in "
            "main.cf:%s",
            write ? "proxywrite" : "proxymap", proxy->table.name, proxy->table.name,
            write ? "proxy_write_maps" : "proxy_read_maps");
    return TABLE_BROKEN;
}

/* The reader stays for what else is in the reply. */
static enum table_status settle(struct proxy *proxy, struct frame_reader *r,
                                const struct strbuf *reply, struct err *err)
{
    const unsigned kinds = TABLE_FIXED | TABLE_PATTERN;

    *r = frame_reader(strbuf_span(reply));
    int64_t status = frame_want_num(r, "status");
    unsigned flags = (unsigned)frame_opt_num(r, "flags", 0) & kinds;
    struct span text = frame_opt_span(r, "text");
    if (!r->missing && status == PROXY_REFUSED)
        return refused(proxy, err);
    if (r->missing || status < TABLE_FOUND || status > TABLE_BROKEN) {
        err_set(err, "malformed reply of service %s", proxy->service);
        return TABLE_RETRY;
    }
    if (flags) /* of a kind that is unknown in this process */
        proxy->table.flags = (proxy->table.flags & ~kinds) | flags;
    if (status == TABLE_RETRY || status == TABLE_BROKEN)
        err_set(err, "%.*s", SPAN_ARG(text));
    return (enum table_status)status;
}

static enum table_status ask(struct proxy *proxy, struct strbuf *request,
                             struct strbuf *reply, struct frame_reader *r,
                             struct err *err)
{
    enum table_status status = TABLE_RETRY;

    if (call(proxy, request, reply, err))
        status = settle(proxy, r, reply, err);
    strbuf_free(request);
    return status;
}

static enum table_status proxy_lookup(struct table *table, struct span key,
                                      struct strbuf *value, struct err *err)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    struct frame_reader r;

    begin(self(table), &request, "lookup", key);
    enum table_status status = ask(self(table), &request, &reply, &r, err);
    if (status == TABLE_FOUND)
        strbuf_add_span(value, frame_opt_span(&r, "value"));
    strbuf_free(&reply);
    return status;
}

static enum table_status proxy_update(struct table *table, struct span key,
                                      struct span value, struct err *err)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    struct frame_reader r;

    begin(self(table), &request, "update", key);
    frame_span(&request, "value", value);
    enum table_status status = ask(self(table), &request, &reply, &r, err);
    strbuf_free(&reply);
    return status;
}

static enum table_status proxy_remove(struct table *table, struct span key,
                                      struct err *err)
{
    struct strbuf request = STRBUF_INIT, reply = STRBUF_INIT;
    struct frame_reader r;

    begin(self(table), &request, "delete", key);
    enum table_status status = ask(self(table), &request, &reply, &r, err);
    strbuf_free(&reply);
    return status;
}

static enum table_status next_batch(struct proxy *proxy, struct err *err)
{
    struct strbuf request = STRBUF_INIT;
    struct frame_reader r;

    begin(proxy, &request, "sequence", SPAN_EMPTY);
    frame_num(&request, "cursor", proxy->cursor);
    proxy->rest = SPAN_EMPTY;
    enum table_status status = ask(proxy, &request, &proxy->batch, &r, err);
    if (status != TABLE_FOUND)
        return status;
    proxy->cursor = frame_opt_num(&r, "cursor", 0);
    proxy->rest = strbuf_span(&proxy->batch);
    return TABLE_FOUND;
}

static bool take_entry(struct proxy *proxy, struct strbuf *key, struct strbuf *value)
{
    struct frame_attr attr;

    while (frame_next(&proxy->rest, &attr)) {
        if (!span_eq_str(attr.name, "entry") || !frame_group_check(attr.value))
            continue;
        struct frame_reader r = frame_reader(attr.value);
        strbuf_add_span(key, frame_opt_span(&r, "key"));
        strbuf_add_span(value, frame_opt_span(&r, "value"));
        return true;
    }
    return false;
}

static enum table_status proxy_next(struct table *table, bool first, struct strbuf *key,
                                    struct strbuf *value, struct err *err)
{
    struct proxy *proxy = self(table);
    enum table_status status = TABLE_FOUND;

    if (first) {
        proxy->cursor = 0;
        status = next_batch(proxy, err);
    }
    while (status == TABLE_FOUND && !take_entry(proxy, key, value)) {
        if (proxy->cursor == 0)
            return TABLE_NOT_FOUND;
        status = next_batch(proxy, err);
    }
    return status;
}

/* The service watches the table itself. */
static bool never_changed(const struct table *table UNUSED)
{
    return false;
}

extern const struct table_type table_type_proxy;
const struct table_type table_type_proxy = {
    .name = "proxy",
    .size = sizeof(struct proxy),
    .updatable = true,
    .thread_safe = true,
    .open = proxy_open,
    .close = proxy_close,
    .lookup = proxy_lookup,
    .update = proxy_update,
    .remove = proxy_remove,
    .next = proxy_next,
    .changed = never_changed,
};
