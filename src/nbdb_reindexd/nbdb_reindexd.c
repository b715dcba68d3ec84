/* nbdb_reindexd(8): the service. One job a table: requests that come while it is being
 * built wait for that build; what was tried or refused of late is not repeated. */
#include <stdlib.h>
#include <unistd.h>

#include "master/service_user.h"
#include "nbdb_reindexd/reindex.h"
#include "util/escape.h"
#include "util/hash.h"
#include "util/msg.h"

#define JOBS_MAX   1000
#define BUILDS_MAX 4      /* at a time */
#define REPEAT_MS  300000 /* the same complaint, the same build that failed */

struct program {
    struct hash jobs;
    size_t builds;
    struct fiber_queue room; /* for another build */
};

struct job {
    struct hash_node node; /* by path */
    char *path;
    size_t users;            /* requests that hold it */
    bool is_busy, ok;        /* being worked on; how that ended last */
    struct fiber_queue done; /* no longer busy */
    int64_t warned_at;       /* 0: never */
    int64_t built_at;        /* 0: never */
    bool built_ok;           /* then, from a source of: */
    struct timespec mtime;
    off_t size;
};

/* -- jobs -- */

static void job_free(struct program *program, struct job *job)
{
    hash_remove(&program->jobs, &job->node);
    free(job->path);
    free(job);
}

static void forget_idle_jobs(struct program *program)
{
    struct hash_node *node = hash_next(&program->jobs, NULL), *next;

    for (; node; node = next) {
        struct job *job = hash_entry(node, struct job, node);
        next = hash_next(&program->jobs, node);
        if (job->users == 0)
            job_free(program, job);
    }
}

static struct job *job_take(struct program *program, struct span path)
{
    struct hash_node *node = hash_find(&program->jobs, path);
    struct job *job;

    if (!node && program->jobs.count >= JOBS_MAX)
        forget_idle_jobs(program);
    if (node) {
        job = hash_entry(node, struct job, node);
    } else {
        job = xcalloc(1, sizeof *job);
        job->path = xstrndup(path.ptr, path.len);
        fiber_queue_init(&job->done);
        hash_insert(&program->jobs, &job->node, span_str(job->path));
    }
    job->users++;
    return job;
}

static bool is_recent(int64_t when)
{
    return when && loop_now() - when < REPEAT_MS;
}

static void complain(struct job *job, const char *type, const struct err *err)
{
    struct strbuf text = STRBUF_INIT;

    if (is_recent(job->warned_at))
        return;
    job->warned_at = loop_now();
    strbuf_addf(&text, "not building the index of %s:%s: %s", type, job->path,
                err->text);
    struct strbuf line = STRBUF_INIT;
    escape_printable(&line, strbuf_span(&text), '?', true);
    msg_warn("%s", line.ptr);
    strbuf_free(&line);
    strbuf_free(&text);
}

/* -- one attempt -- */

struct attempt {
    struct reindex_check check;
    enum reindex_verdict verdict;
};

static void check_as_root(void *arg)
{
    struct attempt *attempt = arg;

    attempt->verdict = reindex_check(&attempt->check);
}

static enum reindex_verdict judge(const struct service *svc, const struct job *job,
                                  struct attempt *attempt)
{
    uid_t root = user_switch_possible() ? 0 : geteuid();
    struct user_ids ids = {.uid = root, .gid = root ? getegid() : 0};

    *attempt = (struct attempt){
        .verdict = REINDEX_REFUSED,
        .check = {.path = job->path,
                  .root_prefixes = svc->cfg->non_bdb_migration_allow_root_prefixes,
                  .user_prefixes = svc->cfg->non_bdb_migration_allow_user_prefixes,
                  .root = root}};
    err_set(&attempt->check.err, "cannot look at the source");
    user_do(&ids, check_as_root, attempt);
    return attempt->verdict;
}

/* Another build would end like the last one: it failed, or the source is of a time
 * that has not come yet. */
static bool was_tried(const struct job *job, const struct reindex_check *check)
{
    const struct stat *st = &check->source;

    return is_recent(job->built_at) && !(check->is_missing && job->built_ok) &&
           job->mtime.tv_sec == st->st_mtim.tv_sec &&
           job->mtime.tv_nsec == st->st_mtim.tv_nsec && job->size == st->st_size;
}

static bool build(struct service *svc, struct job *job, const char *type,
                  const struct reindex_check *check)
{
    struct program *program = svc->data;
    struct err err;
    bool ok;

    while (program->builds >= BUILDS_MAX)
        if (fiber_queue_wait(&program->room, LOOP_NEVER) == WAIT_CANCELLED)
            return false;
    program->builds++;
    ok = reindex_build(svc->cfg, check, type, &err);
    program->builds--;
    fiber_queue_wake_one(&program->room);
    job->built_at = loop_now();
    job->built_ok = ok;
    job->mtime = check->source.st_mtim;
    job->size = check->source.st_size;
    if (ok)
        msg_info("rebuilt %s:%s as %s.lmdb: the index was %s", type, job->path,
                 job->path, check->is_missing ? "missing" : "older than its source");
    else
        complain(job, type, &err);
    return ok;
}

static bool attempt_once(struct service *svc, struct job *job, const char *type)
{
    struct attempt attempt;
    bool ok = false;

    switch (judge(svc, job, &attempt)) {
    case REINDEX_REFUSED:
        complain(job, type, &attempt.check.err);
        break;
    case REINDEX_FRESH:
        ok = true;
        break;
    case REINDEX_NEEDED:
        ok = was_tried(job, &attempt.check) ? job->built_ok
                                            : build(svc, job, type, &attempt.check);
        break;
    }
    free(attempt.check.real_path);
    return ok;
}

static bool handle(struct service *svc, const char *type, struct span path)
{
    struct job *job = job_take(svc->data, path);
    bool ok = false;

    if (job->is_busy) {
        ok = fiber_queue_wait(&job->done, LOOP_NEVER) == WAIT_READY && job->ok;
    } else {
        job->is_busy = true;
        ok = attempt_once(svc, job, type);
        job->ok = ok;
        job->is_busy = false;
        fiber_queue_wake_all(&job->done);
    }
    job->users--;
    return ok;
}

/* -- the service -- */

static void request(struct service *svc, struct span body, struct strbuf *reply)
{
    struct frame_reader r = frame_reader(body);
    struct span type = frame_want_span(&r, "type"), path = frame_want_span(&r, "path");
    const char *name = span_eq_str(type, "hash")    ? "hash"
                       : span_eq_str(type, "btree") ? "btree"
                                                    : NULL;

    if (r.missing || !name || path.len == 0 || memchr(path.ptr, '\0', path.len)) {
        msg_warn("ignoring a malformed request");
        frame_num(reply, "status", 1);
        return;
    }
    frame_num(reply, "status", handle(svc, name, path) ? 0 : 1);
}

static void pre_jail(struct service *svc)
{
    struct program *program = arena_alloc(svc->arena, sizeof *program);

    hash_init(&program->jobs, false);
    program->builds = 0;
    fiber_queue_init(&program->room);
    svc->data = program;
}

static void on_exit_free(struct service *svc)
{
    struct program *program = svc->data;

    forget_idle_jobs(program);
    hash_free(&program->jobs);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {.program = "nbdb_reindexd",
                                           .pre_jail = pre_jail,
                                           .request = request,
                                           .on_exit = on_exit_free,
                                           .privileged = true,
                                           .solitary = true,
                                           .no_chroot = true};

    return service_main(argc, argv, &ops);
}
