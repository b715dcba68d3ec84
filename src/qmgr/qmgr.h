/* The queue manager's world. One owner each:
 *
 *   qmgr -> messages (by id) -> jobs (message x transport) -> peers (job x
 *           destination) -> entries (what one delivery carries)
 *   qmgr -> transports -> destinations (transport x next hop)
 *
 * A message lives in the active queue while it has entries or recipients not yet
 * read. Scheduling (schedule.c): a transport's destinations that may deliver now
 * stand in a heap, ordered by the job at their head; jobs are ordered by arrival
 * and may overtake by earned delivery slots. All steps are O(log n). */
#ifndef QMGR_QMGR_H
#define QMGR_QMGR_H

#include "global/bounce_client.h"
#include "global/deliver.h"
#include "global/queue.h"
#include "global/rewrite_client.h"
#include "global/master_cf.h"
#include "master/service.h"
#include "util/hash.h"
#include "util/ipc.h"

/* The service that defers what has no working transport; a fixed name. */
#define RETRY_SERVICE "retry"

struct qmgr {
    struct service *svc;
    const struct config *cfg;
    struct queue queue;
    struct rewrite_client *rewrite;
    struct bounce_client *bounce;
    struct hash messages;   /* active, by queue id */
    struct hash transports; /* by name */
    struct hash peers;      /* by message and destination */
    struct hash deferred;   /* index entries by id */
    struct heap due;        /* the same, by time of the next attempt */
    struct loop_timer due_timer;
    bool due_running;
    int64_t rcpts_in_memory;
    int64_t in_flight;       /* deliveries under way, all transports */
    struct fiber_queue room; /* fibers that wait for a place in the active queue */
    bool scanning;
    unsigned scan_want; /* enum scan_bit not yet begun */
    struct loop_timer shutdown_timer;
    size_t holds;
    int64_t job_seq;
    const struct master_cf *services; /* for the process limits of the agents */
    bool draining;                    /* no new deliveries */
};

enum scan_bit {
    SCAN_ACTIVE = 1, /* start-up: leftovers of a predecessor */
    SCAN_INCOMING = 2,
    SCAN_DEFERRED = 4, /* rebuild the index */
    SCAN_ALL_DUE = 8,  /* ignore timestamps: flush */
};

struct transport {
    struct hash_node node;
    struct qmgr *qm;
    char *name;
    struct ipc_pool *pool;
    struct hash destinations;
    struct heap ready; /* destinations that may deliver, by head job */
    struct heap small; /* jobs that wait, by size: candidates for overtaking */
    int64_t in_flight, process_limit;
    int64_t concurrency_limit, recipient_limit, initial_concurrency;
    int64_t failed_cohort_limit, rate_delay, transport_rate_delay;
    int64_t slot_cost, slot_loan, slot_discount, minimum_slots;
    double positive_num, negative_num; /* feedback numerators */
    int positive_kind, negative_kind;  /* enum feedback_kind */
    bool unavailable;                  /* agent missing or broken: retry_timer runs */
    bool paused;                       /* transport_rate_delay */
    struct loop_timer retry_timer;
    struct loop_timer pause_timer;
    struct loop_task schedule_task;
};

enum feedback_kind { FEEDBACK_FIXED, FEEDBACK_CONCURRENCY, FEEDBACK_SQRT };

struct destination {
    struct hash_node node;
    struct heap_node ready_node; /* key: order of the head job */
    struct transport *transport;
    const char *nexthop; /* the key is the recipient when each delivery has one */
    struct heap peers;   /* that have entries to send, by job order */
    int64_t window, busy, todo; /* todo: entries waiting */
    double success, failure, failed_cohorts;
    bool dead;   /* suspended after failures; why says */
    bool paused; /* rate delay */
    char *why;
    char why_status[DSN_STATUS_LEN];
    int64_t next_warning;    /* not before: loop time */
    struct loop_timer timer; /* end of dead or paused */
};

struct message {
    struct hash_node node;
    struct qmgr *qm;
    struct arena *arena;
    char id[QUEUE_ID_MAX];
    struct envelope env; /* rcpts: the batch in memory */
    struct timeval active_arrival;
    struct list jobs;
    int64_t entries; /* waiting or under way */
    int64_t rcpts;   /* recipients in those entries */
    bool finishing;
    bool retry_soon;      /* an agent vanished: read the file again and go on */
    bool reading;         /* recipients are being read or resolved */
    bool incomplete;      /* some recipient was deferred */
    bool bounced, traced; /* logs that a notification must be made of */
    bool expire;          /* forced expiration was asked for */
    bool flushed;         /* asked for by an operator: ignore dead sites */
    int attempt_flags;    /* deliver_flag bits of every request */
};

