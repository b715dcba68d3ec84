/* The SMTP and LMTP client, one program: the service's command name (smtp or lmtp)
 * decides the protocol. Everything below happens in the fiber of one delivery
 * request. */
#ifndef SMTP_SMTP_H
#define SMTP_SMTP_H

#include "global/deliver.h"
#include "global/local_host.h"
#include "master/service.h"
#include "util/hash.h"
#include "util/net.h"

/* The smtp_ or lmtp_ variants of the parameters, chosen once at start. */
struct smtp_params {
    bool lmtp;
    int64_t connect_timeout, helo_timeout, mail_timeout, rcpt_timeout;
    int64_t data_init_timeout, data_xfer_timeout, data_done_timeout;
    int64_t rset_timeout, quit_timeout;
    const char *helo_name;
    const char *fallback_relay;
    const char *host_lookup;
    const char *bind_address, *bind_address6;
    const char *tcp_port;
    const char *address_preference;
    int64_t mx_address_limit, mx_session_limit;
    int64_t cache_time, reuse_time_limit, reuse_count_limit;
    int64_t line_length_limit;
    const char *pix_workarounds;
    int64_t pix_threshold_time, pix_delay_time;
    bool cache_on_demand;
    bool balance_inet_protocols;
    bool randomize_addresses;
    bool skip_5xx_greeting;
    bool skip_quit_response;
    bool always_ehlo, never_ehlo;
    bool defer_if_no_mx_address_found;
    bool quote_envelope;
    bool send_dummy_mail_auth;
};

struct smtp_agent {
    struct service *svc;
    const struct config *cfg;
    struct smtp_params p;
    struct deliver *deliver;
    struct local_host *local;
    struct list cached; /* parked sessions, most recent first */
    size_t cached_count;
};

/* One place to try. */
struct smtp_host {
    const char *name;
    struct net_addr addr; /* AF_UNIX for LMTP over UNIX sockets */
    unsigned pref;
};

enum smtp_feature {
    FEATURE_ESMTP = 1,
    FEATURE_PIPELINING = 2,
    FEATURE_SIZE = 4,
    FEATURE_8BITMIME = 8,
    FEATURE_DSN = 16,
    FEATURE_ENHANCED = 32,
    FEATURE_SMTPUTF8 = 64,
};

struct smtp_session {
    struct list in_cache;
    struct loop_timer cache_timer;
    struct smtp_agent *agent;
    struct stream *stream;
    char *key;     /* destination it may be reused for */
    char *host;    /* "host" */
    char *addr;    /* "addr" */
    char *namaddr; /* "host[addr]" */
    char *relay;   /* "host[addr]:port" */
    unsigned features;
    int64_t size_limit; /* 0: none announced */
    int64_t expires;    /* no reuse after this deadline */
    int uses;           /* deliveries begun */
    bool dead;          /* not in a state to talk: no reuse, no QUIT */
    bool ending;        /* the server said 421: no reuse */
    bool only_host;     /* its destination had no other */
    bool helo_only;     /* PIX workarounds */
    bool delay_dot;
    bool warned_sync; /* the warning about pipelining was given */
};

struct smtp_reply {
    int code; /* 0: none */
    char status[DSN_STATUS_LEN];
    const char *text; /* whole reply, lines joined by a space */
};

/* The delivery under way. */
struct smtp_delivery {
    struct smtp_agent *agent;
    struct deliver_request *req;
    struct arena *arena;
    struct smtp_session *session;
    const char *relay;   /* of the last host that was connected to; "none" before */
    struct dsn trouble;  /* why recipients are still left; reason NULL: not known */
    bool connect_failed; /* at the last host */
    bool loops;          /* the destination is this system */
    bool got_through;    /* some host talked to us */
    bool final_host;     /* nothing more to try after this one */
    size_t left;         /* recipients without a final result */
};

/* smtp_params.c */
void smtp_params_init(struct smtp_params *p, const struct config *cfg, bool lmtp);

/* smtp_target.c: hosts of a next hop in the order to try. Count 0: trouble says why. */
size_t smtp_target_hosts(struct smtp_delivery *d, struct span nexthop,
                         struct smtp_host **hosts_out);

/* smtp_session.c */
/* Connect, greet, EHLO. NULL with d->trouble. */
struct smtp_session *smtp_session_open(struct smtp_delivery *d,
                                       const struct smtp_host *host);
void smtp_session_quit(struct smtp_session *s); /* QUIT when healthy, close, free */
bool smtp_lost(struct smtp_delivery *d, struct smtp_session *s, enum stream_status st,
               const char *doing); /* sets trouble; returns false */

/* smtp_reply.c. False: trouble was set and the session is dead. */
bool smtp_read_reply(struct smtp_delivery *d, struct smtp_session *s, int64_t timeout_s,
                     const char *doing, struct smtp_reply *reply_out);
/* "host H said: reply (in reply to CMD command)" */
void smtp_said(struct smtp_delivery *d, struct smtp_session *s,
               const struct smtp_reply *reply, const char *command,
               struct dsn *dsn_out);
void smtp_set_trouble(struct smtp_delivery *d, const char *status, const char *reason);

/* smtp_transaction.c: one message over one session. Recipients that got a final
 * answer are reported. False: the session is dead. */
bool smtp_transaction(struct smtp_delivery *d, struct smtp_session *s);

/* smtp_pix.c: for a greeting as certain firewalls garble it, log and switch on the
 * workarounds of smtp_pix_workarounds. True: use HELO. */
bool smtp_pix_disables_esmtp(struct smtp_delivery *d, struct smtp_session *s,
                             const char *greeting);

/* smtp_content.c */
enum stream_status smtp_send_content(struct smtp_delivery *d, struct smtp_session *s,
                                     bool *read_error_out);

/* smtp_cache.c: connections that wait for more mail to the same destination */
struct smtp_session *smtp_cache_take(struct smtp_agent *agent, const char *key);
void smtp_cache_put(struct smtp_session *s, const char *key);
void smtp_cache_clear(struct smtp_agent *agent);

/* smtp_deliver.c */
void smtp_deliver(struct deliver *deliver, struct deliver_request *req, void *arg);

#endif
