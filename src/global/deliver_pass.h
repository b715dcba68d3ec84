/* Hand a recipient of the request under way to another delivery agent, as for
 * mailbox_transport and fallback_transport. The other agent reports and logs. */
#ifndef GLOBAL_DELIVER_PASS_H
#define GLOBAL_DELIVER_PASS_H

#include "global/deliver.h"

enum deliver_pass {
    DELIVER_PASS_FINAL,      /* delivered or bounced */
    DELIVER_PASS_INCOMPLETE, /* the other agent deferred it */
    DELIVER_PASS_FAILED,     /* no answer (logged): the caller has to report */
};

/* destination: "transport" or "transport:nexthop"; the next hop is otherwise the
 * recipient's domain. sender replaces the envelope's. rcpt->offset is 0 unless the
 * other agent is to mark it done in the queue file. req->reply is brought up to date.
 */
enum deliver_pass deliver_pass(struct deliver *d, struct deliver_request *req,
                               const struct recipient *rcpt, const char *sender,
                               const char *destination);

#endif
