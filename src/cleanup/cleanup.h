/* The cleanup daemon: takes messages from smtpd, pickup, bounce and local, makes
 * them complete, and writes the queue file. One session (fiber) serves one client
 * connection, one message at a time; see global/cleanup_client.h for the protocol.
 *
 * A message passes four stages: envelope records, headers, body, extracted
 * records. What comes out is appended to a buffer, which goes to the file when it
 * is large, or at the end: a typical message is one write. */
#ifndef CLEANUP_CLEANUP_H
#define CLEANUP_CLEANUP_H

#include "cleanup/cleanup_map.h"
#include "cleanup/cleanup_out.h"
#include "global/bounce_client.h"
#include "global/cleanup_client.h"
#include "global/rewrite_client.h"
#include "master/service.h"
#include "util/hash.h"

struct cleanup_notifier;

/* Process-wide state: what configuration and other services look like. */
struct cleanup_service {
    struct service *svc; /* NULL in unit tests */
    const struct config *cfg;
    struct queue queue;
    struct rewrite_client *rewrite;
    struct bounce_client *bounce;
    struct cleanup_notifier *notifier;
    struct cleanup_maps *maps;
    struct span *drop_headers; /* message_drop_headers */
    size_t drop_header_count;
    bool reject_chars[256], strip_chars[256];
    bool filter_bytes;  /* the sets above are not both empty */
    int64_t next_check; /* of tables, whether they have changed */
    struct list idle;   /* sessions that wait for the next message */
};

enum cleanup_stage {
    CLEANUP_ENVELOPE,
    CLEANUP_HEADER,
    CLEANUP_BODY,
    CLEANUP_TRAILER, /* extracted records */
    CLEANUP_END,
};

struct cleanup_msg {
    struct cleanup_service *cs;
    struct arena *arena; /* of this message */
    struct cleanup_out *out;
    int flags;  /* enum cleanup_flag */
    int status; /* enum cleanup_status bits */
    const char *reason, *dsn;
    enum cleanup_stage stage;

    struct envelope env; /* what qmgr will be told */
    bool have_time, have_sender;
    size_t attr_count;
    struct recipient next; /* what stood in front of the next recipient */
    size_t rcpt_cap;
    int64_t rcpt_total; /* recipients written */
    int notify_seen;    /* NOTIFY bits of all recipients */
    struct hash duplicates;

    struct strbuf scratch;      /* a record whose bytes were changed */
    struct arena *header_arena; /* of one header, made when needed */
    struct strbuf header;  /* logical header under collection, lines joined by \n */
    bool header_partial;   /* its last line goes on in the next record */
    bool header_cut;       /* beyond header_size_limit: the rest is dropped */
    uint64_t headers_seen; /* one bit for each enum header_id */
    bool resent;
    int64_t hop_count;
    const char *message_id;
    const char *encoding; /* from Content-Transfer-Encoding, NULL */
};

/* cleanup_msg.c */
/* NULL when no file can be made (logged). arena and out belong to the session. */
struct cleanup_msg *cleanup_msg_open(struct cleanup_service *cs, struct arena *arena,
                                     struct cleanup_out *out, int flags);
/* Whole records only. Trouble is kept in msg->status; input is then skipped. */
void cleanup_msg_records(struct cleanup_msg *msg, struct span records);
/* Make the message durable and tell qmgr, or remove the file when msg->status is
 * not 0 then. The file is closed; free the message afterwards. */
void cleanup_msg_commit(struct cleanup_msg *msg);
void cleanup_msg_cancel(struct cleanup_msg *msg);
void cleanup_msg_free(struct cleanup_msg *msg);
/* The first reason given counts. */
void cleanup_fail(struct cleanup_msg *msg, int status, const char *dsn,
                  const char *reason);

/* cleanup_envelope.c: one record each. */
void cleanup_envelope_record(struct cleanup_msg *msg, int type, struct span data);
void cleanup_trailer_record(struct cleanup_msg *msg, int type, struct span data);
/* What must stand in front of the first content record. */
void cleanup_envelope_end(struct cleanup_msg *msg);
void cleanup_trailer_begin(struct cleanup_msg *msg);

/* cleanup_rcpt.c */
/* A recipient as given by the client, with what stood in front of it. */
void cleanup_recipient(struct cleanup_msg *msg, struct span address);
/* The copies that configuration wants: for the sender, and of every message. */
void cleanup_sender_bcc(struct cleanup_msg *msg);
void cleanup_always_bcc(struct cleanup_msg *msg);

/* cleanup_header.c */
void cleanup_header_record(struct cleanup_msg *msg, int type, struct span data);
/* The last header is complete: add what is missing, and the empty line when
 * the message has none. */
void cleanup_header_end(struct cleanup_msg *msg, bool add_empty_line);

/* cleanup_address.c. Internal form throughout; NULL after a failure, which is noted
 * in msg->status. */
const char *cleanup_complete_envelope(struct cleanup_msg *msg, struct span address);
/* Canonical mapping and masquerading, if the client's flags allow; NULL stays NULL. */
const char *cleanup_canonical(struct cleanup_msg *msg, const char *address,
                              enum address_class class);
/* Rewrite the addresses of a header value into out. False: it stays as it was. */
bool cleanup_header_addresses(struct cleanup_msg *msg, struct span value,
                              bool is_sender, struct strbuf *out);
struct cleanup_rewriter cleanup_rewriter(struct cleanup_msg *msg);
void cleanup_map_failed(struct cleanup_msg *msg, enum mapping_status status,
                        const char *address);

/* cleanup_body.c */
/* Take body records off *input up to and including X, or until it is used up. */
void cleanup_body_records(struct cleanup_msg *msg, struct span *input);
/* The bytes of a record that configuration wants changed (stray CR and LF, strip
 * and reject sets). Borrowed: from data, or from msg->scratch until the next call. */
struct span cleanup_content_bytes(struct cleanup_msg *msg, struct span data);

/* cleanup_bounce.c: return the message to its sender; the file is complete. */
bool cleanup_bounce(struct cleanup_msg *msg);

/* cleanup_notify.c: news for qmgr. */
struct cleanup_notifier *cleanup_notifier_new(const struct config *cfg);
void cleanup_notifier_free(struct cleanup_notifier *nf);
void cleanup_notify(struct cleanup_notifier *nf, const char *queue_name,
                    const char *queue_id, const struct envelope *env);

/* cleanup_session.c */
void cleanup_service_init(struct cleanup_service *cs, const struct config *cfg,
                          struct arena *arena);
void cleanup_service_free(struct cleanup_service *cs);
void cleanup_session(struct cleanup_service *cs, struct stream *stream);
/* End sessions that only wait for a next message. */
void cleanup_end_idle(struct cleanup_service *cs);

#endif
