/* flush(8): remembers which deferred messages wait for which site, so that mail for
 * one of them can be retried without a look at the whole queue (ETRN, postqueue -s).
 * A site's log is flush/<site with odd characters as _>: a queue id a line.
 *
 * Requests: add (site, queue_id), send_site (site), send_file (queue_id), refresh,
 * purge. Replies: status 0 done, 1 not a fast-flush site, 2 failed, 3 bad request. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utime.h>

#include "global/match_list.h"
#include "global/queue.h"
#include "global/trigger.h"
#include "master/service.h"
#include "util/file.h"
#include "util/hash.h"
#include "util/ipc.h"
#include "util/msg.h"
#include "util/timefmt.h"

#define LOG_MAX     (64u * 1024 * 1024)
#define SITE_MAX    255
#define FLUSH_QUEUE "flush"

enum flush_status { FLUSH_OK, FLUSH_DENY, FLUSH_FAIL, FLUSH_BAD };

struct flush {
    const struct config *cfg;
    struct queue queue;
    struct match_list *domains;
    struct arena *arena;
};

/* "[192.0.2.1]" and names alike: what is no letter or digit becomes '_'. */
static void site_path(struct span site, char path[QUEUE_PATH_MAX + SITE_MAX])
{
    size_t n = strlen(FLUSH_QUEUE "/");

    memcpy(path, FLUSH_QUEUE "/", n);
    for (size_t i = 0; i < site.len && i < SITE_MAX; i++)
        path[n++] = ascii_alnum(site.ptr[i]) ? ascii_lower(site.ptr[i]) : '_';
    path[n] = '\0';
}

static enum flush_status check_site(struct flush *fl, struct span site)
{
    if (site.len == 0 || site.len > SITE_MAX || !span_is_printable(site))
        return FLUSH_BAD;
    switch (match_list_find(fl->domains, site)) {
    case MATCH_YES:
        return FLUSH_OK;
    case MATCH_NO:
        return FLUSH_DENY;
    default:
        return FLUSH_FAIL;
    }
}

static enum flush_status add(struct flush *fl, struct span site, struct span id)
{
    enum flush_status status = check_site(fl, site);
    char path[QUEUE_PATH_MAX + SITE_MAX], line[QUEUE_ID_MAX + 1];
    int fd, len;
    bool ok;

    if (status != FLUSH_OK)
        return status;
    if (!queue_id_valid(id))
        return FLUSH_BAD;
    site_path(site, path);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        msg_warn("%s: %s", path, strerror(errno));
        return FLUSH_FAIL;
    }
    len = snprintf(line, sizeof line, "%.*s\n", SPAN_ARG(id));
    ok = file_write_full(fd, line, (size_t)len);
    close(fd);
    return ok ? FLUSH_OK : FLUSH_FAIL;
}

/* Make a deferred message due now: marked for qmgr, and moved where it looks. */
static bool retry_file(struct flush *fl, const char *id)
{
    char path[QUEUE_PATH_MAX];
    struct stat st;

    queue_path(&fl->queue, QUEUE_DEFERRED, id, path);
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    if (chmod(path, (st.st_mode & 07777) | QUEUE_BIT_FLUSH) < 0 ||
        utime(path, NULL) < 0 ||
        queue_rename(&fl->queue, QUEUE_DEFERRED, QUEUE_INCOMING, id) < 0) {
        if (errno != ENOENT)
            msg_warn("%s: cannot make it due: %s", id, strerror(errno));
        return false;
    }
    return true;
}

static void wake_qmgr(struct flush *fl)
{
    char path[QUEUE_PATH_MAX];

    snprintf(path, sizeof path, "public/%s", fl->cfg->queue_service_name);
    if (!trigger_send(path, "I", fl->cfg->trigger_timeout))
        msg_warn("cannot wake %s: %s", path, strerror(errno));
}

static enum flush_status send_file(struct flush *fl, struct span id)
{
    if (!queue_id_valid(id))
        return FLUSH_BAD;
    /* A message that is not deferred is already being looked after. */
    if (retry_file(fl, arena_span_str(fl->arena, id)))
        wake_qmgr(fl);
    return FLUSH_OK;
}

static size_t retry_listed(struct flush *fl, struct span rest)
{
    size_t count = 0;

    while (rest.len > 0) {
        struct span id = span_trim(span_cut(&rest, '\n'));

        if (queue_id_valid(id) && retry_file(fl, arena_span_str(fl->arena, id)))
            count++;
    }
    return count;
}

/* Take the log away first: what is deferred again is noted in a new one. */
static size_t send_log(struct flush *fl, const char *path)
{
    char aside[QUEUE_PATH_MAX + SITE_MAX + 8];
    struct strbuf sb = STRBUF_INIT;
    struct err err;
    size_t count = 0;

    snprintf(aside, sizeof aside, "%s-send", path);
    if (rename(path, aside) < 0) {
        if (errno != ENOENT)
            msg_warn("%s: %s", path, strerror(errno));
        return 0;
    }
    if (file_read_all(aside, LOG_MAX, &sb, &err))
        count = retry_listed(fl, strbuf_span(&sb));
    else
        msg_warn("%s", err.text);
    unlink(aside);
    strbuf_free(&sb);
    return count;
}

