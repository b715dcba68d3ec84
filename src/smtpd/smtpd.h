/* The SMTP server: one fiber a client session, one file a command verb. What all
 * files of the program share: the process's state, a session, its transaction.
 *
 * Memory: s->arena lives as long as the session, s->trans.arena from MAIL to the end
 * of the transaction, s->scratch for one command. The last two are borrowed from
 * the process while needed, so that an idle session holds one small arena only. */
#ifndef SMTPD_SMTPD_H
#define SMTPD_SMTPD_H

#include <sys/time.h>

#include "dns/client_name.h"
#include "global/event.h"
#include "global/rewrite_client.h"
#include "master/service.h"
#include "smtpd/smtpd_sink.h"

#define SMTPD_VERBS_MAX 24 /* at least the rows of the verb table */

enum smtpd_bare_lf {
    SMTPD_BARE_LF_ALLOW,
    SMTPD_BARE_LF_NORMALIZE,
    SMTPD_BARE_LF_NOTE,
    SMTPD_BARE_LF_REJECT,
};

struct smtpd_policy;
struct smtpd_lists;
struct smtpd_chunks;
struct anvil_client;

struct smtpd_service {
    struct service *svc; /* NULL: stand-alone, see smtpd_standalone.h */
    const struct config *cfg;
    struct cleanup_client *cleanup;
    struct rewrite_client *rewrite;
    struct anvil_client *anvil;
    struct ipc_mux *flush;
    struct smtpd_policy *policy; /* smtpd_policy.h */
    struct smtpd_lists *lists;   /* smtpd_lists.h */
    int cleanup_flags;           /* enum cleanup_flag of every message */
    bool any_recipient;          /* no_unknown_recipient_checks */
    unsigned ehlo_hidden;        /* smtpd_discard_ehlo_keywords */
    enum smtpd_bare_lf bare_lf;
    int64_t space_checked; /* loop_now() of the last look at the disk */
    bool space_ok;
    struct arena *spare[32]; /* arenas not in use */
    size_t spare_count;
};

/* Who is connected; texts live in the session's arena. */
struct smtpd_client {
    struct net_addr addr, server_addr; /* len 0: not a network client */
    const char *name, *reverse_name;   /* "unknown" when not verified / not found */
    enum client_name_status name_status, reverse_name_status;
    const char *address, *port;
    const char *rfc_address; /* address literal without brackets: "IPv6:::1" */
    const char *namaddr;     /* "name[address]", with ":port" when so configured */
    const char *server_address, *server_port;
    bool is_trusted;        /* in mynetworks */
    bool rewrite_local;     /* local_header_rewrite_clients */
    bool may_send_bare_lf;  /* smtpd_forbid_bare_newline does not apply */
    bool is_counted;        /* the rate and concurrency limits apply */
    const char *count_name; /* the address or network under which it is counted */
};

/* A header or recipient that an access table adds. */
struct smtpd_text {
    struct smtpd_text *next;
    const char *text;
};

/* From MAIL to the end of the message, RSET or a new greeting. */
struct smtpd_transaction {
    struct arena *arena;
    const char *sender; /* internal form; NULL: no transaction */
    struct timeval arrival;
    struct smtpd_sink *msg; /* open from the first valid recipient on */
    const char *queue_id;   /* NULL before */
    const char *first_rcpt;
    int64_t rcpt_count;     /* accepted */
    int64_t rcpt_overshoot; /* refused for smtpd_recipient_limit */
    int64_t declared_size;  /* SIZE=, 0: none */
    const char *encoding;   /* "7bit", "8bit" or "" */
    const char *envid;      /* decoded from xtext, "" none */
    int dsn_ret;            /* enum dsn_ret, 0 none */
    bool smtputf8;
    bool bare_lf;                /* seen in content */
    bool write_failed;           /* cleanup is gone: refuse at the end */
    struct smtpd_chunks *chunks; /* NULL before BDAT */
    /* Decisions of access tables. */
    int flags;                        /* CLEANUP_HOLD, CLEANUP_DISCARD */
    int open_flags;                   /* those that cleanup knew at first */
    const char *filter;               /* transport:destination, NULL */
    const char *redirect;             /* NULL */
    struct smtpd_text *bcc, *prepend; /* bcc: last one first; prepend: in order */
};

