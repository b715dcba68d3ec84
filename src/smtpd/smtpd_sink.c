#include "smtpd/smtpd_sink.h"

#include <stdlib.h>

#include "smtpd/smtpd.h"
#include "smtpd/smtpd_drop.h"

/* One of the two. */
struct smtpd_sink {
    struct cleanup_message *msg;
    struct smtpd_drop *drop;
};

struct smtpd_sink *smtpd_sink_open(struct smtpd_service *ss, int flags,
                                   const char **why_out)
{
    struct smtpd_sink *sink = xcalloc(1, sizeof *sink);

    if (ss->svc)
        sink->msg = cleanup_open(ss->cleanup, flags, why_out);
    else
        sink->drop = smtpd_drop_open(ss->cfg, why_out);
    if (sink->msg || sink->drop)
        return sink;
    free(sink);
    return NULL;
}

const char *smtpd_sink_id(const struct smtpd_sink *sink)
{
    return sink->msg ? cleanup_message_id(sink->msg) : smtpd_drop_id(sink->drop);
}

struct strbuf *smtpd_sink_records(struct smtpd_sink *sink)
{
    return sink->msg ? cleanup_records(sink->msg) : smtpd_drop_records(sink->drop);
}

bool smtpd_sink_send(struct smtpd_sink *sink, bool force)
{
    return sink->msg ? cleanup_send(sink->msg, force) == IPC_OK
                     : smtpd_drop_send(sink->drop, force);
}

struct cleanup_result smtpd_sink_commit(struct smtpd_sink *sink, struct arena *arena)
{
    struct cleanup_result result = sink->msg ? cleanup_commit(sink->msg, arena)
                                             : smtpd_drop_commit(sink->drop, arena);

    free(sink);
    return result;
}

void smtpd_sink_abort(struct smtpd_sink *sink)
{
    if (!sink)
        return;
    if (sink->msg)
        cleanup_abort(sink->msg);
    else
        smtpd_drop_abort(sink->drop);
    free(sink);
}
