/* Writing a message into a UNIX mailbox or a maildir, for local and virtual. Blocking
 * code without logging, meant to run with the rights of the mailbox's owner in a child
 * (user_run) or on a worker thread. Nothing is half delivered: a mailbox is cut back
 * to its old size, a maildir file is removed. Success means durable. */
#ifndef GLOBAL_MAILBOX_H
#define GLOBAL_MAILBOX_H

#include "global/mailbox_copy.h"

enum mailbox_result {
    MAILBOX_DELIVERED,
    MAILBOX_BUSY,    /* locked by others, or not owned as it must be: 4.2.0 */
    MAILBOX_RETRY,   /* no space, I/O error, queue file unreadable: 4.3.0 */
    MAILBOX_FULL,    /* size limit or quota: 5.2.2 */
    MAILBOX_REFUSED, /* no permission, not a mailbox: 5.2.0 */
};
/* Enhanced status code of a result. */
const char *mailbox_dsn_status(enum mailbox_result result);

struct mailbox_file {
    const char *path;
    uid_t owner;           /* whose it must be when strict */
    bool strict;           /* strict_mailbox_ownership */
    unsigned locks;        /* LOCK_FLOCK, LOCK_FCNTL; dot locks are the caller's */
    unsigned lock_tries;   /* deliver_lock_attempts */
    int64_t lock_wait_s;   /* between tries */
    int64_t size_limit;    /* of the file; 0: none */
    const char *biff_user; /* who is told of new mail through comsat; NULL: nobody */
};
/* Append; the file is made when missing (mode 0600). A device such as /dev/null is
 * just written to. The reason of a failure is appended to why. */
enum mailbox_result mailbox_append(const struct mailbox_file *file,
                                   const struct mailbox_message *message,
                                   struct strbuf *why);

struct maildir {
    const char *path;     /* missing directories are made, mode 0700 */
    const char *hostname; /* part of the unique names */
    int64_t size_limit;   /* of the message; 0: none */
};
enum mailbox_result maildir_deliver(const struct maildir *dir,
                                    const struct mailbox_message *message,
                                    struct strbuf *why);

#endif