/* Why a session ends; texts of the log in smtpd_session.c. */
enum smtpd_end {
    SMTPD_GOING_ON,
    SMTPD_QUIT, /* by the client's wish, or ours after a reply that said so */
    SMTPD_LOST,
    SMTPD_TIMEOUT,
    SMTPD_ERRORS,  /* too many */
    SMTPD_STOPPED, /* the service stops */
    SMTPD_DROPPED, /* without a word, by an access table */
};

/* What the log calls the place behind a message's content. */
#define SMTPD_END_OF_MESSAGE "END-OF-MESSAGE"

struct smtpd_count {
    unsigned ok, total;
};

struct smtpd_session {
    struct smtpd_service *ss;
    const struct config *cfg;
    struct stream *stream;
    struct arena *arena, *scratch;
    struct smtpd_client client;
    struct smtpd_transaction trans;
    const char *protocol; /* "SMTP" or "ESMTP" */
    char *helo;           /* NULL before HELO, printable; on the heap */
    char *deferred[3];    /* replies of defer_if_permit at the client, HELO and sender
                             stage that count for each later recipient; on the heap */
    bool pipelining;      /* announced to this client */
    unsigned ehlo_hidden; /* bits of smtpd_ehlo.h that are not announced */
    const char *where;    /* last command, for the log: "CONNECT", "RCPT", ... */
    enum smtpd_end end;
    int64_t errors;         /* since mail was last delivered */
    int64_t errors_before;  /* the current command */
    int64_t junk;           /* commands that do not further delivery */
    bool failed;            /* the current command got a 4xx or 5xx reply */
    bool connected_counted; /* anvil counts this connection */
    bool bare_lf_noted;     /* for the disconnect line */
    bool bdat_failed;       /* a chunk was refused: the others are dropped */
    const char *refusal;    /* every command but QUIT gets this; NULL */
    struct smtpd_count counts[SMTPD_VERBS_MAX];
};

/* smtpd_service.c: what the configuration says to both modes; ss->svc is set. Fatal
 * when it makes no sense. */
void smtpd_configure(struct smtpd_service *ss, const struct config *cfg,
                     struct arena *arena);

/* smtpd_session.c: serve one client until the end; owns stream. */
void smtpd_session_run(struct smtpd_service *ss, struct stream *stream,
                       const struct net_addr *peer);
struct arena *smtpd_arena_get(struct smtpd_service *ss);
void smtpd_arena_put(struct smtpd_service *ss, struct arena *arena);
/* Why a session ends when reading gave status. */
enum smtpd_end smtpd_end_of(const struct smtpd_session *s, enum stream_status status);
/* A new request begins: see smtpd_per_request_deadline. */
void smtpd_restart_clock(struct smtpd_session *s);
/* What the log says about the transaction, see event.h. recipient may be NULL. */
struct event_context smtpd_context(const struct smtpd_session *s,
                                   const char *recipient);

/* smtpd_client.c: find out who is there; waits for the name service. */
void smtpd_client_init(struct smtpd_session *s, const struct net_addr *peer);

/* smtpd_limit.c: concurrency and rates. False: refused, with a reply. */
bool smtpd_limit_connect(struct smtpd_session *s);
void smtpd_limit_disconnect(struct smtpd_session *s);
bool smtpd_limit_mail(struct smtpd_session *s);
bool smtpd_limit_rcpt(struct smtpd_session *s);

/* smtpd_bare_lf.c: lines that end in LF alone. */
enum smtpd_bare_lf smtpd_bare_lf_parse(const char *text); /* fatal when unknown */
enum smtpd_bare_lf smtpd_bare_lf_mode(const struct smtpd_session *s);
/* One was seen. False: it must be refused. */
bool smtpd_bare_lf_allowed(struct smtpd_session *s);
void smtpd_bare_lf_refused(struct smtpd_session *s, const char *where);

/* smtpd_size.c: NULL, or the reply that refuses a message. */
const char *smtpd_size_space(struct smtpd_session *s);
const char *smtpd_size_declared(struct smtpd_session *s, int64_t size);

/* smtpd_reply.c. Replies are buffered and go out before the next wait for input.
 * Text without line end; an empty one is no reply. A 4xx or 5xx reply marks the command
 * as failed; 421 and 521 end the session. */
