/* The service: requests of delivery agents and qmgr (global/bounce_client.h). */
#include "bounce/bounce.h"

#include <fcntl.h>
#include <unistd.h>

#include "global/addr.h"
#include "global/event.h"
#include "global/post_mail.h"
#include "util/ipc.h"
#include "util/msg.h"

/* Has the postmaster asked for copies of this class (notify_classes)? */
static bool postmaster_wants(const struct bounce_service *bs, const char *class)
{
    struct span rest = span_str(bs->cfg->notify_classes), item;

    while (span_token(&rest, ", \t\r\n", &item))
        if (span_ieq_str(item, class))
            return true;
    return false;
}

static const char *double_bounce_address(struct bounce_message *msg)
{
    const struct config *cfg = msg->bs->cfg;

    return arena_printf(msg->arena, "%s@%s", cfg->double_bounce_sender, cfg->myorigin);
}

static bool from_double_bounce(struct bounce_message *msg)
{
    struct span local, domain;

    addr_split(span_str(msg->env.sender), &local, &domain);
    return span_ieq_str(local, msg->bs->cfg->double_bounce_sender);
}

static bool send_one(struct bounce_message *msg, enum bounce_kind kind,
                     const char *sender, const char *recipient, bool to_postmaster,
                     const char *event)
{
    char id[QUEUE_ID_MAX];

    if (!bounce_send(msg, kind, sender, recipient, to_postmaster, id))
        return false;
    event_notification(msg->queue_id, event, id);
    return true;
}

static bool speaks_of_any(const struct bounce_message *msg, int wanted)
{
    for (size_t i = 0; i < msg->count; i++) {
        int notify = msg->entries[i].rcpt.notify;

        if (notify == 0 || (notify & wanted))
            return true;
    }
    return false;
}

/* Undeliverable mail. A notification that cannot be delivered is not answered with
 * another one (RFC 5321, 4.5.5): the postmaster may see it. */
static bool notify_failure(struct bounce_message *msg)
{
    const struct config *cfg = msg->bs->cfg;
    bool ok = true;

    if (!speaks_of_any(msg, NOTIFY_FAILURE))
        return true;
    if (from_double_bounce(msg)) {
        msg_warn("%s: undeliverable postmaster notification discarded", msg->queue_id);
        return true;
    }
    if (!*msg->env.sender) {
        if (!postmaster_wants(msg->bs, "2bounce"))
            return true;
        return send_one(msg, KIND_FAILURE, double_bounce_address(msg),
                        cfg->p_2bounce_notice_recipient, true,
                        "postmaster non-delivery notification");
    }
    ok = send_one(msg, KIND_FAILURE, "", msg->env.sender, false,
                  "sender non-delivery notification");
    if (ok && postmaster_wants(msg->bs, "bounce"))
        send_one(msg, KIND_FAILURE, double_bounce_address(msg),
                 cfg->bounce_notice_recipient, true,
                 "postmaster non-delivery notification");
    return ok;
}

static bool notify_delay(struct bounce_message *msg)
{
    const struct config *cfg = msg->bs->cfg;
    bool ok;

    if (!*msg->env.sender || from_double_bounce(msg) ||
        !speaks_of_any(msg, NOTIFY_DELAY))
        return true;
    ok = send_one(msg, KIND_DELAY, "", msg->env.sender, false,
                  "sender delay notification");
    if (ok && postmaster_wants(msg->bs, "delay"))
        send_one(msg, KIND_DELAY, double_bounce_address(msg),
                 cfg->delay_notice_recipient, true, "postmaster delay notification");
    return ok;
}

static bool notify_trace(struct bounce_message *msg)
{
    enum bounce_kind kind = msg->env.trace_flags & (TRACE_USER_VERIFY | TRACE_RECORD)
                                ? KIND_VERIFY
                                : KIND_SUCCESS;

    if (!*msg->env.sender || from_double_bounce(msg))
        return true;
    return send_one(msg, kind, "", msg->env.sender, false,
                    "sender delivery status notification");
}

