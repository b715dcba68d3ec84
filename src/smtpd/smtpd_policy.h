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

/* One run through the lists of a stage. Lives on the stack. */
struct smtpd_eval {
    struct smtpd_session *s;
    enum smtpd_stage stage;  /* of the list under evaluation */
    const char *where;       /* command, for the log */
    const char *recipient;   /* internal form, or NULL */
    const char *etrn_name;   /* or NULL */
    enum smtpd_class class;  /* of the list's subject */
    const char *what;        /* its name in replies: an address, name[addr], "DATA" */
    struct resolve resolved; /* of the recipient; transport NULL: not yet known */
    bool warn_only;          /* the next restriction follows warn_if_reject */
    /* Replies that wait for a later permit or reject, NULL: none. The first one spans
     * all lists of a command, the second one a list. */
    const char *if_permit, *if_reject;
    unsigned depth;    /* of nested lists */
    const char *reply; /* after SMTPD_REJECT; in the session's scratch */
};

struct smtpd_check;
struct smtpd_restriction {
    const char *name;
    enum smtpd_verdict (*fn)(struct smtpd_eval *ev, const struct smtpd_check *check);
    enum smtpd_arg { SMTPD_ARG_NONE, SMTPD_ARG_NUMBER, SMTPD_ARG_TABLE } arg;
    bool controls_relay; /* keeps strangers from relaying */
};

