/* A message's envelope: what the queue file says besides its content. Read by
 * qmgr, showq, bounce; built by cleanup; sent by cleanup to qmgr in the
 * notification of a new message (as a frame) so that qmgr need not open the file. */
#ifndef GLOBAL_ENVELOPE_H
#define GLOBAL_ENVELOPE_H

#include <sys/time.h>

#include "global/rec.h"
#include "util/arena.h"
#include "util/frame.h"

enum dsn_notify {
    NOTIFY_NEVER = 1,
    NOTIFY_SUCCESS = 2,
    NOTIFY_FAILURE = 4,
    NOTIFY_DELAY = 8
};
enum dsn_ret { RET_FULL = 1, RET_HDRS = 2 };
enum sendopt {
    SENDOPT_SMTPUTF8 = 1,
    SENDOPT_UTF8_HEADER = 2,
    SENDOPT_UTF8_SENDER = 4,
    SENDOPT_UTF8_RCPT = 8,
    SENDOPT_TLS_NOT_REQUIRED = 16,
    SENDOPT_REQUIRETLS = 32,
};
enum trace_flag {
    TRACE_MTA_VERIFY = 256,
    TRACE_USER_VERIFY = 512,
    TRACE_RECORD = 1024
};

struct recipient {
    const char *address;
    const char *orig;      /* original recipient, "" if the same */
    const char *dsn_orcpt; /* "rfc822;addr" or "" */
    int notify;            /* enum dsn_notify bits, 0 = not given */
    int64_t offset;        /* of the R record in the file; 0: not in a file */
};

struct envelope {
    const char *sender; /* "" is the null sender */
    struct timeval arrival;
    int64_t create_time;
    int64_t data_offset;  /* of the first content record (behind M) */
    int64_t data_size;    /* C field 1: X offset - data_offset */
    int64_t content_size; /* C field 5: message size as logged by qmgr */
    int64_t rcpt_count;   /* C field 3 */
    int qmgr_opts;        /* C field 4 */
    int sendopts;
    int64_t warn_time; /* W record; 0 none */
    int64_t warn_offset;
    const char *encoding; /* "8bit", "7bit" or "" */
    const char *filter;   /* content filter transport:nexthop or "" */
    const char *redirect; /* "" none */
    const char *full_name, *message_id;
    const char *envelope_id;
    int ret;
    int trace_flags;
    int64_t trace_offset;        /* of the record with them */
    const char *verp;            /* delimiters or "" */
    const char *rewrite_context; /* "local" or "remote" */
    const char *log_ident;
    const char *log_client_name, *log_client_address, *log_client_port;
    const char *log_message_origin, *log_helo_name, *log_protocol_name;
    const char *client_name, *reverse_client_name, *client_address, *client_port;
    const char *client_address_type, *helo_name, *protocol_name;
    const char *server_address, *server_port;
    const char *sasl_method, *sasl_username, *sasl_sender;
    struct recipient *rcpts; /* those still to do that were read */
    size_t rcpt_len;
    int64_t next_rcpt_offset; /* where to go on for more; 0: all were read */
};

enum envelope_status { ENVELOPE_OK, ENVELOPE_CORRUPT, ENVELOPE_IO_ERROR };

/* Read from an open queue file (any Postfix version's layout: recipients before
 * or after the content, pointers). max_rcpts bounds what is read now (0: all); to
 * read the next batch call again with from_offset = next_rcpt_offset (0 at first).
 * why_out: static text for CORRUPT, strerror for IO_ERROR. Texts go to arena. */
enum envelope_status envelope_read(int fd, size_t max_rcpts, int64_t from_offset,
                                   struct arena *arena, struct envelope *env_out,
                                   const char **why_out);

/* As frame attributes, and back. false: missing attribute. */
void envelope_to_frame(const struct envelope *env, struct strbuf *sb);
bool envelope_from_frame(struct span body, struct arena *arena,
                         struct envelope *env_out, const char **missing_out);

#endif
