/* Work with the rights of another user, for local, pipe, spawn and virtual: code
 * or a command runs in a child process whose real, effective and saved ids are
 * those of the user, in a process group of its own. The service itself goes on
 * with the ids of mail_owner; root is regained only inside the forked child.
 *
 * Every function here is for fibers: the caller waits, other sessions go on.
 * In rootless mode (the service was not started by root) children keep the ids
 * of the process; asking for another uid is then refused. */
#ifndef MASTER_SERVICE_USER_H
#define MASTER_SERVICE_USER_H

#include "util/err.h"
#include "util/strbuf.h"

struct user_ids {
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* supplementary groups; NULL with group_count 0: none but
                            gid */
    size_t group_count;
};

/* Ids with the groups of a login name (initgroups order). NSS blocks: runs through
 * the offload pool. *ids_out's groups are allocated; free with user_ids_free. False
 * with err for an unknown name and for a failed look-up (*retry_out tells which;
 * may be NULL). */
bool user_ids_lookup(const char *login, struct user_ids *ids_out, bool *retry_out,
                     struct err *err);
void user_ids_free(struct user_ids *ids);

enum user_outcome {
    USER_EXITED,    /* status_out: exit status 0..255 */
    USER_SIGNALLED, /* status_out: the signal number */
    USER_TIMEOUT,   /* time limit passed; the process group was killed */
    USER_CANCELLED, /* the fiber was cancelled; the process group was killed */
    USER_FAILED,    /* could not start; output holds the reason */
};

/* Run fn(arg, result) in a forked child as ids. fn is ordinary blocking code (no
 * fibers, no loop, no msg_fatal needed); it sees a copy of this process's memory.
 * Its return value is the exit status; the bytes it leaves in *result, at most
 * max_result of them, are appended to result_out. Log lines the child writes with
 * msg are flushed when fn returns. time_limit_s <= 0: none. */
enum user_outcome user_run(const struct user_ids *ids,
                           int (*fn)(void *arg, struct strbuf *result), void *arg,
                           int64_t time_limit_s, size_t max_result,
                           struct strbuf *result_out, int *status_out);

/* Run a program as ids. */
struct user_command {
    const char *const *argv;   /* NULL-terminated; argv[0] is looked up in the
                                  environment's PATH when it has no '/' */
    const char *shell_command; /* instead of argv: text for the shell, or run
                                  directly when it has no shell meta characters */
    const char *const *env;    /* complete environment, NULL-terminated */
    const char *cwd;           /* NULL: leave */
    const char *chroot;        /* NULL: none */
    const char *shell;         /* local_command_shell: runs shell_command; may hold
                                  arguments; NULL: /bin/sh -c as needed */
    int stdin_fd;              /* becomes the child's descriptor 0; -1: /dev/null */
    int stdout_fd;             /* becomes 1; -1: captured together with 2 */
    int64_t time_limit_s;      /* <= 0: none */
    size_t max_output;         /* captured at most; more is read and dropped */
};

/* Standard output and error are captured into output_out (may be NULL). The
 * outcome USER_EXITED with status 127 means "not found", 126 "not executable",
 * as shells report; then the reason is in the output. */
enum user_outcome user_command_run(const struct user_ids *ids,
                                   const struct user_command *command,
                                   struct strbuf *output_out, int *status_out);

/* The same, with standard input fed from a callback instead of a descriptor: more
 * is called in a fiber and returns the next borrowed piece, empty at the end. A
 * child that closes its input early is no error. command->stdin_fd is ignored. */
enum user_outcome user_command_feed(const struct user_ids *ids,
                                    const struct user_command *command,
                                    struct span (*more)(void *arg), void *arg,
                                    struct strbuf *output_out, int *status_out);

/* For scripts in logs: "Command died with status 75: \"...\"" style details are the
 * caller's. True when this process may become another user. */
bool user_switch_possible(void);

/* Run fn(arg) at once in this process with the effective ids of ids (file opens on
 * behalf of a user); fn must not wait. Restores mail_owner. False: could not
 * switch (logged); fn was not run. */
bool user_do(const struct user_ids *ids, void (*fn)(void *arg), void *arg);

#endif
