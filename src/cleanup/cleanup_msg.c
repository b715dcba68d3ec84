#include "cleanup/cleanup.h"

#include <errno.h>

#include "global/envelope_field.h"
#include "global/event.h"
#include "util/msg.h"

struct cleanup_msg *cleanup_msg_open(struct cleanup_service *cs, struct arena *arena,
                                     struct cleanup_out *out, int flags)
{
    struct cleanup_msg *msg;

    if (!cleanup_out_open(out, QUEUE_INCOMING)) {
        msg_warn("create file %s: %s", QUEUE_INCOMING, strerror(errno));
        return NULL;
    }
    msg = arena_alloc(arena, sizeof *msg);
    msg->cs = cs;
    msg->arena = arena;
    msg->out = out;
    msg->flags = flags;
    msg->reason = msg->dsn = "";
    envelope_init(&msg->env);
    msg->env.arrival = out->time;
    msg->env.create_time = (int64_t)out->time.tv_sec;
    if (flags & CLEANUP_SMTPUTF8)
        msg->env.sendopts |= SENDOPT_SMTPUTF8;
    if (flags & CLEANUP_REQUIRETLS)
        msg->env.sendopts |= SENDOPT_REQUIRETLS;
    hash_init(&msg->duplicates, true);
    strbuf_init(&msg->header);
    strbuf_init(&msg->scratch);
    return msg;
}

void cleanup_msg_free(struct cleanup_msg *msg)
{
    hash_free(&msg->duplicates);
    strbuf_free(&msg->header);
    strbuf_free(&msg->scratch);
    arena_free(msg->header_arena);
}

void cleanup_fail(struct cleanup_msg *msg, int status, const char *dsn,
                  const char *reason)
{
    if (!msg->reason[0]) {
        msg->reason = arena_str(msg->arena, reason);
        msg->dsn = arena_str(msg->arena, dsn);
    }
    msg->status |= status;
}

/* Nothing more to do but to say so. A message that we return ourselves must be read
 * to its end, because recipients may stand behind the content. */
static bool is_hopeless(const struct cleanup_msg *msg)
{
    const int temporary = CLEANUP_STAT_BAD | CLEANUP_STAT_WRITE | CLEANUP_STAT_DEFER;

    return msg->status && (!(msg->flags & CLEANUP_BOUNCE) || (msg->status & temporary));
}

static void one_record(struct cleanup_msg *msg, struct span *input)
{
    struct span data;
    int type = rec_next(input, &data);

    if (type < 0) {
        msg_warn("%s: malformed record from client", msg->out->id);
        cleanup_fail(msg, CLEANUP_STAT_BAD, "4.3.0", "");
        return;
    }
    switch (msg->stage) {
    case CLEANUP_ENVELOPE:
        cleanup_envelope_record(msg, type, data);
        break;
    case CLEANUP_HEADER:
        cleanup_header_record(msg, type, data);
        break;
    default:
        cleanup_trailer_record(msg, type, data);
        break;
    }
}

static void check_size(struct cleanup_msg *msg)
{
    int64_t limit = msg->cs->cfg->message_size_limit;

    if (limit == 0 || cleanup_out_offset(msg->out) <= limit ||
        (msg->status & CLEANUP_STAT_SIZE))
        return;
    msg_warn("%s: queue file size limit exceeded", msg->out->id);
    cleanup_fail(msg, CLEANUP_STAT_SIZE, "", "");
}

void cleanup_msg_records(struct cleanup_msg *msg, struct span records)
{
    while (records.len > 0 && !is_hopeless(msg)) {
        if (msg->stage == CLEANUP_BODY)
            cleanup_body_records(msg, &records);
        else
            one_record(msg, &records);
    }
    if (is_hopeless(msg))
        return;
    check_size(msg);
    cleanup_out_relax(msg->out);
}

static void write_failed(struct cleanup_msg *msg)
{
    msg_warn("%s: write queue file: %s", msg->out->id, strerror(msg->out->error));
    cleanup_fail(msg, CLEANUP_STAT_WRITE, "4.3.0", "");
}

static void complete_envelope(struct cleanup_msg *msg)
{
    struct envelope *env = &msg->env;

    env->rcpt_count = msg->rcpt_total;
    env->content_size = env->data_size;
    env->qmgr_opts = msg->notify_seen << 1;
}

/* From here on the message is ours: it is on disk before anybody hears of it. */
static void accept_message(struct cleanup_msg *msg)
{
    struct cleanup_out *out = msg->out;
    bool hold = msg->flags & CLEANUP_HOLD;

    if (!cleanup_out_finish(out, &msg->env) ||
        (hold && !cleanup_out_move(out, QUEUE_HOLD)) || !cleanup_out_seal(out)) {
        write_failed(msg);
        cleanup_out_remove(out);
        return;
    }
    cleanup_out_close(out);
    if (!hold)
        cleanup_notify(msg->cs->notifier, out->queue_name, out->id, &msg->env);
}

/* The client of a message that we return ourselves learns of temporary trouble only. */
static void refuse_message(struct cleanup_msg *msg)
{
    if (msg->flags & CLEANUP_BOUNCE && !is_hopeless(msg)) {
        bool returned = cleanup_out_finish(msg->out, &msg->env) && cleanup_bounce(msg);

        if (!returned)
            msg_warn("%s: message could not be returned to its sender", msg->out->id);
        msg->status = returned ? CLEANUP_STAT_OK : CLEANUP_STAT_DEFER;
        msg->reason = msg->dsn = "";
    }
    cleanup_out_remove(msg->out);
}

void cleanup_msg_commit(struct cleanup_msg *msg)
{
    if (!is_hopeless(msg) && msg->stage != CLEANUP_END) {
        msg_warn("%s: message from client ends early", msg->out->id);
        cleanup_fail(msg, CLEANUP_STAT_BAD, "4.3.0", "");
    }
    if (!msg->status && msg->rcpt_total == 0)
        cleanup_fail(msg, CLEANUP_STAT_RCPT, "", "");
    complete_envelope(msg);
    if (msg->status) {
        refuse_message(msg);
    } else if (msg->flags & CLEANUP_DISCARD) {
        event_dropped(msg->out->id, "discarded");
        cleanup_out_remove(msg->out);
    } else {
        accept_message(msg);
    }
}

void cleanup_msg_cancel(struct cleanup_msg *msg)
{
    event_dropped(msg->out->id, "canceled");
    cleanup_out_remove(msg->out);
}
