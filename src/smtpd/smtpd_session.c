#include <stdlib.h>

#include "smtpd/smtpd_policy.h"
#include "util/msg.h"

struct arena *smtpd_arena_get(struct smtpd_service *ss)
{
    return ss->spare_count ? ss->spare[--ss->spare_count] : arena_new();
}

void smtpd_arena_put(struct smtpd_service *ss, struct arena *arena)
{
    if (!arena)
        return;
    arena_reset(arena);
    if (ss->spare_count < ARRAY_LEN(ss->spare))
        ss->spare[ss->spare_count++] = arena;
    else
        arena_free(arena);
}

struct event_context smtpd_context(const struct smtpd_session *s, const char *recipient)
{
    return (struct event_context){.sender = s->trans.sender,
                                  .recipient = recipient,
                                  .protocol = s->protocol,
                                  .helo = s->helo};
}

static void greet(struct smtpd_session *s)
{
    const char *refusal = smtpd_policy_connect(s);

    if (refusal)
        smtpd_error(s, refusal);
    else
        smtpd_replyf(s, "220 %s", s->cfg->smtpd_banner);
}

static enum smtpd_end end_of_stream(struct smtpd_session *s, enum stream_status status)
{
    if (status == STREAM_TIMEOUT)
        return SMTPD_TIMEOUT;
    if (status == STREAM_CANCELLED)
        return SMTPD_STOPPED;
    (void)s;
    return SMTPD_LOST;
}

/* The input buffer is given back while the client is silent. */
static enum stream_status next_line(struct smtpd_session *s, struct span *line_out)
{
    enum stream_status status;

    s->idle = true;
    status = stream_wait_input(s->stream);
    s->idle = false;
    if (status != STREAM_OK)
        return status;
    return stream_read_line(s->stream, (size_t)s->cfg->line_length_limit, line_out, NULL);
}

static void serve_command(struct smtpd_session *s)
{
    struct span line;
    enum stream_status status;

    if (s->errors >= s->cfg->smtpd_hard_error_limit) {
        smtpd_replyf(s, "421 4.7.0 %s Error: too many errors", s->cfg->myhostname);
        s->end = SMTPD_ERRORS;
        return;
    }
    status = next_line(s, &line);
    if (status != STREAM_OK && status != STREAM_TOO_LONG) {
        s->end = end_of_stream(s, status);
        return;
    }
    s->scratch = smtpd_arena_get(s->ss);
    smtpd_command(s, arena_span(s->scratch, line));
    smtpd_arena_put(s->ss, s->scratch);
    s->scratch = NULL;
}

/* The last words. */
static void close_session(struct smtpd_session *s)
{
    static const char *const texts[] = {[SMTPD_LOST] = "lost connection",
                                        [SMTPD_TIMEOUT] = "timeout",
                                        [SMTPD_ERRORS] = "too many errors"};

    if (s->end == SMTPD_TIMEOUT)
        smtpd_replyf(s, "421 4.4.2 %s Error: timeout exceeded", s->cfg->myhostname);
    else if (s->end == SMTPD_STOPPED)
        smtpd_reply(s, "421 4.7.0 Server closing connection");
    stream_flush(s->stream);
    if (s->end < (int)ARRAY_LEN(texts) && texts[s->end])
        event_session_broken(s->trans.queue_id, texts[s->end], s->where,
                             s->client.namaddr);
}

static void serve(struct smtpd_session *s)
{
    struct strbuf counts = STRBUF_INIT;

    event_connect(s->client.namaddr);
    s->scratch = smtpd_arena_get(s->ss);
    greet(s);
    smtpd_arena_put(s->ss, s->scratch);
    s->scratch = NULL;
    while (s->end == SMTPD_GOING_ON)
        serve_command(s);
    close_session(s);
    smtpd_transaction_reset(s);
    smtpd_command_counts(s, &counts);
    event_disconnect(s->client.namaddr, counts.ptr);
    strbuf_free(&counts);
}

void smtpd_session_run(struct smtpd_service *ss, struct stream *stream,
                       const struct net_addr *peer)
{
    struct smtpd_session *s = xcalloc(1, sizeof *s);

    s->ss = ss;
    s->cfg = ss->cfg;
    s->stream = stream;
    s->fiber = fiber_self();
    s->arena = arena_new();
    s->protocol = "SMTP";
    s->where = "CONNECT";
    list_append(&ss->sessions, &s->link);
    stream_set_timeout(stream, s->cfg->smtpd_timeout * 1000);
    smtpd_client_init(s, peer);
    service_note_session(s->client.namaddr);
    serve(s);
    list_remove(&s->link);
    stream_free(stream);
    arena_free(s->arena);
    free(s);
}
