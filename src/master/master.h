/* The master daemon's own structures. One struct master a process.
 *
 * A configuration in force is a set of services. A reload builds a second set,
 * which claims the listening sockets it shares with the first; only when all of it
 * is sound does it take over processes and replace the first. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdio.h>

#include "global/config.h"
#include "global/master_cf.h"
#include "master/master_plan.h"
#include "master/service_status.h"
#include "util/hash.h"
#include "util/net.h"

/* Descriptors that are handed to services are moved up to here, so that a child
 * can put them into place (3, 4, ...) in any order without collisions. */
#define MASTER_FD_BASE    128
#define MASTER_LISTEN_MAX (MASTER_FD_BASE - SERVICE_LISTENER_FD - 1) /* per service */

struct master;

/* -- listening sockets; master_socket.c -- */

struct master_socket {
    struct list link; /* master->sockets */
    char *key;        /* "inet 127.0.0.1:25", "unix public/pickup" */
    char *path;       /* NULL for inet */
    dev_t path_dev;   /* identity of the path, to notice that it was replaced */
    ino_t path_ino;
    int fd;
    bool claimed;  /* by the set that is being built */
    bool in_force; /* used by the present set */
};

struct master_listener {
    struct master_service *service;
    struct master_socket *socket;
    struct evfd ev;
};

/* -- services -- */

struct master_service {
    struct master *master;
    struct list link; /* in the set */
    const struct master_entry *entry;
    char *display; /* "25", "127.0.0.1:25", "public/pickup" for messages */
    char *program; /* path of the program */
    struct master_plan plan;
    struct master_listener *listeners;
    size_t listener_count;
    struct list processes; /* struct master_process, retiring ones too */
    bool watching;
    bool used;         /* has had work from clients since start */
    bool exposed;      /* to the network: has stress */
    bool stress;       /* was full lately; processes run with -o stress=yes */
    bool limit_warned; /* in the present spell of being full */
    int64_t limit_warned_at;
    bool throttled;
    unsigned failures; /* within the window that starts at failures_since */
    int64_t failures_since, wakeup_due;
    struct loop_timer wakeup_timer, throttle_timer, stress_timer;
};

struct master_process {
    struct master *master;
    struct list link;
    struct hash_node node;          /* master->by_pid */
    struct master_service *service; /* NULL: its service is gone */
    char *program;
    pid_t pid;
    struct evfd status_ev;
    size_t slot, quota;
    uint32_t sessions, free_slots;
    bool ready;    /* has reported */
    bool retiring; /* told to, or by itself */
};

struct master_set {
    struct config *cfg;
    int main_cf_fd; /* what cfg was made of, for services; -1: none */
    struct master_cf *mcf;
    struct list services;
};

enum master_phase { MASTER_RUNNING, MASTER_DRAINING, MASTER_STOPPING, MASTER_ABORTING };

struct master_options {
    bool foreground, init_mode, keep_stdout, test, wait, debug;
    int64_t exit_after_s; /* 0: never */
};

struct master {
    struct master_options options;
    struct master_set *set;
    struct list sockets;
    struct list orphans; /* processes of services that are gone */
    struct hash by_pid;
    size_t cores;
    uint32_t generation;
    uid_t owner_uid;
    gid_t owner_gid;
    bool rootless;
    enum master_phase phase;
    int stop_step;
    bool log_drained; /* a log service was started for the last lines */
    struct loop_timer stop_timer, exit_timer;
};

/* master_socket.c */
/* Give service the sockets that its entry asks for: those that are open already,
 * or new ones. They are marked as claimed. */
bool sockets_claim(struct master *master, const struct config *cfg,
                   struct master_service *service, struct err *err);
/* End of a successful build: close what nobody claimed, clear the marks. */
void sockets_commit(struct master *master);
/* End of a failed build: close what was opened for it, clear the marks. */
void sockets_rollback(struct master *master);
/* All but those of spared, which may be NULL. */
void sockets_close_all(struct master *master, const struct master_service *spared);

/* master_set.c: build, replace and free sets */
struct master_set *set_build(struct master *master, struct err *err);
void set_commit(struct master *master, struct master_set *set);

/* mail_owner's ids; checked before anything is created. */
bool master_look_up_owner(struct master *master, const struct config *cfg,
                          struct err *err);

/* master_service.c */
void master_service_update(struct master_service *service); /* watch or not; limits */
void master_service_start_wakeups(struct master_service *service);
void master_service_unwatch(struct master_service *service);
void master_service_failed(struct master_service *service, bool was_ready);
void master_service_nudge(struct master_service *service); /* processes with room */
/* Start nothing for a while. */
void master_service_pause(struct master_service *service, int64_t pause_ms);
void master_service_keep_stress(struct master_service *service,
                                const struct master_service *old);
bool master_service_is_postlog(const struct master_service *service);

/* master_process.c */
struct master_process *process_start(struct master_service *service, size_t slot,
                                     size_t quota);
void process_order(struct master_process *process, uint32_t command, uint32_t value);
void process_retire(struct master_process *process);
void process_signal_all(struct master *master, int signo, bool postlog_too);
void process_order_all(struct master *master, uint32_t command, bool postlog_too);
void process_reap(struct master *master);
size_t process_count(const struct master *master); /* live */

/* master_spawn.c: fork and exec with descriptors in place. Returns the pid, or -1
 * and errno when no process could be made; *exec_errno_out is not 0 when the
 * program could not be executed (the child exits with status 1). */
struct spawn_request {
    const char *path;
    char *const *argv;
    char *const *env;
    int status_fd;
    const int *listeners;
    size_t listener_count;
    int extra_fd;  /* placed behind the listeners; -1: none */
    int stdout_fd; /* -1: /dev/null */
};
pid_t spawn_process(const struct spawn_request *request, int *exec_errno_out);

/* master_stop.c */
void master_stop(struct master *master, enum master_phase phase);
void stop_progress(struct master *master); /* a process has ended */

/* master_run.c: all of the program */
int master_main(int argc, char **argv);

/* master_reload.c */
void master_reload(struct master *master);

#endif
