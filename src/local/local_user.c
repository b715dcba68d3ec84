#include "local/local.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/msg.h"
#include "util/offload.h"

#define NSS_BUFFER (64 * 1024)
#define GROUPS_MAX 65536

struct lookup {
    const char *name; /* NULL: by uid */
    uid_t uid;
    int error;
    bool found;
    char *buf;
    struct passwd pwd;
    gid_t *groups;
    int group_count;
};

/* Groups as initgroups() would set them. */
static void find_groups(struct lookup *lookup)
{
    int room = 64;

    do {
        lookup->group_count = room;
        lookup->groups = xrealloc(lookup->groups, (size_t)room * sizeof(gid_t));
        if (getgrouplist(lookup->pwd.pw_name, lookup->pwd.pw_gid, lookup->groups,
                         &lookup->group_count) >= 0)
            return;
        room *= 2;
    } while (room <= GROUPS_MAX);
    lookup->group_count = 0;
}

static void lookup_thread(void *arg)
{
    struct lookup *lookup = arg;
    struct passwd *result = NULL;

    lookup->buf = xmalloc(NSS_BUFFER);
    lookup->error =
        lookup->name
            ? getpwnam_r(lookup->name, &lookup->pwd, lookup->buf, NSS_BUFFER, &result)
            : getpwuid_r(lookup->uid, &lookup->pwd, lookup->buf, NSS_BUFFER, &result);
    lookup->found = result != NULL;
    if (lookup->found)
        find_groups(lookup);
}

/* Name services report an unknown name in all of these ways. */
static bool means_unknown(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF ||
           error == EPERM;
}

static const struct local_user *copy_user(const struct lookup *lookup,
                                          struct arena *arena)
{
    struct local_user *user = arena_alloc(arena, sizeof *user);
    size_t bytes = (size_t)lookup->group_count * sizeof(gid_t);
    gid_t *groups = arena_alloc(arena, bytes + 1);

    memcpy(groups, lookup->groups, bytes);
    user->name = arena_str(arena, lookup->pwd.pw_name);
    user->home = arena_str(arena, lookup->pwd.pw_dir);
    user->shell = arena_str(arena, lookup->pwd.pw_shell);
    user->ids = (struct user_ids){.uid = lookup->pwd.pw_uid,
                                  .gid = lookup->pwd.pw_gid,
                                  .groups = groups,
                                  .group_count = (size_t)lookup->group_count};
    return user;
}

static enum local_lookup find(struct lookup *lookup, struct arena *arena,
                              const struct local_user **user_out)
{
    enum local_lookup status = LOOKUP_FOUND;

    *user_out = NULL;
    offload(lookup_thread, lookup);
    if (lookup->found)
        *user_out = copy_user(lookup, arena);
    else
        status = means_unknown(lookup->error) ? LOOKUP_UNKNOWN : LOOKUP_RETRY;
    free(lookup->groups);
    free(lookup->buf);
    return status;
}

/* A name with a slash or the like is no account, whatever a name service makes of it.
 */
static bool is_plausible(const char *name)
{
    return *name && *name != '-' && !strpbrk(name, "/ \t\r\n:") && strlen(name) < 256;
}

enum local_lookup local_user_find(struct local_agent *agent, const char *name,
                                  struct arena *arena,
                                  const struct local_user **user_out)
{
    struct lookup lookup = {.name = name};
    enum local_lookup status;

    (void)agent;
    *user_out = NULL;
    if (!is_plausible(name))
        return LOOKUP_UNKNOWN;
    status = find(&lookup, arena, user_out);
    if (status == LOOKUP_RETRY)
        msg_warn("error looking up passwd info for %s: %s", name,
                 strerror(lookup.error));
    return status;
}

enum local_lookup local_user_by_uid(struct local_agent *agent, uid_t uid,
                                    struct arena *arena,
                                    const struct local_user **user_out)
{
    struct lookup lookup = {.uid = uid};
    enum local_lookup status = find(&lookup, arena, user_out);

    (void)agent;
    if (status == LOOKUP_RETRY)
        msg_warn("error looking up passwd info for uid %ld: %s", (long)uid,
                 strerror(lookup.error));
    return status;
}

static const struct local_user *default_user(struct local_agent *agent,
                                             struct arena *arena)
{
    const char *name = agent->cfg->default_privs;
    const struct local_user *user;

    if (local_user_find(agent, name, arena, &user) != LOOKUP_FOUND) {
        msg_warn("parameter default_privs: unknown user \"%s\"", name);
        return NULL;
    }
    if (user->ids.uid == 0) {
        msg_warn("parameter default_privs: user \"%s\" has the rights of root", name);
        return NULL;
    }
    return user;
}

/* Without root there is only one user: us. */
static const struct local_user *own_user(struct local_agent *agent, struct arena *arena)
{
    const struct local_user *user;

    return local_user_by_uid(agent, geteuid(), arena, &user) == LOOKUP_FOUND ? user
                                                                             : NULL;
}

const struct local_user *local_rights(struct local_agent *agent,
                                      const struct local_user *user,
                                      struct arena *arena)
{
    if (user && user->ids.uid != 0)
        return user;
    return user_switch_possible() ? default_user(agent, arena) : own_user(agent, arena);
}
