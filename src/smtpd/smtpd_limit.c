/* How much a client may do, as counted by anvil(8) over all processes. A client whose
 * counts are not known, because anvil is away, is served. */
#include "global/anvil_client.h"
#include "smtpd/smtpd.h"
#include "util/msg.h"

static void warn_exceeded(const struct smtpd_session *s, const char *what,
                          int64_t count)
{
    msg_warn("%s limit exceeded: %lld from %s for service %s", what, (long long)count,
             s->client.namaddr, s->ss->svc->name);
}

static bool exceeds(int64_t count, int64_t limit)
{
    return limit > 0 && count > limit;
}

static void too_many_connections(struct smtpd_session *s, const char *what,
                                 int64_t count)
{
    smtpd_replyf(s, "421 4.7.0 %s Error: too many connections from %s",
                 s->cfg->myhostname, s->client.address);
    warn_exceeded(s, what, count);
}

bool smtpd_limit_connect(struct smtpd_session *s)
{
    const struct config *cfg = s->cfg;
    struct anvil_counts counts;

    if (!s->client.is_counted || (cfg->smtpd_client_connection_count_limit == 0 &&
                                  cfg->smtpd_client_connection_rate_limit == 0))
        return true;
    if (!anvil_connect(s->ss->anvil, s->ss->svc->name, s->client.count_name, &counts))
        return true;
    s->connected_counted = true;
    if (exceeds(counts.connections, cfg->smtpd_client_connection_count_limit)) {
        too_many_connections(s, "Connection concurrency", counts.connections);
        return false;
    }
    if (exceeds(counts.rate, cfg->smtpd_client_connection_rate_limit)) {
        too_many_connections(s, "Connection rate", counts.rate);
        return false;
    }
    return true;
}

void smtpd_limit_disconnect(struct smtpd_session *s)
{
    if (s->connected_counted)
        anvil_disconnect(s->ss->anvil, s->ss->svc->name, s->client.count_name);
}

/* True: too many; *count_out for the log. */
static bool over_rate(struct smtpd_session *s, enum anvil_event event, int64_t limit,
                      int64_t *count_out)
{
    return limit > 0 && s->client.is_counted &&
           anvil_count(s->ss->anvil, event, s->ss->svc->name, s->client.count_name,
                       count_out) &&
           *count_out > limit;
}

bool smtpd_limit_mail(struct smtpd_session *s)
{
    int64_t count;

    if (!over_rate(s, ANVIL_MESSAGE, s->cfg->smtpd_client_message_rate_limit, &count))
        return true;
    smtpd_errorf(s, "450 4.7.1 Error: too much mail from %s", s->client.address);
    warn_exceeded(s, "Message delivery request rate", count);
    return false;
}

bool smtpd_limit_rcpt(struct smtpd_session *s)
{
    int64_t count;

    if (!over_rate(s, ANVIL_RECIPIENT, s->cfg->smtpd_client_recipient_rate_limit,
                   &count))
        return true;
    smtpd_errorf(s, "450 4.7.1 Error: too many recipients from %s", s->client.address);
    warn_exceeded(s, "Recipient address rate", count);
    return false;
}
