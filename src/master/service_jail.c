#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "master/service_lock.h"
#include "util/msg.h"

#define LOCK_RETRY_MS 50

/* Wait, but only as long as master wants this process. Its other orders are for
 * later: a wake-up is remembered, the rest does not matter to a new process. */
static void wait_a_little(struct service_frame *frame)
{
    struct pollfd pfd = {.fd = SERVICE_STATUS_FD, .events = POLLIN};
    struct service_order order;

    if (poll(&pfd, 1, LOCK_RETRY_MS) <= 0)
        return;
    if (recv(SERVICE_STATUS_FD, &order, sizeof order, MSG_DONTWAIT) !=
            (ssize_t)sizeof order ||
        order.command == SERVICE_CMD_RETIRE || order.command == SERVICE_CMD_STOP)
        exit(0);
    if (order.command == SERVICE_CMD_WAKEUP)
        frame->woken_early = true;
}

/* The lock stays with the process; a second process of the service exists for a
 * while after a reload, until the first has finished what it was doing. */
void jail_lock(struct service_frame *frame)
{
    struct service *svc = &frame->svc;
    const char *path = arena_printf(
        svc->arena, "%s/%s.%s", svc->cfg->process_id_directory, svc->type, svc->name);
    int64_t deadline = loop_now_exact() + svc->cfg->daemon_timeout * 1000;
    struct err err;
    int fd;

    for (;;) {
        enum lock_result result = service_lock_take(path, &fd, &err);

        if (result == LOCK_OK)
            return;
        if (result == LOCK_FAILED || loop_now_exact() > deadline)
            msg_fatal("%s", err.text);
        wait_a_little(frame);
    }
}

static void enter_chroot(const struct config *cfg)
{
    if (chroot(cfg->queue_directory) < 0 || chdir("/") < 0)
        msg_fatal("chroot(%s): %s", cfg->queue_directory, strerror(errno));
}

/* Privileged services keep root as their saved id, for service_user.c. */
static void drop_root(const struct service_frame *frame, const struct passwd *owner,
                      bool for_good)
{
    if ((for_good ? setgid(owner->pw_gid) : setegid(owner->pw_gid)) < 0 ||
        (for_good ? setuid(owner->pw_uid) : seteuid(owner->pw_uid)) < 0)
        msg_fatal("%s: cannot become user %s: %s", frame->svc.name, owner->pw_name,
                  strerror(errno));
}

void jail_enter(struct service_frame *frame)
{
    const struct service *svc = &frame->svc;
    const struct service_args *args = &frame->args;
    const struct passwd *owner;

    if (geteuid() != 0)
        return; /* rootless: master has warned, once */
    if (args->drop_privilege && svc->ops->privileged)
        msg_fatal("service %s needs \"n\" in the \"unpriv\" column of master.cf: it "
                  "works with the rights of other users",
                  svc->name);
    if (args->chroot && svc->ops->no_chroot)
        msg_fatal("service %s needs \"n\" in the \"chroot\" column of master.cf",
                  svc->name);
    owner = getpwnam(svc->cfg->mail_owner);
    if (!owner)
        msg_fatal("parameter mail_owner: unknown user \"%s\"", svc->cfg->mail_owner);
    if (owner->pw_uid == 0)
        msg_fatal("parameter mail_owner: \"%s\" must not have the rights of root",
                  svc->cfg->mail_owner);
    /* Groups are looked up in files that the chroot may not have. */
    if ((args->drop_privilege || svc->ops->privileged) &&
        initgroups(owner->pw_name, owner->pw_gid) < 0)
        msg_fatal("%s: set groups of %s: %s", svc->name, owner->pw_name,
                  strerror(errno));
    if (args->chroot)
        enter_chroot(svc->cfg);
    if (args->drop_privilege)
        drop_root(frame, owner, true);
    else if (svc->ops->privileged)
        drop_root(frame, owner, false);
}