void smtpd_reply(struct smtpd_session *s, const char *text);
void smtpd_replyf(struct smtpd_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same, and counts as an error of the client's. */
void smtpd_error(struct smtpd_session *s, const char *text);
void smtpd_errorf(struct smtpd_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* smtpd_command.c: verbs. */
struct smtpd_verb {
    const char *name, *label; /* "MAIL"; "mail" in the disconnect line */
    void (*run)(struct smtpd_session *s, struct span args);
    unsigned flags; /* enum smtpd_verb_flag */
};
enum smtpd_verb_flag {
    SMTPD_VERB_LAST = 1, /* must end a group of pipelined commands (RFC 2920) */
    SMTPD_VERB_JUNK = 2, /* does not further delivery */
    SMTPD_VERB_QUIT = 4, /* allowed though the session is refused */
    SMTPD_VERB_SYNC = 8, /* nothing may follow it in a session without PIPELINING */
};
/* One line from the client, without line end, in scratch. */
void smtpd_command(struct smtpd_session *s, struct span line);
/* The client sent more although it should have waited for our reply. True: it was
 * told so, and the session ends. */
bool smtpd_command_early(struct smtpd_session *s);
/* With smtpd_helo_required: false, with a reply, before HELO. */
bool smtpd_helo_given(struct smtpd_session *s, const char *refusal);
/* "ehlo=1 mail=1 rcpt=1/2 commands=3/4" */
void smtpd_command_counts(const struct smtpd_session *s, struct strbuf *out);

/* One file each: smtpd_cmd_<verb>.c */
void smtpd_cmd_helo(struct smtpd_session *s, struct span args);
void smtpd_cmd_ehlo(struct smtpd_session *s, struct span args);
void smtpd_cmd_mail(struct smtpd_session *s, struct span args);
void smtpd_cmd_rcpt(struct smtpd_session *s, struct span args);
void smtpd_cmd_data(struct smtpd_session *s, struct span args);
void smtpd_cmd_bdat(struct smtpd_session *s, struct span args);
void smtpd_cmd_rset(struct smtpd_session *s, struct span args);
void smtpd_cmd_noop(struct smtpd_session *s, struct span args);
void smtpd_cmd_quit(struct smtpd_session *s, struct span args);
void smtpd_cmd_vrfy(struct smtpd_session *s, struct span args);
void smtpd_cmd_etrn(struct smtpd_session *s, struct span args);
void smtpd_cmd_help(struct smtpd_session *s, struct span args);
void smtpd_cmd_starttls(struct smtpd_session *s, struct span args);
void smtpd_cmd_auth(struct smtpd_session *s, struct span args);
void smtpd_cmd_xclient(struct smtpd_session *s, struct span args);
void smtpd_cmd_xforward(struct smtpd_session *s, struct span args);

/* smtpd_transaction.c: the message on its way to cleanup. */
/* Forget the transaction; an open message is cancelled. */
void smtpd_transaction_reset(struct smtpd_session *s);
/* Open the message at the first valid recipient. False: refused with a reply. */
bool smtpd_transaction_open(struct smtpd_session *s);
void smtpd_transaction_rcpt(struct smtpd_session *s, const char *address, int notify,
                            const char *orcpt);
/* Ends the envelope, starts the content with our Received header. */
void smtpd_transaction_content(struct smtpd_session *s);
/* Hand the complete message to cleanup and tell the client; counted: says also how
 * many bytes it was. */
void smtpd_transaction_finish(struct smtpd_session *s, bool counted);
/* smtpd_received.c */
void smtpd_received(const struct smtpd_session *s, struct strbuf *records);

/* smtpd_content.c */
enum smtpd_content {
    SMTPD_CONTENT_OK,
    SMTPD_CONTENT_ENDED, /* s->end says why */
    SMTPD_CONTENT_TOO_BIG,
};
/* Copy the lines of a message up to the final dot from the client to cleanup.
 * *size_out: bytes of content seen. */
enum smtpd_content smtpd_content_copy(struct smtpd_session *s, int64_t *size_out);

/* The same in chunks of given sizes, for BDAT. chunks keeps what lies between them. */
struct smtpd_chunks *smtpd_chunks_new(struct smtpd_session *s);
void smtpd_chunks_free(struct smtpd_chunks *chunks); /* NULL allowed */
/* Take count bytes; without chunks they are dropped. False: s->end says why. */
bool smtpd_chunk_copy(struct smtpd_session *s, struct smtpd_chunks *chunks,
                      int64_t count);
void smtpd_chunks_end(struct smtpd_chunks *chunks); /* a last line without end */
/* Line ends can make a message larger than its chunks: something was dropped. */
bool smtpd_chunks_too_big(const struct smtpd_chunks *chunks);
int64_t smtpd_chunks_size(const struct smtpd_chunks *chunks);

#endif