static bool notify(struct bounce_message *msg, int kind)
{
    switch (kind) {
    case BOUNCE_FLUSH:
    case BOUNCE_ONE:
    case BOUNCE_VERP:
        return notify_failure(msg);
    case BOUNCE_WARN:
        return notify_delay(msg);
    case BOUNCE_TRACE:
        return notify_trace(msg);
    }
    return false;
}

static bool parse_recipient(struct span body, struct arena *arena,
                            struct recipient *rcpt, const char **missing)
{
    struct frame_reader r = frame_reader(body);

    rcpt->address = arena_span_str(arena, frame_want_span(&r, "recipient"));
    rcpt->orig = arena_span_str(arena, frame_opt_span(&r, "original_recipient"));
    rcpt->dsn_orcpt = arena_span_str(arena, frame_opt_span(&r, "dsn_orig_rcpt"));
    rcpt->notify = (int)frame_opt_num(&r, "notify_flags", 0);
    rcpt->offset = frame_opt_num(&r, "offset", 0);
    *missing = r.missing;
    return !r.missing;
}

static bool parse_entry(struct frame_reader *r, struct arena *arena,
                        struct bounce_entry *entry, const char **missing)
{
    struct span rcpt = frame_want_span(r, "recipient");
    struct span dsn = frame_want_span(r, "dsn");

    *missing = r->missing;
    return !r->missing && frame_group_check(rcpt) && frame_group_check(dsn) &&
           parse_recipient(rcpt, arena, &entry->rcpt, missing) &&
           dsn_from_frame(dsn, arena, &entry->dsn, missing);
}

static const char *want_queue_id(struct frame_reader *r, struct arena *arena)
{
    struct span id = frame_want_span(r, "queue_id");

    if (!r->missing && !queue_id_valid(id))
        r->missing = "queue_id";
    return arena_span_str(arena, id);
}

static bool append(struct bounce_service *bs, struct frame_reader *r,
                   struct arena *arena, const char **missing)
{
    struct bounce_entry entry;
    const char *id = want_queue_id(r, arena);

    return parse_entry(r, arena, &entry, missing) &&
           bounce_log_append(&bs->queue, bs->log_queue, id, &entry);
}

