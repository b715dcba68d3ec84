/* Where a message goes: to cleanup(8), or in stand-alone mode to postdrop(1), which
 * any user may run. Fiber only. */
#ifndef SMTPD_SMTPD_SINK_H
#define SMTPD_SMTPD_SINK_H

#include "global/cleanup_client.h"

struct smtpd_service;
struct smtpd_sink;

/* NULL: not available now; *why_out is for the log. */
struct smtpd_sink *smtpd_sink_open(struct smtpd_service *ss, int flags,
                                   const char **why_out);
const char *smtpd_sink_id(const struct smtpd_sink *sink);
/* Append records here, then send: does nothing while there are few, unless forced. */
struct strbuf *smtpd_sink_records(struct smtpd_sink *sink);
bool smtpd_sink_send(struct smtpd_sink *sink, bool force);
/* Both end the sink. */
struct cleanup_result smtpd_sink_commit(struct smtpd_sink *sink, struct arena *arena);
void smtpd_sink_abort(struct smtpd_sink *sink); /* NULL allowed */

#endif
