#include "global/deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "global/event.h"
#include "util/file.h"
#include "util/ipc.h"
#include "util/msg.h"

struct deliver *deliver_new(const struct config *cfg, struct arena *arena,
                            const char *service)
{
    struct deliver *d = arena_alloc(arena, sizeof *d);

    d->cfg = cfg;
    d->service = service;
    d->bounce = bounce_client_new(cfg);
    d->flush = flush_client_new(cfg);
    queue_init(&d->queue, cfg, arena);
    return d;
}

static bool only_verify(const struct deliver_request *req)
{
    return req->flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY);
}

/* The queue file keeps R for what is to do and D for what is done; the type is the
 * one byte that changes. */
static void mark_done(struct deliver_request *req, const struct recipient *rcpt)
{
    char type = 0;

    if (rcpt->offset <= 0)
        return;
    if (pread(req->fd, &type, 1, rcpt->offset) != 1 ||
        (type != REC_RCPT && type != REC_DONE)) {
        msg_warn("%s: no recipient record at offset %lld", req->queue_id,
                 (long long)rcpt->offset);
        return;
    }
    type = REC_DONE;
    if (pwrite(req->fd, &type, 1, rcpt->offset) != 1)
        msg_warn("%s: cannot mark recipient <%s> as done: %s", req->queue_id,
                 rcpt->address, strerror(errno));
}

static void set_reported(struct deliver_request *req, size_t rcpt)
{
    if (rcpt >= req->env.rcpt_len || req->reported[rcpt])
        panic("%s: recipient %zu reported twice or unknown", req->queue_id, rcpt);
    req->reported[rcpt] = 1;
}

bool deliver_rcpt_is_reported(const struct deliver_request *req, size_t rcpt)
{
    return req->reported[rcpt];
}

static void defer(struct deliver *d, struct deliver_request *req,
                  const struct recipient *rcpt, const char *relay,
                  const struct dsn *dsn, const char *status)
{
    struct dsn entry = *dsn;

    entry.action = "delayed";
    event_delivery(d->cfg, req, rcpt, relay, &entry, status);
    bounce_append(d->bounce, d->cfg->defer_service_name, req->queue_id, 0, rcpt,
                  &entry);
    flush_add(d->flush, rcpt->address, req->queue_id);
    req->reply->incomplete = true;
}

static void defer_log_failure(struct deliver *d, struct deliver_request *req,
                              const struct recipient *rcpt, const char *relay)
{
    struct dsn dsn = {.status = "4.3.0",
                      .action = "delayed",
                      .reason = "bounce or trace service failure",
                      .diag_type = "",
                      .diag_text = "",
                      .mta_type = "",
                      .mta_name = ""};

    defer(d, req, rcpt, relay, &dsn, "deferred");
}

/* Record the result of a recipient in the trace log, for sendmail -v and -bv and for
 * senders that asked for success notifications. */
static bool trace(struct deliver *d, struct deliver_request *req,
                  const struct recipient *rcpt, const char *relay,
                  const struct dsn *dsn)
{
    struct dsn entry = *dsn;

    entry.reason = arena_printf(req->arena, "delivery via %s: %s", relay, dsn->reason);
    req->reply->traced = true;
    return bounce_append(d->bounce, d->cfg->trace_service_name, req->queue_id, 0, rcpt,
                         &entry);
}

static void finish_verify(struct deliver *d, struct deliver_request *req,
                          const struct recipient *rcpt, const char *relay,
                          const struct dsn *dsn, const char *verdict)
{
    struct dsn entry = *dsn;

    entry.action = verdict;
    if ((req->flags & DELIVER_USER_VERIFY) && !trace(d, req, rcpt, relay, &entry)) {
        defer_log_failure(d, req, rcpt, relay);
        return;
    }
    event_delivery(d->cfg, req, rcpt, relay, dsn, verdict);
    mark_done(req, rcpt);
}

static void report_sent(struct deliver *d, struct deliver_request *req,
                        const struct recipient *rcpt, const char *relay,
                        const struct dsn *dsn)
{
    if (only_verify(req)) {
        finish_verify(d, req, rcpt, relay, dsn, "deliverable");
        return;
    }
    if (((req->flags & DELIVER_RECORD) || (rcpt->notify & NOTIFY_SUCCESS)) &&
        !trace(d, req, rcpt, relay, dsn)) {
        defer_log_failure(d, req, rcpt, relay);
        return;
    }
    event_delivery(d->cfg, req, rcpt, relay, dsn, "sent");
    mark_done(req, rcpt);
}

static bool wants_failure_notice(const struct recipient *rcpt)
{
    return rcpt->notify == 0 || (rcpt->notify & NOTIFY_FAILURE);
}

static void soft_bounce(struct deliver *d, struct deliver_request *req,
                        const struct recipient *rcpt, const char *relay,
                        const struct dsn *dsn)
{
    struct dsn soft = *dsn;

    soft.status[0] = '4';
    defer(d, req, rcpt, relay, &soft, "SOFTBOUNCE");
}

