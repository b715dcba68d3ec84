#include <errno.h>
#include <sys/statvfs.h>

#include "smtpd/smtpd.h"
#include "util/msg.h"

#define SPACE_CHECK_MS   1000 /* how long a look at the disk counts */
#define SPACE_FACTOR_NUM 3    /* a message may need 1.5 times its limit */
#define SPACE_FACTOR_DEN 2

static void log_refusal(struct smtpd_session *s, const char *reply)
{
    struct event_context ctx = smtpd_context(s, NULL);

    event_policy(s->trans.queue_id, "reject", "MAIL", s->client.namaddr, reply, &ctx);
}

static int64_t space_needed(const struct config *cfg)
{
    int64_t by_message = 0;

    if (cfg->message_size_limit < INT64_MAX / SPACE_FACTOR_NUM)
        by_message = cfg->message_size_limit * SPACE_FACTOR_NUM / SPACE_FACTOR_DEN;
    return cfg->queue_minfree > by_message ? cfg->queue_minfree : by_message;
}

/* False when there is too little; unknown counts as enough. */
static bool look_at_disk(const struct config *cfg, int64_t *free_out)
{
    struct statvfs fs;
    unsigned __int128 bytes;

    if (statvfs(".", &fs) < 0) {
        msg_warn("statvfs %s: %s", cfg->queue_directory, strerror(errno));
        *free_out = INT64_MAX;
        return true;
    }
    bytes = (unsigned __int128)fs.f_bavail * fs.f_frsize;
    *free_out = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
    return *free_out >= space_needed(cfg);
}

const char *smtpd_size_space(struct smtpd_session *s)
{
    static const char reply[] = "452 4.3.1 Insufficient system storage";
    struct smtpd_service *ss = s->ss;
    int64_t available;

    if (ss->space_ok && loop_now() - ss->space_checked < SPACE_CHECK_MS)
        return NULL;
    ss->space_checked = loop_now();
    ss->space_ok = look_at_disk(s->cfg, &available);
    if (ss->space_ok)
        return NULL;
    log_refusal(s, reply);
    msg_warn("not enough free space in mail queue: %lld bytes < 1.5*message size limit",
             (long long)available);
    return reply;
}

const char *smtpd_size_declared(struct smtpd_session *s, int64_t size)
{
    const char *reply = NULL;

    if (size == INT64_MAX)
        return "552 5.3.4 Message size exceeds file system imposed limit";
    if (s->cfg->message_size_limit > 0 && size > s->cfg->message_size_limit)
        reply = "552 5.3.4 Message size exceeds fixed limit";
    if (reply)
        log_refusal(s, reply);
    return reply;
}
