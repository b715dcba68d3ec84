/* :include: files: read with the rights of whoever lists them, acted on with those of
 * their owner. */
#include "local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/file.h"
#include "util/msg.h"

#define INCLUDE_MAX (16 << 20) /* bytes of a list */

struct read_job {
    const char *path;
    struct strbuf text;
    struct stat st;
    int error;
    const char *doing;
};

static bool read_fd(int fd, struct strbuf *sb)
{
    for (;;) {
        ssize_t len;

        strbuf_reserve(sb, 8192);
        len = read(fd, sb->ptr + sb->len, 8192);
        if (len < 0)
            return false;
        if (len == 0)
            return true;
        sb->len += (size_t)len;
        sb->ptr[sb->len] = '\0';
        if (sb->len > INCLUDE_MAX) {
            errno = EFBIG;
            return false;
        }
    }
}

static void read_file(void *arg)
{
    struct read_job *job = arg;
    int fd = open(job->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    job->doing = "lookup";
    if (fd < 0) {
        job->error = errno;
        return;
    }
    job->doing = "read";
    if (fstat(fd, &job->st) < 0)
        job->error = errno;
    else if (!S_ISREG(job->st.st_mode))
        job->error = EINVAL;
    else if (!read_fd(fd, &job->text))
        job->error = errno;
    close(fd);
}

/* Anybody could have written it, so nobody's rights may be used for it. */
static bool is_acceptable(const struct read_job *job)
{
    if (!(job->st.st_mode & S_IWOTH))
        return true;
    msg_warn("file %s is world writable", job->path);
    return false;
}

static bool owner_rights(struct local_delivery *ld, const struct read_job *job,
                         const struct local_user **rights_out)
{
    *rights_out = NULL;
    if (job->st.st_uid == 0)
        return true;
    if (local_user_by_uid(ld->agent, job->st.st_uid, ld->arena, rights_out) ==
        LOOKUP_FOUND)
        return true;
    msg_warn("cannot find the owner (uid %ld) of :include: file %s",
             (long)job->st.st_uid, job->path);
    return false;
}

static void deliver_list(struct local_delivery *ld, const struct local_step *from,
                         const struct read_job *job)
{
    struct local_step list = *from;

    if (!is_acceptable(job) || !owner_rights(ld, job, &list.rights)) {
        local_report(ld, from, "5.3.5", "", "mail system configuration error");
        return;
    }
    list.origin = ORIGIN_INCLUDE;
    list.indirect = true;
    list.forwarder = NULL;
    list.level = from->level + 1;
    if (!(ld->agent->propagate & ORIGIN_INCLUDE))
        list.carry = "";
    if (local_list(ld, &list, strbuf_span(&job->text)) == 0) {
        msg_warn("no recipient in :include: file %s", job->path);
        local_report(ld, from, "5.3.5", "", "mail system configuration error");
    }
}

static bool is_temporary(int error)
{
    return error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM ||
           error == ESTALE || error == EINTR || error == ETIMEDOUT;
}

void local_include(struct local_delivery *ld, const struct local_step *from,
                   const char *path)
{
    const struct local_user *rights = local_rights(ld->agent, from->rights, ld->arena);
    struct read_job job = {.path = path, .text = STRBUF_INIT};

    if (*path != '/') {
        msg_warn(":include:%s needs an absolute file name", path);
        local_report(ld, from, "5.3.5", "", "mail system configuration error");
    } else if (from->level >= LOCAL_LEVEL_MAX) {
        msg_warn("%s: :include: files nested too deeply: %s", ld->req->queue_id, path);
        local_report(ld, from, "5.4.6", "", "mail system configuration error");
    } else if (!rights || !user_do(&rights->ids, read_file, &job)) {
        local_report(ld, from, "4.3.0", "", "cannot read :include: file");
    } else if (job.error) {
        msg_warn("unable to %s :include: file %s: %s", job.doing, path,
                 strerror(job.error));
        local_report(ld, from, is_temporary(job.error) ? "4.3.0" : "5.3.5", "",
                     "mail system configuration error");
    } else {
        deliver_list(ld, from, &job);
    }
    strbuf_free(&job.text);
}