static void report_bounced(struct deliver *d, struct deliver_request *req,
                           const struct recipient *rcpt, const char *relay,
                           const struct dsn *dsn)
{
    struct dsn entry = *dsn;

    if (only_verify(req)) {
        finish_verify(d, req, rcpt, relay, dsn, "undeliverable");
        return;
    }
    if (d->cfg->soft_bounce) {
        soft_bounce(d, req, rcpt, relay, dsn);
        return;
    }
    entry.action = "failed";
    req->reply->bounced |= wants_failure_notice(rcpt);
    if (((req->flags & DELIVER_RECORD) && !trace(d, req, rcpt, relay, &entry)) ||
        (wants_failure_notice(rcpt) &&
         !bounce_append(d->bounce, d->cfg->bounce_service_name, req->queue_id, 0, rcpt,
                        &entry))) {
        defer_log_failure(d, req, rcpt, relay);
        return;
    }
    event_delivery(d->cfg, req, rcpt, relay, dsn, "bounced");
    mark_done(req, rcpt);
}

static void report_deferred(struct deliver *d, struct deliver_request *req,
                            const struct recipient *rcpt, const char *relay,
                            const struct dsn *dsn)
{
    struct dsn entry = *dsn;

    if (only_verify(req)) {
        finish_verify(d, req, rcpt, relay, dsn, "undeliverable");
        return;
    }
    entry.action = "delayed";
    if (req->flags & DELIVER_RECORD)
        trace(d, req, rcpt, relay, &entry);
    defer(d, req, rcpt, relay, &entry, "deferred");
}

void deliver_sent(struct deliver *d, struct deliver_request *req, size_t i,
                  const char *relay, const struct dsn *dsn)
{
    set_reported(req, i);
    report_sent(d, req, &req->env.rcpts[i], relay, dsn);
}

void deliver_bounced(struct deliver *d, struct deliver_request *req, size_t i,
                     const char *relay, const struct dsn *dsn)
{
    set_reported(req, i);
    report_bounced(d, req, &req->env.rcpts[i], relay, dsn);
}

void deliver_deferred(struct deliver *d, struct deliver_request *req, size_t i,
                      const char *relay, const struct dsn *dsn)
{
    set_reported(req, i);
    report_deferred(d, req, &req->env.rcpts[i], relay, dsn);
}

bool deliver_part(struct deliver *d, struct deliver_request *req,
                  const struct recipient *part, const char *relay,
                  const struct dsn *dsn)
{
    struct recipient rcpt = *part;
    bool incomplete = req->reply->incomplete, final;

    rcpt.offset = 0; /* the recipient that was expanded is marked at its end */
    req->reply->incomplete = false;
    if (dsn->status[0] == '2')
        report_sent(d, req, &rcpt, relay, dsn);
    else if (dsn->status[0] == '5')
        report_bounced(d, req, &rcpt, relay, dsn);
    else
        report_deferred(d, req, &rcpt, relay, dsn);
    final = !req->reply->incomplete;
    req->reply->incomplete |= incomplete;
    return final;
}

bool deliver_trace(struct deliver *d, struct deliver_request *req, size_t i,
                   const char *relay, const struct dsn *dsn)
{
    return trace(d, req, &req->env.rcpts[i], relay, dsn);
}

void deliver_parts_done(struct deliver_request *req, size_t i, bool final)
{
    set_reported(req, i);
    if (final)
        mark_done(req, &req->env.rcpts[i]);
    else
        req->reply->incomplete = true;
}

void deliver_status(struct deliver *d, struct deliver_request *req, size_t i,
                    const char *relay, const struct dsn *dsn)
{
    switch (dsn->status[0]) {
    case '2':
        deliver_sent(d, req, i, relay, dsn);
        break;
    case '5':
        deliver_bounced(d, req, i, relay, dsn);
        break;
    case '4':
        deliver_deferred(d, req, i, relay, dsn);
        break;
    default:
        panic("%s: delivery status %s", req->queue_id, dsn->status);
    }
}

void deliver_concurrency_failure(struct deliver_request *req, const struct dsn *dsn)
{
    if (req->reply->site_failed)
        return;
    req->reply->site_failed = true;
    req->reply->dsn = *dsn;
}

/* Open and lock the queue file; false: another process has it or it is gone. */
static bool open_queue_file(struct deliver *d, struct deliver_request *req)
{
    req->fd = queue_open(&d->queue, req->queue_name, req->queue_id, O_RDWR);
    if (req->fd < 0) {
        msg_warn("%s: open %s: %s", req->queue_id, req->queue_name, strerror(errno));
        return false;
    }
    if (lock_try(req->fd, LOCK_FLOCK, LOCK_SHARED) == LOCK_OK)
        return true;
    msg_info("%s: skipped, still being delivered", req->queue_id);
    close(req->fd);
    return false;
}