static bool is_queue_name(const char *name)
{
    static const char *const names[] = {QUEUE_ACTIVE, QUEUE_INCOMING, QUEUE_DEFERRED,
                                        QUEUE_HOLD};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static bool parse_message(struct bounce_message *msg, struct frame_reader *r,
                          const char **missing)
{
    struct span env;

    msg->queue_id = want_queue_id(r, msg->arena);
    msg->queue_name = arena_span_str(msg->arena, frame_want_span(r, "queue_name"));
    env = frame_want_span(r, "envelope");
    if (!r->missing && !is_queue_name(msg->queue_name))
        r->missing = "queue_name";
    *missing = r->missing;
    return !r->missing && frame_group_check(env) &&
           envelope_from_frame(env, msg->arena, &msg->env, missing);
}

/* Recipients that were returned with an expired message are done. */
static void mark_recipients_done(const struct bounce_message *msg)
{
    for (size_t i = 0; i < msg->count; i++) {
        int64_t offset = msg->entries[i].rcpt.offset;
        char type;

        if (offset <= 0 || pread(msg->fd, &type, 1, offset) != 1 || type != REC_RCPT)
            continue;
        type = REC_DONE;
        if (pwrite(msg->fd, &type, 1, offset) != 1)
            msg_warn("%s: cannot mark a recipient as done", msg->queue_id);
    }
}

static bool handle_message(struct bounce_message *msg, int kind, int flags,
                           struct frame_reader *r, const char **missing)
{
    bool ok;

    if (!parse_message(msg, r, missing))
        return false;
    if (kind == BOUNCE_ONE) {
        msg->entries = arena_alloc(msg->arena, sizeof *msg->entries);
        msg->count = 1;
        if (!parse_entry(r, msg->arena, msg->entries, missing))
            return false;
        if (!*msg->entries->rcpt.orig)
            msg->entries->rcpt.orig = msg->entries->rcpt.address;
    } else if (!bounce_log_read(&msg->bs->queue, msg->bs->log_queue, msg->queue_id,
                                msg->arena, &msg->entries, &msg->count)) {
        /* Nothing to tell: a failure may be all that is left, without its log. */
        return kind == BOUNCE_WARN || kind == BOUNCE_TRACE;
    }
    msg->fd = queue_open(&msg->bs->queue, msg->queue_name, msg->queue_id,
                         flags & BOUNCE_FLAG_DELRCPT ? O_RDWR : O_RDONLY);
    ok = notify(msg, kind);
    if (ok && (flags & BOUNCE_FLAG_DELRCPT) && msg->fd >= 0)
        mark_recipients_done(msg);
    if (ok && (flags & BOUNCE_FLAG_CLEAN) && kind != BOUNCE_ONE)
        bounce_log_remove(&msg->bs->queue, msg->bs->log_queue, msg->queue_id);
    if (msg->fd >= 0)
        close(msg->fd);
    return ok;
}

static bool handle(struct bounce_service *bs, struct span body, struct arena *arena)
{
    struct bounce_message msg = {.bs = bs, .arena = arena, .fd = -1};
    struct frame_reader r = frame_reader(body);
    int kind = (int)frame_want_num(&r, "request");
    int flags = (int)frame_want_num(&r, "flags");
    const char *missing = r.missing;
    bool ok = false;

    if (!missing)
        ok = kind == BOUNCE_APPEND ? append(bs, &r, arena, &missing)
                                   : handle_message(&msg, kind, flags, &r, &missing);
    if (missing)
        msg_warn("request without a valid %s", missing);
    return ok;
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    struct arena *arena = arena_new();
    struct frame frame;

    (void)peer;
    if (ipc_read_preamble(stream) == STREAM_OK) {
        while (service_session_wait(svc, stream) &&
               ipc_read_frame(stream, &frame) == STREAM_OK) {
            struct strbuf reply = STRBUF_INIT;
            uint32_t id = frame.id;
            /* The body is borrowed from the stream: writing notifications waits. */
            struct span body = arena_span(arena, frame.body);
            bool ok = handle(svc->data, body, arena);
            size_t mark = frame_begin(&reply, id);
            enum stream_status st;

            frame_num(&reply, "status", ok ? 0 : 1);
            frame_end(&reply, mark);
            st = ipc_write_frames(stream, &reply);
            if (st == STREAM_OK)
                st = stream_flush(stream);
            strbuf_free(&reply);
            arena_reset(arena);
            if (st != STREAM_OK)
                break;
        }
    }
    arena_free(arena);
    stream_free(stream);
}

static const char *log_queue(const struct service *svc)
{
    if (strcmp(svc->name, svc->cfg->defer_service_name) == 0)
        return QUEUE_DEFER;
    if (strcmp(svc->name, svc->cfg->trace_service_name) == 0)
        return QUEUE_TRACE;
    return QUEUE_BOUNCE;
}

static void pre_jail(struct service *svc)
{
    struct bounce_service *bs = arena_alloc(svc->arena, sizeof *bs);

    bs->cfg = svc->cfg;
    bs->arena = svc->arena;
    bs->log_queue = log_queue(svc);
    queue_init(&bs->queue, svc->cfg, svc->arena);
    bs->cleanup = cleanup_client_new(svc->cfg);
    bounce_templates_init(bs);
    svc->data = bs;
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "bounce", .pre_jail = pre_jail, .session = session};

    return service_main(argc, argv, &ops);
}
