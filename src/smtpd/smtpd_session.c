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

/* A client that is refused now may say QUIT; nothing else is of interest. */
static void refuse_session(struct smtpd_session *s, const char *refusal)
{
    smtpd_error(s, refusal);
    s->refusal = arena_printf(s->arena, "503 5.7.0 Error: access denied for %s",
                              s->client.namaddr);
}

static void greet(struct smtpd_session *s)
{
    const char *refusal;

    if (smtpd_command_early(s) || !smtpd_limit_connect(s))
        return;
    refusal = smtpd_policy_connect(s);
    if (refusal)
        refuse_session(s, refusal);
    else
        smtpd_replyf(s, "220 %s", s->cfg->smtpd_banner);
}

enum smtpd_end smtpd_end_of(const struct smtpd_session *s, enum stream_status status)
{
    if (status == STREAM_TIMEOUT)
        return SMTPD_TIMEOUT;
    if (status == STREAM_CANCELLED || (s->ss->svc && s->ss->svc->stopping))
        return SMTPD_STOPPED;
    return SMTPD_LOST;
}

/* With smtpd_per_request_deadline a time limit counts for a whole command, whatever
 * the pace of the client. */
void smtpd_restart_clock(struct smtpd_session *s)
{
    if (s->cfg->smtpd_per_request_deadline)
        stream_set_deadline(s->stream, loop_deadline(s->cfg->smtpd_timeout * 1000));
}

/* The rest of a line that is too long is dropped. */
static enum stream_status skip_line(struct smtpd_session *s, int *eol_out)
{
    enum stream_status status = STREAM_TOO_LONG;
    struct span rest;

    while (status == STREAM_TOO_LONG)
        status = stream_read_line(s->stream, (size_t)s->cfg->line_length_limit, &rest,
                                  eol_out);
    return status;
}

static enum stream_status next_line(struct smtpd_session *s, struct span *line_out,
                                    int *eol_out)
{
    size_t limit = (size_t)s->cfg->line_length_limit;
    enum stream_status status =
        stream_read_line(s->stream, limit - 1, line_out, eol_out);

    if (status == STREAM_OK)
        *line_out = arena_span(s->scratch, *line_out);
    if (status != STREAM_TOO_LONG)
        return status;
    *line_out = arena_span(s->scratch, *line_out);
    msg_warn("%s: request longer than %zu: %.30s...", s->client.namaddr, limit,
             arena_span_str(s->scratch, *line_out));
    return skip_line(s, eol_out);
}

/* A last line that nobody ended is not a command. */
static void serve_line(struct smtpd_session *s)
{
    struct span line = SPAN_EMPTY;
    int eol = 0;
    enum stream_status status = next_line(s, &line, &eol);

    if (status != STREAM_OK) {
        s->end = smtpd_end_of(s, status);
    } else if (eol == 0) {
        s->end = SMTPD_LOST;
    } else if (eol == 1 && !smtpd_bare_lf_allowed(s)) {
        smtpd_bare_lf_refused(s, s->where);
        s->end = SMTPD_QUIT;
    } else {
        smtpd_command(s, line);
    }
}

static bool wait_for_command(struct smtpd_session *s)
{
    struct service *svc = s->ss->svc;

    if (!svc || service_command_wait(svc, s->stream))
        return true;
    s->end = svc->stopping ? SMTPD_STOPPED : SMTPD_TIMEOUT;
    return false;
}

static void serve_command(struct smtpd_session *s)
{
    if (s->errors >= s->cfg->smtpd_hard_error_limit) {
        smtpd_replyf(s, "421 4.7.0 %s Error: too many errors", s->cfg->myhostname);
        s->end = SMTPD_ERRORS;
        return;
    }
    smtpd_restart_clock(s);
    if (!wait_for_command(s))
        return;
    s->scratch = smtpd_arena_get(s->ss);
    serve_line(s);
    smtpd_arena_put(s->ss, s->scratch);
    s->scratch = NULL;
}

/* Clients that leave without QUIT once their message is in are nothing to note. */
static bool is_done(const struct smtpd_session *s)
{
    return s->end == SMTPD_LOST && strcmp(s->where, SMTPD_END_OF_MESSAGE) == 0;
}

/* Between two chunks content is under way, too. */
static const char *last_place(struct smtpd_session *s)
{
    if (!s->trans.chunks || strcmp(s->where, "BDAT") != 0)
        return s->where;
    return arena_printf(s->arena, "BDAT (%lld bytes)",
                        (long long)smtpd_chunks_size(s->trans.chunks));
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
    stream_set_deadline(s->stream, LOOP_NEVER);
    stream_flush(s->stream);
    if (s->end < (int)ARRAY_LEN(texts) && texts[s->end] && !is_done(s))
        event_session_broken(s->trans.queue_id, texts[s->end], last_place(s),
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
    smtpd_limit_disconnect(s);
    smtpd_command_counts(s, &counts);
    event_disconnect(s->client.namaddr, counts.ptr);
    strbuf_free(&counts);
}

static void free_session(struct smtpd_session *s)
{
    stream_free(s->stream);
    arena_free(s->arena);
    free(s->helo);
    for (size_t i = 0; i < ARRAY_LEN(s->deferred); i++)
        free(s->deferred[i]);
    free(s);
}

void smtpd_session_run(struct smtpd_service *ss, struct stream *stream,
                       const struct net_addr *peer)
{
    struct smtpd_session *s = xcalloc(1, sizeof *s);

    s->ss = ss;
    s->cfg = ss->cfg;
    s->stream = stream;
    s->arena = arena_new();
    s->protocol = "SMTP";
    s->where = "CONNECT";
    stream_set_timeout(stream, s->cfg->smtpd_timeout * 1000);
    smtpd_client_init(s, peer);
    if (ss->svc)
        service_note_session(s->client.namaddr);
    serve(s);
    free_session(s);
}