/* One restriction of a list. */
struct smtpd_check {
    struct smtpd_check *next;
    const struct smtpd_restriction *def;
    const char *name;                     /* as configured */
    const char *arg;                      /* NULL: none */
    struct maps *maps;                    /* SMTPD_ARG_TABLE */
    const struct smtpd_class_list *class; /* of a restriction class */
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
const char *smtpd_policy_vrfy(struct smtpd_session *s, const char *recipient);
const char *smtpd_policy_etrn(struct smtpd_session *s, const char *domain);
/* Restrictions named by an access table's result. */
enum smtpd_verdict smtpd_policy_nested(struct smtpd_eval *ev, const char *list,
                                       const char *table);
/* Name of a table used in restrictions that has changed on disk, or NULL. */
const char *smtpd_policy_changed(const struct smtpd_policy *policy);

/* smtpd_policy_result.c: how restrictions answer. */
/* Refuse with "<ev->what>: <class> rejected: text". */
enum smtpd_verdict smtpd_refuse(struct smtpd_eval *ev, int code, const char *dsn,
                                const char *text);
/* The same about another subject than the list's. */
enum smtpd_verdict smtpd_refuse_about(struct smtpd_eval *ev, enum smtpd_class class,
                                      const char *what, int code, const char *dsn,
                                      const char *text);
/* The text is complete. */
enum smtpd_verdict smtpd_refuse_plain(struct smtpd_eval *ev, int code, const char *dsn,
                                      const char *text);
/* Refuse if a later restriction permits or rejects; the first of its kind counts. */
enum smtpd_verdict smtpd_defer_if_permit(struct smtpd_eval *ev, int code,
                                         const char *dsn, const char *text);
enum smtpd_verdict smtpd_defer_if_reject(struct smtpd_eval *ev, int code,
                                         const char *dsn, const char *text);
enum smtpd_verdict smtpd_refuse_deferred(struct smtpd_eval *ev); /* ev->if_permit */
enum smtpd_verdict smtpd_server_error(struct smtpd_eval *ev);
const char *smtpd_class_name(enum smtpd_class class);
/* Log a decision that does not end the evaluation: "warn", "hold", ... */
void smtpd_note(struct smtpd_eval *ev, const char *verb, const char *text);

/* smtpd_policy_parse.c */
/* A restriction class: a list under a name of the operator's choice. */
struct smtpd_class_list {
    struct smtpd_class_list *next;
    const char *name;
    struct smtpd_check *list;
};
struct smtpd_policy {
    const struct config *cfg;
    struct smtpd_check *lists[SMTPD_STAGE_COUNT];
    struct smtpd_class_list *classes;
    struct smtpd_table *tables;     /* open ones, each once */
    struct match_list *log_permits; /* smtpd_log_access_permit_actions */
};
/* bare: what a table without a name before it means; NULL: that is a mistake. */
struct smtpd_check *smtpd_policy_parse(struct smtpd_policy *policy, struct arena *arena,
                                       const char *text,
                                       const struct smtpd_restriction *bare);

/* smtpd_policy_table.c */
/* The restriction that a table without a name before it stands for in a list. */
const struct smtpd_restriction *smtpd_restriction_bare(enum smtpd_stage stage);
const struct smtpd_restriction *smtpd_restriction_find(struct span name);

/* smtpd_check_*.c: the restrictions. */
#define SMTPD_RESTRICTION(fn)                                                          \
    enum smtpd_verdict fn(struct smtpd_eval *ev, const struct smtpd_check *check)
SMTPD_RESTRICTION(smtpd_check_permit);
SMTPD_RESTRICTION(smtpd_check_reject);
SMTPD_RESTRICTION(smtpd_check_defer);
SMTPD_RESTRICTION(smtpd_check_defer_if_permit);
SMTPD_RESTRICTION(smtpd_check_defer_if_reject);
SMTPD_RESTRICTION(smtpd_check_warn_if_reject);
SMTPD_RESTRICTION(smtpd_check_sleep);
SMTPD_RESTRICTION(smtpd_check_class);
SMTPD_RESTRICTION(smtpd_check_mynetworks);
SMTPD_RESTRICTION(smtpd_check_inet_interfaces);
SMTPD_RESTRICTION(smtpd_check_sasl_authenticated);
SMTPD_RESTRICTION(smtpd_check_auth_destination);
SMTPD_RESTRICTION(smtpd_check_reject_unauth_destination);
SMTPD_RESTRICTION(smtpd_check_defer_unauth_destination);
SMTPD_RESTRICTION(smtpd_check_unlisted_recipient);
SMTPD_RESTRICTION(smtpd_check_unlisted_sender);
SMTPD_RESTRICTION(smtpd_check_invalid_helo);
SMTPD_RESTRICTION(smtpd_check_non_fqdn_helo);
SMTPD_RESTRICTION(smtpd_check_non_fqdn_sender);
SMTPD_RESTRICTION(smtpd_check_non_fqdn_recipient);
SMTPD_RESTRICTION(smtpd_check_client_access);
SMTPD_RESTRICTION(smtpd_check_reverse_client_access);
SMTPD_RESTRICTION(smtpd_check_helo_access);
SMTPD_RESTRICTION(smtpd_check_sender_access);
SMTPD_RESTRICTION(smtpd_check_recipient_access);
SMTPD_RESTRICTION(smtpd_check_etrn_access);
/* Configuration mistakes are answered when they are reached. */
SMTPD_RESTRICTION(smtpd_check_unknown);    /* not a restriction's name */
SMTPD_RESTRICTION(smtpd_check_bad_arg);    /* argument missing or malformed */
SMTPD_RESTRICTION(smtpd_check_no_default); /* a bare table where none is meant */

/* smtpd_check_destination.c. False: try again later. */
bool smtpd_resolve(struct smtpd_eval *ev, const char *address, struct resolve *out);
bool smtpd_resolve_recipient(struct smtpd_eval *ev); /* into ev->resolved, once */
/* "<what>: Temporary lookup failure" */
enum smtpd_verdict smtpd_lookup_failure(struct smtpd_eval *ev, const char *what);

/* smtpd_access.c: carry out the result of an access table. value is the result of
 * looking up key in table. */
enum smtpd_verdict smtpd_access_action(struct smtpd_eval *ev, const char *table,
                                       struct span key, const char *value);

#endif
