/* local(8): delivery to users, aliases, commands and files of this host. One request
 * runs in one fiber. A recipient is a tree of steps: an alias or .forward file lists
 * destinations, each of which may be a name to look up again. Every file and every
 * command is touched with the rights of one user, in a child or with user_do. */
#ifndef LOCAL_LOCAL_H
#define LOCAL_LOCAL_H

#include "global/addr.h"
#include "global/cleanup_client.h"
#include "global/deliver.h"
#include "global/macro.h"
#include "global/mailbox.h"
#include "global/rewrite_client.h"
#include "master/service.h"
#include "master/service_user.h"
#include "table/maps.h"
#include "util/hash.h"
#include "util/list.h"

/* Aliases within aliases beyond this are a loop. */
#define LOCAL_LEVEL_MAX 25

/* Where a destination stands: bits of allow_mail_to_commands and its relatives. */
enum local_origin {
    ORIGIN_ALIAS = 1,
    ORIGIN_FORWARD = 2,
    ORIGIN_INCLUDE = 4,
};
/* Bits of prepend_delivered_header. */
enum local_target { TARGET_COMMAND = 1, TARGET_FILE = 2, TARGET_FORWARD = 4 };

struct local_agent {
    struct service *svc;
    const struct config *cfg;
    struct deliver *deliver;
    struct rewrite_client *rewrite;
    struct cleanup_client *cleanup;
    struct maps *aliases;
    struct maps *mailbox_commands, *mailbox_transports, *fallback_transports;
    unsigned command_origins, file_origins; /* enum local_origin: allowed */
    unsigned propagate;        /* enum local_origin: extensions carry over */
    unsigned delivered_header; /* enum local_target */
    unsigned locks;            /* enum lock_style */
    size_t duplicate_limit;
};

/* An account. Lives in the arena of the request. */
struct local_user {
    const char *name, *home, *shell;
    struct user_ids ids;
};
enum local_lookup { LOOKUP_FOUND, LOOKUP_UNKNOWN, LOOKUP_RETRY };

/* One name on its way. Built on the stack and passed down; texts in the arena. */
struct local_step {
    struct recipient rcpt; /* as logged and reported */
    const char *local;     /* local part, lower case */
    const char *user;      /* without extension */
    const char *extension; /* "" none */
    const char *domain;
    const char *sender; /* envelope sender from here on: owner- aliases */
    const char *delivered_to;
    int level;
    unsigned origin; /* enum local_origin of the list it comes from, 0: request */
    const struct local_step *parent; /* step that listed it */
    const struct local_user *rights; /* for commands and files; NULL: default_privs */
    const struct local_user *forwarder; /* whose .forward file lists it */
    const char *carry; /* "+ext" for the addresses of the list, or "" */
    bool indirect;     /* mail to others becomes a new message */
};

/* A recipient of the request under way. */
struct local_delivery {
    struct local_agent *agent;
    struct deliver_request *req;
    struct arena *arena;
    size_t index;         /* of the recipient */
    struct hash seen;     /* destinations had */
    struct hash loops;    /* Delivered-To: headers of the message, lower case */
    struct list forwards; /* struct local_forward */
    bool expanded;        /* an alias or .forward file was expanded */
    bool unfinished;      /* some part is deferred */
    size_t parts;         /* reported, or handed to another agent */
};

/* local_report.c: the fate of a part. reason is copied nowhere: keep it alive. */
void local_report(struct local_delivery *ld, const struct local_step *step,
                  const char *status, const char *action, const char *reason);
void local_sent(struct local_delivery *ld, const struct local_step *step,
                const char *what);
void local_report_diag(struct local_delivery *ld, const struct local_step *step,
                       const char *status, const char *reason, const char *diag);
/* Note in the trace log that the recipient was expanded (once). */
void local_note_expanded(struct local_delivery *ld);
bool local_is_probe(const struct local_delivery *ld); /* address verification only */