static enum flush_status send_site(struct flush *fl, struct span site)
{
    enum flush_status status = check_site(fl, site);
    char path[QUEUE_PATH_MAX + SITE_MAX];

    if (status != FLUSH_OK)
        return status;
    site_path(site, path);
    if (send_log(fl, path) > 0)
        wake_qmgr(fl);
    return FLUSH_OK;
}

static bool is_deferred(struct flush *fl, struct span id)
{
    char path[QUEUE_PATH_MAX];

    queue_path(&fl->queue, QUEUE_DEFERRED, arena_span_str(fl->arena, id), path);
    return access(path, F_OK) == 0;
}

struct seen {
    struct hash_node node;
};

/* Keep each message that is still deferred once. */
static void compact(struct flush *fl, struct span rest, struct strbuf *out)
{
    struct hash seen;

    hash_init(&seen, false);
    while (rest.len > 0) {
        struct span id = span_trim(span_cut(&rest, '\n'));
        struct seen *item;

        if (!queue_id_valid(id) || hash_find(&seen, id) || !is_deferred(fl, id))
            continue;
        item = arena_alloc(fl->arena, sizeof *item);
        hash_insert(&seen, &item->node, arena_span(fl->arena, id));
        strbuf_add_span(out, id);
        strbuf_add_char(out, '\n');
    }
    hash_free(&seen);
}

/* Messages that nobody has asked for in a long time, nor tried, get an attempt. */
static bool is_neglected(const struct flush *fl, const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 &&
           time_now() > st.st_mtime + fl->cfg->fast_flush_refresh_time;
}

static void refresh_log(struct flush *fl, const char *path)
{
    struct strbuf old = STRBUF_INIT, kept = STRBUF_INIT;
    bool neglected = is_neglected(fl, path);
    struct err err;

    if (!file_read_all(path, LOG_MAX, &old, &err)) {
        msg_warn("%s", err.text);
    } else {
        compact(fl, strbuf_span(&old), &kept);
        if (kept.len == 0)
            unlink(path);
        else if (neglected && send_log(fl, path) > 0)
            wake_qmgr(fl);
        else if (kept.len < old.len &&
                 !file_replace(path, strbuf_span(&kept), 0600, &err))
            msg_warn("%s", err.text);
    }
    strbuf_free(&old);
    strbuf_free(&kept);
}

/* Walk all logs: refresh cleans them up, purge drops them. */
static enum flush_status walk(struct flush *fl, bool purge)
{
    DIR *dir = opendir(FLUSH_QUEUE);
    struct dirent *item;

    if (!dir)
        return FLUSH_FAIL;
    while ((item = readdir(dir)) != NULL) {
        char path[QUEUE_PATH_MAX + SITE_MAX + 32];

        if (item->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, FLUSH_QUEUE "/%s", item->d_name);
        if (purge)
            unlink(path);
        else
            refresh_log(fl, path);
        arena_reset(fl->arena);
    }
    closedir(dir);
    return FLUSH_OK;
}

static enum flush_status handle(struct flush *fl, struct span body)
{
    struct frame_reader r = frame_reader(body);
    struct span name = frame_want_span(&r, "request");
    struct span site = frame_opt_span(&r, "site");
    struct span id = frame_opt_span(&r, "queue_id");

    if (span_eq_str(name, "add"))
        return add(fl, site, id);
    if (span_eq_str(name, "send_site"))
        return send_site(fl, site);
    if (span_eq_str(name, "send_file"))
        return send_file(fl, id);
    if (span_eq_str(name, "refresh"))
        return walk(fl, false);
    if (span_eq_str(name, "purge"))
        return walk(fl, true);
    return FLUSH_BAD;
}

static void request(struct service *svc, struct span body, struct strbuf *reply)
{
    struct flush *fl = svc->data;

    frame_num(reply, "status", handle(fl, body));
    arena_reset(fl->arena);
}

static void trigger(struct service *svc, struct span bytes)
{
    (void)bytes;
    walk(svc->data, false);
}

static void pre_jail(struct service *svc)
{
    struct flush *fl = arena_alloc(svc->arena, sizeof *fl);

    fl->cfg = svc->cfg;
    fl->arena = arena_new();
    queue_init(&fl->queue, svc->cfg, svc->arena);
    fl->domains = match_list_open(svc->cfg, "fast_flush_domains",
                                  svc->cfg->fast_flush_domains, MATCH_DOMAIN);
    svc->data = fl;
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {.program = "flush",
                                           .pre_jail = pre_jail,
                                           .request = request,
                                           .trigger = trigger};

    return service_main(argc, argv, &ops);
}
