/* What happens to mail for an account behind aliases and .forward files. */
#include "local/local.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/deliver_pass.h"
#include "util/msg.h"

/* -- settings by recipient -- */

/* The maps' value for the recipient: whole address, then without extension, local
 * parts with and without. *value_out changes only when one is found. */
static enum table_status find_setting(struct local_delivery *ld,
                                      const struct local_step *step, struct maps *maps,
                                      const char **value_out)
{
    const char *keys[] = {arena_printf(ld->arena, "%s@%s", step->local, step->domain),
                          arena_printf(ld->arena, "%s@%s", step->user, step->domain),
                          step->local, step->user,
                          arena_printf(ld->arena, "@%s", step->domain)};

    if (maps_empty(maps))
        return TABLE_NOT_FOUND;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        enum table_status status;
        const char *value;

        if (i % 2 == 1 && !*step->extension)
            continue; /* the same as the key before */
        status = maps_find(maps, span_str(keys[i]), 0, ld->arena, &value);
        if (status == TABLE_FOUND)
            *value_out = value;
        if (status != TABLE_NOT_FOUND)
            return status;
    }
    return TABLE_NOT_FOUND;
}

static void table_trouble(struct local_delivery *ld, const struct local_step *step)
{
    local_report(ld, step, "4.3.0", "", "table lookup failure");
}

static void pass(struct local_delivery *ld, const struct local_step *step,
                 const char *destination)
{
    struct recipient rcpt = step->rcpt;

    if (step->parent)
        rcpt.offset = 0; /* only a part of the request's recipient */
    switch (
        deliver_pass(ld->agent->deliver, ld->req, &rcpt, step->sender, destination)) {
    case DELIVER_PASS_FINAL:
        ld->parts++;
        return;
    case DELIVER_PASS_INCOMPLETE:
        ld->parts++;
        ld->unfinished = true;
        return;
    case DELIVER_PASS_FAILED:
        local_report(ld, step, "4.3.0", "", "mail transport unavailable");
        return;
    }
}

bool local_transport(struct local_delivery *ld, const struct local_step *step,
                     struct maps *maps, const char *setting)
{
    const char *destination = setting;

    switch (find_setting(ld, step, maps, &destination)) {
    case TABLE_FOUND:
    case TABLE_NOT_FOUND:
        break;
    default:
        table_trouble(ld, step);
        return true;
    }
    if (!*destination)
        return false;
    pass(ld, step, destination);
    return true;
}

static bool by_command(struct local_delivery *ld, const struct local_step *step,
                       const struct local_user *user)
{
    const char *command = ld->agent->cfg->mailbox_command;

    switch (find_setting(ld, step, ld->agent->mailbox_commands, &command)) {
    case TABLE_FOUND:
    case TABLE_NOT_FOUND:
        break;
    default:
        table_trouble(ld, step);
        return true;
    }
    if (!*command)
        return false;
    local_command_as(ld, step, user, command);
    return true;
}

/* -- the home directory -- */

struct home_job {
    const char *home;
    int error;
};

static void look_home(void *arg)
{
    struct home_job *job = arg;
    struct stat st;

    job->error = stat(job->home, &st) < 0 ? errno : 0;
}

static bool home_is_missing(struct local_delivery *ld, const struct local_step *step,
                            const struct local_user *user)
{
    struct home_job job = {.home = user->home, .error = EACCES};

    if (!ld->agent->cfg->require_home_directory)
        return false;
    user_do(&user->ids, look_home, &job);
    if (!job.error)
        return false;
    local_report(ld, step, "4.3.0", "",
                 arena_printf(ld->arena, "cannot access home directory %s: %s",
                              job.home, strerror(job.error)));
    return true;
}

/* -- the mailbox -- */

static void report_trouble(struct local_delivery *ld, const struct local_step *step,
                           const struct local_user *user, const struct local_box *box,
                           enum mailbox_result result, const char *why)
{
    const char *status = mailbox_dsn_status(result), *reason;

    if (local_is_maildir(box->path)) {
        reason = arena_printf(ld->arena, "maildir delivery failed: %s", why);
        if (result == MAILBOX_REFUSED) {
            msg_warn("maildir access problem for UID/GID=%lu/%lu: %s",
                     (unsigned long)user->ids.uid, (unsigned long)user->ids.gid, why);
            msg_warn("perhaps you need to create the maildirs in advance");
        }
    } else {
        reason = arena_printf(ld->arena, "cannot update mailbox %s for user %s. %s",
                              box->path, user->name, why);
        if (strstr(why, "is not owned by recipient"))
            msg_warn("specify \"strict_mailbox_ownership = no\" to ignore mailbox "
                     "ownership mismatch");
    }
    local_report(ld, step, status, "", reason);
}

static const char *box_path(struct local_delivery *ld, const struct local_user *user,
                            bool *spool_out)
{
    const struct config *cfg = ld->agent->cfg;
    const char *dir = cfg->mail_spool_directory;
    size_t len = strlen(dir);
    bool maildir = local_is_maildir(dir);

    *spool_out = !*cfg->home_mailbox;
    if (!*spool_out)
        return arena_printf(ld->arena, "%s/%s", user->home, cfg->home_mailbox);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    return arena_printf(ld->arena, "%.*s/%s%s", (int)len, dir, user->name,
                        maildir ? "/" : "");
}

static void into_box(struct local_delivery *ld, const struct local_step *step,
                     const struct local_user *user)
{
    struct local_box box = {.strict = true,
                            .size_limit = ld->agent->cfg->mailbox_size_limit};
    struct mailbox_message message =
        local_message(ld, step, ld->agent->delivered_header & TARGET_FILE);
    enum mailbox_result result;
    const char *why;

    box.path = box_path(ld, user, &box.spool);
    result = local_is_probe(ld) ? MAILBOX_DELIVERED
                                : local_write(ld, user, &box, &message, &why);
    if (result == MAILBOX_DELIVERED)
        local_sent(ld, step, local_is_maildir(box.path) ? "maildir" : "mailbox");
    else
        report_trouble(ld, step, user, &box, result, why);
}

void local_mailbox(struct local_delivery *ld, const struct local_step *step,
                   const struct local_user *user)
{
    struct local_agent *agent = ld->agent;

    if (local_transport(ld, step, agent->mailbox_transports,
                        agent->cfg->mailbox_transport))
        return;
    if (home_is_missing(ld, step, user) || by_command(ld, step, user))
        return;
    into_box(ld, step, user);
}
