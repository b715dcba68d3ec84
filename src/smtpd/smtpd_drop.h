/* A message on its way through postdrop(1), which puts it into the maildrop queue with
 * rights of its own. Fiber only; commit and abort free it. */
#ifndef SMTPD_SMTPD_DROP_H
#define SMTPD_SMTPD_DROP_H

#include "global/cleanup_client.h"

struct smtpd_drop;

struct smtpd_drop *smtpd_drop_open(const struct config *cfg, const char **why_out);
const char *smtpd_drop_id(const struct smtpd_drop *drop);
struct strbuf *smtpd_drop_records(struct smtpd_drop *drop);
bool smtpd_drop_send(struct smtpd_drop *drop, bool force);
struct cleanup_result smtpd_drop_commit(struct smtpd_drop *drop, struct arena *arena);
void smtpd_drop_abort(struct smtpd_drop *drop);

#endif
