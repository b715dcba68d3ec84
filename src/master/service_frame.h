/* The inside of the service frame, shared by service*.c only. One frame a process;
 * it owns everything below. */
#ifndef MASTER_SERVICE_FRAME_H
#define MASTER_SERVICE_FRAME_H

#include "master/service.h"
#include "master/service_status.h"
#include "util/hash.h"

#define SERVICE_NOTE_MAX 128

/* The command line as master gives it. */
struct service_args {
    const char *name, *type;
    size_t quota, listener_count;
    bool drop_privilege, chroot, is_public, debug;
    struct config_override *overrides;
    size_t override_count;
    const char *const *rest;
};
bool service_args_parse(int argc, char **argv, struct arena *arena,
                        struct service_args *args_out, struct err *err);

struct service_listener {
    struct service_frame *frame;
    struct evfd ev;
    bool watched;
};

/* Whether a session may be cancelled at once: between requests when the process
 * retires, between commands when the system stops. */
enum session_wait { SESSION_BUSY, SESSION_WAIT_REQUEST, SESSION_WAIT_COMMAND };

/* A fiber that works for a client: a connection, or one multiplexed request. */
struct service_session {
    struct service_frame *frame;
    struct hash_node node; /* in frame->notes while the fiber runs */
    struct list link;      /* in frame->sessions */
    struct fiber *fiber;
    enum session_wait waiting;
    int fd;
    struct net_addr peer;
    char note[SERVICE_NOTE_MAX];
};

struct service_frame {
    struct service svc;
    struct service_args args;
    struct strbuf main_cf; /* until it is parsed */
    uint32_t generation;
    size_t quota; /* sessions at a time; SIZE_MAX: no limit */
    size_t stack_size;
    size_t holds;
    uint64_t served, use_limit; /* use_limit 0: none */
    struct service_listener *listeners;
    size_t listener_count;
    bool accepting; /* listeners are watched */

    struct evfd status_ev;
    struct service_status sent; /* last status that master has */
    bool ended;                 /* master is gone */
    bool woken_early;           /* before the process was ready */
    struct loop_task status_task;
    struct loop_timer status_retry, idle_timer, stop_timer, accept_timer, watchdog;

    struct list sessions; /* struct service_session */
    struct list conns;    /* struct mux_conn of service_request.c */
    struct hash notes;    /* fiber -> struct service_session */
    size_t requests;      /* multiplexed requests under way */
    bool exiting;
};

/* service_accept.c */
void accept_start(struct service_frame *frame);  /* watch the listeners */
void accept_update(struct service_frame *frame); /* watch or not, as slots allow */
void accept_close(struct service_frame *frame);  /* for good */
void accept_look(struct service_frame *frame);   /* try now */

/* service_session.c */
void session_spawn(struct service_frame *frame, int fd, const struct net_addr *peer);
void session_enter(struct service_session *session); /* at the start of its fiber */
void session_leave(struct service_session *session);
void session_cancel_waiting(struct service_frame *frame);
/* Call the trigger operation with a copy of bytes, in a fiber; nothing happens in
 * services without one. */
void session_trigger(struct service_frame *frame, struct span bytes);

/* service_request.c: serve a connection of frames until its end. Owns stream. */
void request_serve(struct service_frame *frame, struct stream *stream);
void request_retire(struct service_frame *frame); /* close idle connections */

/* service_life.c */
void life_start(struct service_frame *frame);
void life_changed(struct service_frame *frame); /* counts changed: report, maybe exit */
void life_retire(struct service_frame *frame);
void life_stop(struct service_frame *frame);

/* service_jail.c; fatal on failure */
void jail_lock(struct service_frame *frame);
void jail_enter(struct service_frame *frame);

/* service_crash.c */
void crash_init(struct service_frame *frame);
/* Log "what (session: ...)" at once; safe in a signal handler. */
void crash_say(const char *what);

/* service.c: for signal handlers, which get no argument. */
struct service_frame *frame_of_process(void);

#endif
