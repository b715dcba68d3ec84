/* smtp-sink: an SMTP or LMTP server that throws everything away, for load tests and
 * for tests of clients. One fiber a session. */
#ifndef SMTP_SINK_SINK_H
#define SMTP_SINK_SINK_H

#include "util/arena.h"
#include "util/net.h"
#include "util/stream.h"

enum sink_verb {
    VERB_CONNECT,
    VERB_HELO,
    VERB_EHLO,
    VERB_LHLO,
    VERB_MAIL,
    VERB_RCPT,
    VERB_DATA,
    VERB_DOT,
    VERB_RSET,
    VERB_NOOP,
    VERB_VRFY,
    VERB_QUIT,
    VERB_XCLIENT,
    VERB_XFORWARD,
    VERB_AUTH,
    VERB_OTHER,
    VERB_COUNT,
};
const char *sink_verb_name(enum sink_verb verb);
/* By name, any case; "." is VERB_DOT. VERB_OTHER when unknown. */
enum sink_verb sink_verb_find(struct span name);

struct sink_options {
    bool lmtp, no_esmtp, no_8bitmime, no_auth, no_pipelining, no_xclient, no_xforward;
    bool no_enhanced, no_dsn, pix, counters, show_chat;
    const char *hostname;
    const char *soft_reply, *hard_reply;
    unsigned hard, soft, hang_up, say_421, log; /* bits by verb */
    int64_t delay_ms[VERB_COUNT];               /* before the reply */
    unsigned delay_odds[VERB_COUNT];            /* percent; 0: always */
    int64_t abort_data_ms;                      /* -A: drop the connection */
    bool abort_data;
    int64_t read_delay_ms; /* -H */
    int64_t timeout_ms;
    int64_t max_sessions, max_messages, quit_sessions;
    const char *dump_template; /* -d one file a message, -D append to one */
    bool dump_append;
    const char *dump_header;
};

struct sink {
    struct sink_options opt;
    int64_t sessions; /* open now */
    int64_t seen_sessions, seen_messages, seen_quits;
    struct evfd listener;
    bool listening;
    struct loop_timer counts_timer;
    bool counts_pending;
};

/* session.c: serves one client and frees the stream. fd: of the stream, to ask who
 * the client is. */
void sink_session(struct sink *sink, struct stream *stream, int fd);
/* Called by a session as things happen; may end the program. */
void sink_count_message(struct sink *sink);
void sink_count_session_end(struct sink *sink);

/* What the client said before DATA; kept for dump files only. */
struct sink_envelope {
    char client[NET_ADDR_STRLEN]; /* "" for a UNIX socket */
    const char *proto;            /* SMTP, ESMTP, LMTP */
    struct strbuf helo, mail;     /* arguments; mail as in "<sender> SIZE=1" */
    struct strbuf rcpts;          /* a line each */
};

/* dump.c */
struct sink_dump;
/* NULL: not asked for. */
struct sink_dump *sink_dump_open(struct sink *sink, const struct sink_envelope *env);
/* complete: the line ends here. */
void sink_dump_line(struct sink_dump *dump, struct span line, bool complete);
void sink_dump_close(struct sink_dump *dump);

#endif
