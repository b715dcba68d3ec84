/* Children that work as a user: the parts shared by service_user*.c only. */
#ifndef MASTER_SERVICE_USER_CHILD_H
#define MASTER_SERVICE_USER_CHILD_H

#include "master/service_user.h"
#include "util/fiber.h"

/* In service_user.c */
bool user_is_self(const struct user_ids *ids); /* rootless, and that is who we are */
/* For good, in a forked child; chroot_dir may be NULL. False and errno. */
bool user_become(const struct user_ids *ids, const char *chroot_dir);
void user_kill_group(pid_t pid);

/* A forked child, its output pipe and, when fed, its input pipe. */
struct user_child {
    struct list link; /* of all children, until reaped */
    pid_t pid;
    struct fiber *fiber; /* waits; NULL: abandoned, to be freed when reaped */
    bool exited;
    bool news, parked; /* something happened; the fiber waits to hear of it */
    int wait_status;
    struct evfd out, in;   /* fd -1: closed */
    struct strbuf *output; /* may be NULL */
    size_t output_room;
    struct span (*more)(void *arg);
    void *more_arg;
    struct span pending; /* of the input, not yet written */
};

/* Fork: returns NULL with errno; in the child returns with child->pid 0, signals
 * and process group reset, ids and log as before. out_fd is our end of a pipe. */
struct user_child *user_child_fork(void);
/* In the child: drop what belongs to the service (listeners, status channel). */
void user_child_detach(void);
/* Serve pipes until the child has ended. Frees child. */
enum user_outcome user_child_supervise(struct user_child *child, int64_t time_limit_s,
                                       int *status_out);

#endif
