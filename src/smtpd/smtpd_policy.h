/* Restriction lists: what a client may do. A list is a row of named restrictions,
 * parsed once at start; each name is one row of a table and one function.
 *
 * Stages are the moments at which a list is evaluated. With smtpd_delay_reject the
 * lists of the client, HELO and sender stages run at each RCPT. */
#ifndef SMTPD_SMTPD_POLICY_H
#define SMTPD_SMTPD_POLICY_H

#include "smtpd/smtpd.h"

enum smtpd_stage {
    SMTPD_STAGE_CLIENT,
    SMTPD_STAGE_HELO,
    SMTPD_STAGE_SENDER,
    SMTPD_STAGE_RELAY,
    SMTPD_STAGE_RCPT,
    SMTPD_STAGE_DATA,
    SMTPD_STAGE_EOD,
    SMTPD_STAGE_ETRN,
    SMTPD_STAGE_COUNT,
};

enum smtpd_verdict {
    SMTPD_DUNNO,  /* nothing known against it: go on with the list */
    SMTPD_PERMIT, /* end of this list */
    SMTPD_REJECT, /* end of all lists; the reply is in the evaluation */
};

/* What a refusal is about: chooses the text and the detail of X.1.N codes. */
enum smtpd_class {
    SMTPD_CLASS_CLIENT,
    SMTPD_CLASS_HELO,
    SMTPD_CLASS_SENDER,
    SMTPD_CLASS_RCPT,
    SMTPD_CLASS_DATA,
    SMTPD_CLASS_EOD,
    SMTPD_CLASS_ETRN,
};

/* A refusal that waits for a later permit or reject. */
struct smtpd_deferral {
    bool active;
    enum smtpd_class class;
    int code;
    const char *dsn, *text;
};

/* One run through the lists of a stage. Lives on the stack. */
struct smtpd_eval {
    struct smtpd_session *s;
    enum smtpd_stage stage;  /* of the list under evaluation */
    const char *where;       /* command, for the log */
    const char *recipient;   /* internal form, or NULL */
    const char *etrn_name;   /* or NULL */
    struct resolve resolved; /* of the recipient; transport NULL: not yet known */
    bool warn_only;          /* the next restriction follows warn_if_reject */
    struct smtpd_deferral if_permit, if_reject;
    unsigned depth;          /* of nested lists */
    const char *reply;       /* after SMTPD_REJECT; in the session's scratch */
};

struct smtpd_check;
struct smtpd_restriction {
    const char *name;
    enum smtpd_verdict (*fn)(struct smtpd_eval *ev, const struct smtpd_check *check);
    enum smtpd_arg { SMTPD_ARG_NONE, SMTPD_ARG_TEXT } arg;
};

/* One restriction of a list. */
struct smtpd_check {
    struct smtpd_check *next;
    const struct smtpd_restriction *def;
    const char *name; /* as configured */
    const char *arg;  /* NULL: none */
};

/* smtpd_policy.c */
/* Parse all lists; fatal when no list keeps strangers from relaying. */
struct smtpd_policy *smtpd_policy_new(const struct config *cfg, struct arena *arena);
/* Evaluate what is due at a command. NULL: go ahead; otherwise the reply, logged and
 * borrowed from the session's scratch. */
const char *smtpd_policy_connect(struct smtpd_session *s);
const char *smtpd_policy_helo(struct smtpd_session *s);
const char *smtpd_policy_mail(struct smtpd_session *s);
const char *smtpd_policy_rcpt(struct smtpd_session *s, const char *recipient);
const char *smtpd_policy_data(struct smtpd_session *s);
const char *smtpd_policy_eod(struct smtpd_session *s);

/* smtpd_policy_result.c: how restrictions answer. */
/* Refuse: "<what>: <class> rejected: <text>" unless the text is complete. */
enum smtpd_verdict smtpd_refuse(struct smtpd_eval *ev, enum smtpd_class class, int code,
                                const char *dsn, const char *text);
enum smtpd_verdict smtpd_refusef(struct smtpd_eval *ev, enum smtpd_class class, int code,
                                 const char *dsn, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
/* "<what>: <Class> rejected: ", in scratch. */
const char *smtpd_refusal_prefix(struct smtpd_eval *ev, enum smtpd_class class,
                                 const char *what);
enum smtpd_verdict smtpd_server_error(struct smtpd_eval *ev);

/* smtpd_policy_table.c */
const struct smtpd_restriction *smtpd_restriction_find(struct span name);

/* smtpd_check_*.c: the restrictions. */
#define SMTPD_RESTRICTION(fn)                                                      \
    enum smtpd_verdict fn(struct smtpd_eval *ev, const struct smtpd_check *check)
SMTPD_RESTRICTION(smtpd_check_permit);
SMTPD_RESTRICTION(smtpd_check_reject);
SMTPD_RESTRICTION(smtpd_check_defer);
SMTPD_RESTRICTION(smtpd_check_mynetworks);
SMTPD_RESTRICTION(smtpd_check_sasl_authenticated);
SMTPD_RESTRICTION(smtpd_check_auth_destination);
SMTPD_RESTRICTION(smtpd_check_reject_unauth_destination);
SMTPD_RESTRICTION(smtpd_check_defer_unauth_destination);
SMTPD_RESTRICTION(smtpd_check_unknown); /* not a restriction's name */

#endif
