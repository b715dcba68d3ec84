/* Delivery status: enhanced code, action, diagnostic, remote host (RFC 3463/3464). */
#ifndef GLOBAL_DSN_H
#define GLOBAL_DSN_H

#include "util/arena.h"
#include "util/frame.h"

#define DSN_STATUS_LEN 13 /* "5.123.123" and NUL, with room */

struct dsn {
    char status[DSN_STATUS_LEN]; /* "4.4.1" */
    const char *action;    /* "failed" "delayed" "delivered" "relayed" "expanded" "" */
    const char *reason;    /* free text, as logged in status=x (reason) */
    const char *diag_type; /* "smtp", "x-unix", or "" */
    const char *diag_text;
    const char *mta_type; /* "dns" or "" */
    const char *mta_name;
};

/* "X.Y.Z" with bounds; false otherwise. */
bool dsn_status_parse(struct span text, char out[DSN_STATUS_LEN]);
/* Split "5.1.1 text" -> status, text; keeps status_default when there is none or
 * when its class does not fit reply_class ('2','4','5'; 0: any). */
struct span dsn_split(struct span text, const char *status_default, char reply_class,
                      char status_out[DSN_STATUS_LEN]);
/* The same for a text whose class is settled by status_default: a status of another
 * class is taken off, and a warning by "who" tells. */
struct span dsn_split_settled(struct span text, const char *status_default,
                              const char *who, char status_out[DSN_STATUS_LEN]);
void dsn_to_frame(const struct dsn *dsn, struct strbuf *sb);
bool dsn_from_frame(struct span body, struct arena *arena, struct dsn *dsn_out,
                    const char **missing_out);
/* sysexits status -> dsn and its text (pipe and local). */
const char *dsn_sysexits(int exit_status, char status_out[DSN_STATUS_LEN]);

#endif
