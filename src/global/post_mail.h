/* Mail that the system itself writes: notifications, probes. Handed to cleanup with
 * the envelope, a Received: and a Date: header; lines are added one by one. */
#ifndef GLOBAL_POST_MAIL_H
#define GLOBAL_POST_MAIL_H

#include "global/cleanup_client.h"

struct post_mail;

struct post_mail_envelope {
    const char *sender, *recipient;
    const char *encoding; /* "8bit", "7bit" or "" */
    int sendopts;         /* enum sendopt */
    int cleanup_flags;    /* CLEANUP_INTERNAL ... */
};

/* NULL with why_out when cleanup is away. Runs in a fiber. */
struct post_mail *post_mail_open(struct cleanup_client *cc, const struct config *cfg,
                                 const struct post_mail_envelope *env,
                                 const char **why_out);
const char *post_mail_id(const struct post_mail *pm);
void post_mail_line(struct post_mail *pm, struct span line);
void post_mail_linef(struct post_mail *pm, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Ends it. Result as of cleanup_commit. */
struct cleanup_result post_mail_commit(struct post_mail *pm, struct arena *arena);
void post_mail_abort(struct post_mail *pm);

#endif