static void handle_request(struct deliver *d, struct deliver_request *req,
                           void (*handler)(struct deliver *, struct deliver_request *,
                                           void *),
                           void *arg)
{
    gettimeofday(&req->agent_begin, NULL);
    if (!open_queue_file(d, req)) {
        req->reply->incomplete = true;
        return;
    }
    req->reported = arena_alloc(req->arena, req->env.rcpt_len + 1);
    handler(d, req, arg);
    for (size_t i = 0; i < req->env.rcpt_len; i++) {
        if (!req->reported[i]) {
            msg_warn("%s: no result for recipient <%s>", req->queue_id,
                     req->env.rcpts[i].address);
            req->reply->incomplete = true;
        }
    }
    close(req->fd);
}

static enum stream_status send_reply(struct stream *stream, uint32_t id,
                                     const struct deliver_reply *reply)
{
    struct strbuf sb = STRBUF_INIT;
    enum stream_status status;
    size_t mark = frame_begin(&sb, id);

    deliver_reply_to_frame(reply, &sb);
    frame_end(&sb, mark);
    status = ipc_write_frames(stream, &sb);
    if (status == STREAM_OK)
        status = stream_flush(stream);
    strbuf_free(&sb);
    return status;
}

static const struct dsn no_dsn = {.status = "2.0.0",
                                  .action = "",
                                  .reason = "",
                                  .diag_type = "",
                                  .diag_text = "",
                                  .mta_type = "",
                                  .mta_name = ""};

void deliver_serve(struct deliver *d, struct stream *stream,
                   bool (*wait)(struct service *svc, struct stream *stream),
                   struct service *svc,
                   void (*handler)(struct deliver *d, struct deliver_request *req,
                                   void *arg),
                   void *arg)
{
    struct arena *arena = arena_new();
    struct frame frame;

    if (ipc_read_preamble(stream) == STREAM_OK) {
        while (wait(svc, stream) && ipc_read_frame(stream, &frame) == STREAM_OK) {
            struct deliver_reply reply = {.dsn = no_dsn};
            struct deliver_request req = {0};
            const char *missing;

            req.arena = arena;
            req.reply = &reply;
            if (!deliver_request_from_frame(frame.body, arena, &req, &missing)) {
                msg_warn("delivery request without attribute %s", missing);
                break;
            }
            handle_request(d, &req, handler, arg);
            if (send_reply(stream, frame.id, &reply) != STREAM_OK)
                break;
            arena_reset(arena);
        }
    }
    arena_free(arena);
    stream_free(stream);
}

static void put_time(struct strbuf *sb, const char *name, const struct timeval *tv)
{
    frame_num(sb, name, (int64_t)tv->tv_sec * 1000000 + tv->tv_usec);
}

static struct timeval want_time(struct frame_reader *r, const char *name)
{
    int64_t us = frame_want_num(r, name);

    return (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

void deliver_request_to_frame(const struct deliver_request *req, struct strbuf *sb)
{
    frame_num(sb, "flags", req->flags);
    frame_str(sb, "queue_name", req->queue_name);
    frame_str(sb, "queue_id", req->queue_id);
    frame_str(sb, "nexthop", req->nexthop);
    put_time(sb, "active_arrival", &req->active_arrival);
    put_time(sb, "agent_handoff", &req->agent_handoff);
    envelope_to_frame(&req->env, sb);
}

bool deliver_request_from_frame(struct span body, struct arena *arena,
                                struct deliver_request *req, const char **missing_out)
{
    struct frame_reader r = frame_reader(body);

    req->flags = (int)frame_want_num(&r, "flags");
    req->queue_name = arena_span_str(arena, frame_want_span(&r, "queue_name"));
    req->queue_id = arena_span_str(arena, frame_want_span(&r, "queue_id"));
    req->nexthop = arena_span_str(arena, frame_want_span(&r, "nexthop"));
    req->active_arrival = want_time(&r, "active_arrival");
    req->agent_handoff = want_time(&r, "agent_handoff");
    *missing_out = r.missing;
    return !r.missing && envelope_from_frame(body, arena, &req->env, missing_out);
}

void deliver_reply_to_frame(const struct deliver_reply *reply, struct strbuf *sb)
{
    frame_num(sb, "incomplete", reply->incomplete);
    frame_num(sb, "bounced", reply->bounced);
    frame_num(sb, "traced", reply->traced);
    frame_num(sb, "site_failed", reply->site_failed);
    dsn_to_frame(&reply->dsn, sb);
}

bool deliver_reply_from_frame(struct span body, struct arena *arena,
                              struct deliver_reply *reply_out, const char **missing_out)
{
    struct frame_reader r = frame_reader(body);

    reply_out->incomplete = frame_want_num(&r, "incomplete") != 0;
    reply_out->bounced = frame_opt_num(&r, "bounced", 1) != 0;
    reply_out->traced = frame_opt_num(&r, "traced", 1) != 0;
    reply_out->site_failed = frame_want_num(&r, "site_failed") != 0;
    *missing_out = r.missing;
    return !r.missing && dsn_from_frame(body, arena, &reply_out->dsn, missing_out);
}
