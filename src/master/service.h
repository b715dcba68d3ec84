/* The frame of every service: what happens between exec() by the master daemon
 * and the service's own work. A service fills in struct service_ops and calls
 * service_main(); it never touches sockets of the master, uids, chroot, process
 * limits or signals itself.
 *
 * Life: parse arguments -> load configuration -> open the log -> pre_jail (as
 * started, mostly root) -> chroot and drop to mail_owner as master.cf says, close
 * every descriptor that is not needed -> post_jail -> serve until retired.
 *
 * Sessions are fibers. A process takes at most its quota of sessions (the share of
 * maxproc that master gave it), then leaves the listener to others. It exits when
 * master dies, when told to retire (reload, max_use, max_idle) and idle.
 *
 * Command line, given by master: -n service_name -t type -q session_quota
 * -s listener_count [-u] (drop privilege) [-c] (chroot) [-i] (is public) [-v]...
 * [-o name=value]...; descriptor 3 is the status channel (SOCK_SEQPACKET), 4 and
 * up are the listeners. Messages on it: service_status.h. */
#ifndef MASTER_SERVICE_H
#define MASTER_SERVICE_H

#include "global/config.h"
#include "util/frame.h"
#include "util/net.h"
#include "util/stream.h"

struct service;

struct service_ops {
    const char *program; /* "smtpd", for messages */

    /* Before privileges are dropped: open what needs root or lies outside the
     * chroot (tables, resolver, logs). May msg_fatal with a clear text. */
    void (*pre_jail)(struct service *svc);
    void (*post_jail)(struct service *svc); /* optional; loop runs, not in a fiber */

    /* Exactly one kind of work (qmgr: request and trigger together). */

    /* One connection, in a fiber of its own. Owns the stream: must free it.
     * peer is the client's address (len 0 for UNIX sockets). */
    void (*session)(struct service *svc, struct stream *stream,
                    const struct net_addr *peer);
    /* One frame of a multiplexed connection (ipc_mux clients), in a fiber of its
     * own: request is borrowed until return; append reply attributes. One-way
     * frames (id 0) get no reply. */
    void (*request)(struct service *svc, struct span request, struct strbuf *reply);
    /* Bytes of a trigger: connect, write, close; also each wake-up timer as 'W'. */
    void (*trigger)(struct service *svc, struct span bytes);
    /* One datagram of a unix-dgram service. Runs in the loop: must not wait. */
    void (*datagram)(struct service *svc, struct span data);

    /* Asked to end (reload, stop): no new sessions come. Optional: hurry idle
     * sessions up. The process exits when sessions and holds are gone. */
    void (*retire)(struct service *svc);
    void (*on_exit)(struct service *svc); /* just before a regular exit */

    bool privileged;   /* keeps root for later use (local, pipe, spawn, virtual) */
    bool solitary;     /* one process: takes the lock pid/<type>.<name>, ignores
                          max_use and max_idle */
    bool no_chroot;    /* refuses to run chrooted, with a clear message */
    size_t stack_size; /* of session fibers; 0: FIBER_STACK_DEFAULT */
};

struct service {
    const struct service_ops *ops;
    struct config *cfg;
    struct arena *arena;         /* process lifetime */
    const char *name;            /* service_name of master.cf */
    const char *type;            /* "inet", "unix", ... */
    void *data;                  /* the program's own state */
    bool retiring;               /* read-only for programs */
    bool stopping;               /* the whole system stops: finish quickly */
    size_t session_count;        /* read-only; connections being served */
    struct service_frame *frame; /* private to service.c */
    const char *const *args;     /* what follows the options in master.cf (pipe, spawn);
                                    NULL-terminated */
    bool is_public;              /* socket in public/, or inet */
};

/* Does not return but by exit(). */
int service_main(int argc, char **argv, const struct service_ops *ops);

/* Keep the process alive though no session runs (deliveries under way, timers). */
void service_hold(struct service *svc);
void service_release(struct service *svc);
/* Ask for an orderly end of this process now, e.g. because a table changed. */
void service_retire(struct service *svc);

/* Wait for input that starts the next request or command. True also when the peer
 * has closed: the next read tells. False: the time limit of the stream passed, or
 * the session must end now; then nothing has been read.
 * service_session_wait: for internal clients, which reconnect (cleanup, bounce,
 * delivery agents): ends when the process retires (reload) or stops.
 * service_command_wait: for sessions that a reload must not cut off (SMTP, QMQP):
 * ends only when the system stops; the caller may still tell the peer why. */
bool service_session_wait(struct service *svc, struct stream *stream);
bool service_command_wait(struct service *svc, struct stream *stream);

/* What a crash log names: "session" text of the current fiber, such as a client's
 * name[addr] or a queue id; copied, at most 127 bytes. */
void service_note_session(const char *text);

/* Run code with the ids of a user, for local and friends: see master/service_user.h */

#endif