struct job {
    struct list in_message;
    struct heap_node small_node; /* key: entries left */
    struct message *message;
    struct transport *transport;
    struct list peers;
    int64_t order;
    int64_t entries;      /* waiting */
    int64_t total;        /* waiting, under way and done */
    int64_t slots_earned; /* deliveries made since it came to the head */
    int64_t slots_spent;  /* lent to jobs that overtook it */
};

struct peer_key {
    const struct message *message;
    const struct destination *dest;
};

struct peer {
    struct hash_node node;
    struct peer_key key;
    struct list in_job;
    struct heap_node heap_node; /* in destination->peers, key: job order */
    struct job *job;
    struct destination *dest;
    struct list entries;
};

/* Recipients read in one go, with the memory of their entries. */
struct batch {
    struct message *message;
    struct arena *arena;
    int64_t refs;
};

struct entry {
    struct list in_peer;
    struct batch *batch;
    struct message *message;
    struct destination *dest;
    struct recipient *rcpts;
    size_t rcpt_len, rcpt_cap;
};

/* qmgr.c: keep the process alive while something is under way */
void qmgr_hold(struct qmgr *qm);
void qmgr_release(struct qmgr *qm);

/* scan.c: walking the queue directories */
void scan_request(struct qmgr *qm, unsigned want);

/* deferred.c: the time-ordered index of the deferred queue */
void deferred_init(struct qmgr *qm);
void deferred_add(struct qmgr *qm, const char *id, int64_t due_s);
void deferred_remove(struct qmgr *qm, struct span id);
void deferred_all_due(struct qmgr *qm);

/* message.c. message_admit runs in a fiber. */
bool message_has_room(const struct qmgr *qm);
/* env NULL: read the file. Moves it to active. False when it is not there. */
bool message_admit(struct qmgr *qm, const char *from_queue, const char *id,
                   const struct envelope *env);
/* A delivery of the message ended, or was given up before it began. Ends the message
 * after the last one: runs in a fiber. */
void message_entry_done(struct entry *entry);

/* Where one recipient goes. */
struct route {
    const char *transport, *nexthop, *address;
};

/* route.c: routes of all msg->env.rcpts, several questions at a time. Runs in a
 * fiber. */
void route_find_all(struct message *msg, struct arena *arena, struct route *routes);
void route_to_retry(struct route *route, const char *why);

/* recipients.c: resolve the batch in msg->env.rcpts and queue entries for it. Runs in
 * a fiber. */
void recipients_queue(struct message *msg, struct batch *batch);
/* Let the retry service defer all recipients of an entry; why: "4.3.0 text". */
void recipients_retry(struct entry *entry, const char *why);

/* transport.c */
struct transport *transport_get(struct qmgr *qm, const char *name);
struct destination *destination_get(struct transport *t, const char *key,
                                    const char *nexthop);
void destination_drop_if_idle(struct destination *dest);
void destination_revive(struct destination *dest); /* try a dead one again */
void destination_suspend(struct destination *dest, const struct dsn *dsn);
/* The agent cannot be reached or died: its mail goes to the retry service until
 * transport_retry_time has passed. */
void transport_unavailable(struct transport *t);
void transport_forget_dead(struct qmgr *qm); /* flush: try everything again */

/* feedback.c */
bool feedback_parse(const char *text, double *num_out, int *kind_out);
void feedback_success(struct destination *dest);
void feedback_failure(struct destination *dest, const struct dsn *dsn);

/* schedule.c */
void schedule_add(struct entry *entry, struct job *job);
struct job *schedule_job(struct message *msg, struct transport *t);
/* The last waiting entry of this message for this destination that came from batch
 * and can take one more recipient, or NULL. */
struct entry *schedule_open_entry(struct message *msg, struct destination *dest,
                                  const struct batch *batch);
void schedule_forget_job(struct job *job); /* the message ends */
/* The destination's state changed: put it into or out of the ready heap. */
void schedule_update(struct destination *dest);
/* Start what may start now; runs at the end of the tick. */
void schedule_soon(struct transport *t);
/* Take one waiting entry of a destination out; NULL when there is none. */
struct entry *schedule_take(struct destination *dest);

/* delivery.c */
void delivery_start(struct entry *entry);

#endif
