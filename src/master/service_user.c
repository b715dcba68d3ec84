#include "master/service_user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "master/service_user_child.h"
#include "util/msg.h"
#include "util/offload.h"

#define GROUPS_MAX 65536
#define NSS_BUFFER 65536

/* -- look-up -- */

struct lookup {
    const char *login;
    struct user_ids ids;
    int error; /* 0 and !found: no such user */
    bool found;
};

static void lookup_groups(struct lookup *lookup)
{
    int count = 64;
    gid_t *groups = xcalloc((size_t)count, sizeof *groups);

    while (getgrouplist(lookup->login, lookup->ids.gid, groups, &count) < 0) {
        if (count > GROUPS_MAX)
            break;
        groups = xrealloc(groups, (size_t)count * sizeof *groups);
    }
    lookup->ids.groups = groups;
    lookup->ids.group_count = count > GROUPS_MAX ? 0 : (size_t)count;
}

static void lookup_thread(void *arg)
{
    struct lookup *lookup = arg;
    char *buf = xmalloc(NSS_BUFFER);
    struct passwd pwd, *result = NULL;

    lookup->error = getpwnam_r(lookup->login, &pwd, buf, NSS_BUFFER, &result);
    if (result) {
        lookup->found = true;
        lookup->ids.uid = pwd.pw_uid;
        lookup->ids.gid = pwd.pw_gid;
        lookup_groups(lookup);
    }
    free(buf);
}

/* Name services report an unknown user in all of these ways. */
static bool means_unknown(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF ||
           error == EPERM;
}

bool user_ids_lookup(const char *login, struct user_ids *ids_out, bool *retry_out,
                     struct err *err)
{
    struct lookup lookup = {.login = login};

    offload(lookup_thread, &lookup);
    *ids_out = lookup.ids;
    if (retry_out)
        *retry_out = !lookup.found && !means_unknown(lookup.error);
    if (lookup.found)
        return true;
    if (means_unknown(lookup.error))
        return err_set(err, "unknown user \"%s\"", login);
    return err_set(err, "look up user \"%s\": %s", login, strerror(lookup.error));
}

void user_ids_free(struct user_ids *ids)
{
    free((void *)ids->groups);
    ids->groups = NULL;
    ids->group_count = 0;
}

/* -- ids of this thread. The raw system calls change the calling thread only,
 * whereas the library's functions interrupt all worker threads to change them,
 * too. Other systems have one set of ids a process. -- */

#if defined(__linux__)
#ifdef SYS_setresuid32
#define RAW_SETRESUID SYS_setresuid32
#define RAW_SETRESGID SYS_setresgid32
#define RAW_SETGROUPS SYS_setgroups32
#else
#define RAW_SETRESUID SYS_setresuid
#define RAW_SETRESGID SYS_setresgid
#define RAW_SETGROUPS SYS_setgroups
#endif
static bool thread_euid(uid_t uid)
{
    return syscall(RAW_SETRESUID, (uid_t)-1, uid, (uid_t)-1) == 0;
}
static bool thread_egid(gid_t gid)
{
    return syscall(RAW_SETRESGID, (gid_t)-1, gid, (gid_t)-1) == 0;
}
static bool thread_groups(size_t count, const gid_t *groups)
{
    return syscall(RAW_SETGROUPS, count, groups) == 0;
}
#else
static bool thread_euid(uid_t uid)
{
    return seteuid(uid) == 0;
}
static bool thread_egid(gid_t gid)
{
    return setegid(gid) == 0;
}
static bool thread_groups(size_t count, const gid_t *groups)
{
    return setgroups((int)count, groups) == 0;
}
#endif

bool user_switch_possible(void)
{
    uid_t real, effective, saved;

    if (getresuid(&real, &effective, &saved) < 0)
        return false;
    return effective == 0 || saved == 0 || real == 0;
}

bool user_is_self(const struct user_ids *ids)
{
    return !user_switch_possible() && ids->uid == geteuid();
}

static bool take_ids(const struct user_ids *ids)
{
    bool groups_set = ids->group_count > 0
                          ? thread_groups(ids->group_count, ids->groups)
                          : thread_groups(1, &ids->gid);

    return groups_set && thread_egid(ids->gid) && thread_euid(ids->uid);
}

bool user_do(const struct user_ids *ids, void (*fn)(void *arg), void *arg)
{
    uid_t old_uid = geteuid();
    gid_t old_gid = getegid(), *old_groups;
    int old_count;
    bool done = false;

    if (user_is_self(ids)) {
        fn(arg);
        return true;
    }
    old_count = getgroups(0, NULL);
    old_groups = xcalloc((size_t)(old_count > 0 ? old_count : 0), sizeof *old_groups);
    old_count = getgroups(old_count, old_groups);
    if (!user_switch_possible() || old_count < 0 || !thread_euid(0)) {
        msg_warn("cannot take the rights of uid %ld: %s", (long)ids->uid,
                 strerror(errno));
        free(old_groups);
        return false;
    }
    if (take_ids(ids)) {
        fn(arg);
        done = true;
    } else {
        msg_warn("cannot take the rights of uid %ld: %s", (long)ids->uid,
                 strerror(errno));
    }
    if (!thread_euid(0) || !thread_egid(old_gid) ||
        !thread_groups((size_t)old_count, old_groups) || !thread_euid(old_uid))
        msg_fatal("cannot give back the rights of uid %ld", (long)ids->uid);
    free(old_groups);
    return done;
}

/* A process group of another user can be killed by root only. */
void user_kill_group(pid_t pid)
{
    uid_t old_uid = geteuid();
    bool raised = old_uid != 0 && user_switch_possible() && thread_euid(0);

    if (kill(-pid, SIGKILL) < 0 && errno == ESRCH)
        kill(pid, SIGKILL); /* it has not yet made its group */
    if (raised && !thread_euid(old_uid))
        msg_fatal("cannot give up the rights of root");
}

bool user_become(const struct user_ids *ids, const char *chroot_dir)
{
    if (user_is_self(ids))
        return !chroot_dir;
    if (geteuid() != 0 && seteuid(0) < 0)
        return false;
    if (chroot_dir && (chroot(chroot_dir) < 0 || chdir("/") < 0))
        return false;
    if ((ids->group_count > 0 ? setgroups(ids->group_count, ids->groups)
                              : setgroups(1, &ids->gid)) < 0 ||
        setresgid(ids->gid, ids->gid, ids->gid) < 0 ||
        setresuid(ids->uid, ids->uid, ids->uid) < 0)
        return false;
    /* Never go on when root could be had back. */
    return ids->uid == 0 || seteuid(0) < 0;
}
