/* What happens to mail, one function an event. The text line of the log (and, in
 * time, the JSON record and the counters) are views of these calls; no program
 * formats such a line itself. Texts are interface facts of the log.
 *
 * queue_id may be NULL: logged as NOQUEUE. client is "name[addr]" (with :port when
 * configured). All arguments are raw; escaping happens here. */
#ifndef GLOBAL_EVENT_H
#define GLOBAL_EVENT_H

#include "global/deliver.h"
#include "global/dsn.h"

/* smtpd */
void event_connect(const char *client);
/* counts: "ehlo=1 mail=1 ... commands=5/6" as assembled by smtpd. */
void event_disconnect(const char *client, const char *counts);
struct event_client {
    const char *client;
    const char *sasl_method, *sasl_username, *sasl_sender; /* "" or NULL: unknown */
    const char *orig_queue_id, *orig_client;
};
void event_transaction(const char *queue_id, const struct event_client *who);
/* What is known of the transaction, for <whatsup>; "" or NULL: unknown. sender
 * NULL: not known, "" the null sender. */
struct event_context {
    const char *sender, *recipient, *protocol, *helo;
    const char *sasl_method, *sasl_username, *sasl_sender;
};
/* verb: "reject", "reject_warning", "hold", "discard", ... ; where: "RCPT",
 * "CONNECT", "END-OF-MESSAGE"; text: "554 5.7.1 <a@b>: Relay access denied". */
void event_policy(const char *queue_id, const char *verb, const char *where,
                  const char *client, const char *text,
                  const struct event_context *ctx);
/* what: "lost connection", "timeout", "too many errors"; where: "DATA (5 bytes)". */
void event_session_broken(const char *queue_id, const char *what, const char *where,
                          const char *client);
void event_pipelining(const char *where, const char *client, struct span input);

/* cleanup */
void event_message_id(const char *queue_id, const char *header, struct span id);
/* cleanup's decisions on content: "reject: header X from c; from=<> to=<> ...: t" */
void event_content(const char *queue_id, const char *verb, struct span what,
                   const char *origin, const struct event_context *ctx,
                   const char *text);
void event_dropped(const char *queue_id, const char *why); /* "removed (canceled)" */

/* pickup */
void event_pickup(const char *queue_id, unsigned uid, const char *sender,
                  const char *orig_id); /* orig_id NULL: not requeued */

/* qmgr */
void event_active(const char *queue_id, const char *sender, int64_t size,
                  int64_t nrcpt);
void event_removed(const char *queue_id);
void event_expired(const char *queue_id, const char *sender, bool forced);

/* delivery agents: status "sent" "bounced" "deferred" "deliverable" ... */
void event_delivery(const struct config *cfg, const struct deliver_request *req,
                    const struct recipient *rcpt, const char *relay,
                    const struct dsn *dsn, const char *status);

/* bounce: kind "sender non-delivery notification", "postmaster delay notification" */
void event_notification(const char *queue_id, const char *kind, const char *new_id);

#endif
