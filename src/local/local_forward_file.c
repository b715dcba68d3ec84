/* .forward files: looked for and read with the rights of the user, believed only when
 * nobody else can write them. */
#include "local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/file.h"
#include "util/msg.h"

#define FORWARD_FILE_MAX (1 << 20)

struct forward_job {
    const struct local_user *user;
    const char *const *paths; /* NULL-terminated */
    const char *path;         /* the one that was found, or NULL */
    const char *refused;      /* why it is not believed */
    struct stat st;
    struct strbuf text;
    int error; /* of a file that is there but cannot be had now */
};

static bool read_text(struct forward_job *job, int fd)
{
    for (;;) {
        ssize_t len;

        strbuf_reserve(&job->text, 4096);
        len = read(fd, job->text.ptr + job->text.len, 4096);
        if (len < 0)
            return false;
        if (len == 0)
            return true;
        job->text.len += (size_t)len;
        job->text.ptr[job->text.len] = '\0';
        if (job->text.len > FORWARD_FILE_MAX) {
            errno = EFBIG;
            return false;
        }
    }
}

static void look_at(struct forward_job *job, int fd)
{
    if (fstat(fd, &job->st) < 0)
        job->error = errno;
    else if (!S_ISREG(job->st.st_mode))
        job->refused = "is not a regular file";
    else if (job->st.st_uid != 0 && job->st.st_uid != job->user->ids.uid)
        job->refused = "has bad owner";
    else if (job->st.st_mode & S_IWOTH)
        job->refused = "is world writable";
    else if (!read_text(job, fd))
        job->error = errno;
}

static bool is_missing(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM ||
           error == ENAMETOOLONG || error == ELOOP;
}

/* With the rights of the user; must not wait. */
static void find_file(void *arg)
{
    struct forward_job *job = arg;

    for (size_t i = 0; job->paths[i]; i++) {
        int fd = open(job->paths[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

        if (fd < 0 && is_missing(errno))
            continue;
        job->path = job->paths[i];
        if (fd < 0) {
            job->error = errno;
            return;
        }
        look_at(job, fd);
        close(fd);
        return;
    }
}

/* A candidate that needs an extension or a home directory is no candidate without. */
static const char **candidates(struct local_delivery *ld, const struct local_step *step,
                               const struct local_user *user)
{
    const struct config *cfg = ld->agent->cfg;
    struct span rest = span_str(cfg->forward_path), item;
    const char **paths = arena_alloc(ld->arena, (rest.len / 2 + 2) * sizeof *paths);
    size_t count = 0;

    while (span_token_braces(&rest, ", \t\r\n", &item)) {
        const char *path = local_expand(ld, step, user, "forward_path",
                                        arena_span_str(ld->arena, item),
                                        cfg->forward_expansion_filter);

        if (!path || *path != '/' || (count > 0 && strcmp(paths[count - 1], path) == 0))
            continue;
        paths[count++] = path;
    }
    return paths;
}

static bool expand(struct local_delivery *ld, const struct local_step *step,
                   const struct forward_job *job)
{
    struct local_step list = *step;
    const char *extension = step->local + strlen(step->user);

    if (span_trim(strbuf_span(&job->text)).len == 0)
        return false;
    local_note_expanded(ld);
    list.parent = step;
    list.level = step->level + 1;
    list.origin = ORIGIN_FORWARD;
    list.rights = job->user;
    list.forwarder = job->user;
    list.indirect = true;
    list.rcpt.notify &= ~NOTIFY_SUCCESS;
    if (step->rcpt.notify && !list.rcpt.notify)
        list.rcpt.notify = NOTIFY_NEVER;
    if (!ld->agent->cfg->frozen_delivered_to)
        list.delivered_to = step->rcpt.address;
    list.carry = "";
    /* A file that is named for the extension has matched it. */
    if (*step->extension && (ld->agent->propagate & ORIGIN_FORWARD) &&
        !span_ends(span_str(job->path), span_str(extension)))
        list.carry = extension;
    return local_list(ld, &list, strbuf_span(&job->text)) > 0;
}

static bool decide(struct local_delivery *ld, const struct local_step *step,
                   const struct forward_job *job)
{
    if (!job->path)
        return false;
    if (job->error) {
        msg_warn("%s: cannot read %s: %s", ld->req->queue_id, job->path,
                 strerror(job->error));
        local_report(ld, step, "4.3.0", "",
                     arena_printf(ld->arena, "cannot read %s: %s", job->path,
                                  strerror(job->error)));
        return true;
    }
    if (!job->refused)
        return expand(ld, step, job);
    if (strcmp(job->refused, "has bad owner") == 0)
        msg_warn("file %s has bad owner uid %ld", job->path, (long)job->st.st_uid);
    else
        msg_warn("file %s %s", job->path, job->refused);
    return false;
}

bool local_forward_file(struct local_delivery *ld, const struct local_step *step,
                        const struct local_user *user)
{
    struct forward_job job = {.user = user, .text = STRBUF_INIT};
    bool decided;

    if (!user_switch_possible() && user->ids.uid != geteuid())
        return false;
    job.paths = candidates(ld, step, user);
    if (!job.paths[0])
        return false;
    if (!user_do(&user->ids, find_file, &job)) {
        local_report(ld, step, "4.3.0", "", "cannot take the rights of the recipient");
        decided = true;
    } else {
        decided = decide(ld, step, &job);
    }
    strbuf_free(&job.text);
    return decided;
}