/* local_deliver.c */
void local_deliver(struct deliver *deliver, struct deliver_request *req, void *arg);
/* True the first time that key is seen for this recipient. */
bool local_first_time(struct local_delivery *ld, const char *key);
struct mailbox_message local_message(struct local_delivery *ld,
                                     const struct local_step *step, bool delivered_to);

/* local_recipient.c */
/* Fill in local, user, extension and domain from address. */
void local_step_set(struct local_delivery *ld, struct local_step *step,
                    const char *address);
void local_recipient(struct local_delivery *ld, const struct local_step *step);
/* Deliver to an address of a list: here when it is ours, else as new mail. */
void local_address(struct local_delivery *ld, const struct local_step *from,
                   const char *address);

/* local_alias.c: true when the step was an alias and is dealt with. */
bool local_alias(struct local_delivery *ld, const struct local_step *step);

/* local_list.c: deliver to every destination of a list (alias, .forward, :include:).
 * from->origin says of which kind the list is. Returns their number. */
size_t local_list(struct local_delivery *ld, const struct local_step *from,
                  struct span text);

/* local_include.c */
void local_include(struct local_delivery *ld, const struct local_step *from,
                   const char *path);

/* local_forward_file.c: true when a .forward file decided. */
bool local_forward_file(struct local_delivery *ld, const struct local_step *step,
                        const struct local_user *user);

/* local_forward.c: new messages for addresses elsewhere */
void local_forward(struct local_delivery *ld, const struct local_step *step);
void local_forward_flush(struct local_delivery *ld, const struct local_step *top);

/* local_mailbox.c: everything behind aliases and .forward files */
void local_mailbox(struct local_delivery *ld, const struct local_step *step,
                   const struct local_user *user);
/* local_unknown.c */
void local_unknown(struct local_delivery *ld, const struct local_step *step);
/* Hand over to the transport that maps or the setting name. True: done. */
bool local_transport(struct local_delivery *ld, const struct local_step *step,
                     struct maps *maps, const char *setting);

/* local_file.c, local_command.c */
void local_file(struct local_delivery *ld, const struct local_step *step,
                const char *path);
void local_command(struct local_delivery *ld, const struct local_step *step,
                   const char *command);
/* With the rights of user (NULL: default_privs) and without asking whether the
 * origin may do so: mailbox_command. */
void local_command_as(struct local_delivery *ld, const struct local_step *step,
                      const struct local_user *user, const char *command);

/* local_write.c: append or maildir, with dot locks, as a user. */
struct local_box {
    const char *path; /* a trailing "/" makes it a maildir */
    bool spool;       /* in mail_spool_directory: root helps where users cannot */
    bool strict;
    int64_t size_limit;
};
enum mailbox_result local_write(struct local_delivery *ld,
                                const struct local_user *user,
                                const struct local_box *box,
                                const struct mailbox_message *message,
                                const char **why_out);
bool local_is_maildir(const char *path);

/* local_user.c: NSS, through the offload pool */
enum local_lookup local_user_find(struct local_agent *agent, const char *name,
                                  struct arena *arena,
                                  const struct local_user **user_out);
enum local_lookup local_user_by_uid(struct local_agent *agent, uid_t uid,
                                    struct arena *arena,
                                    const struct local_user **user_out);
/* Rights for commands and files: user, unless that is root; then default_privs. NULL:
 * default_privs is no good now (logged). */
const struct local_user *local_rights(struct local_agent *agent,
                                      const struct local_user *user,
                                      struct arena *arena);

/* local_macro.c: $user, $home ... for step and user (may be NULL); characters that
 * are not in filter become '_'. NULL: bad syntax (logged). */
const char *local_expand(struct local_delivery *ld, const struct local_step *step,
                         const struct local_user *user, const char *setting,
                         const char *text, const char *filter);
/* Copy of text with what is not in filter replaced. */
const char *local_filter(struct arena *arena, const char *text, const char *filter);

#endif
