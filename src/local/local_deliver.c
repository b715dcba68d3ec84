/* One delivery request: every recipient, one after the other. */
#include "local/local.h"

#include "util/timefmt.h"

struct seen {
    struct hash_node node;
};

bool local_first_time(struct local_delivery *ld, const char *key)
{
    struct seen *seen;

    if (hash_find(&ld->seen, span_str(key)))
        return false;
    if (ld->agent->duplicate_limit > 0 && ld->seen.count >= ld->agent->duplicate_limit)
        return true;
    seen = arena_alloc(ld->arena, sizeof *seen);
    hash_insert(&ld->seen, &seen->node, span_str(arena_str(ld->arena, key)));
    return true;
}

struct mailbox_message local_message(struct local_delivery *ld,
                                     const struct local_step *step, bool delivered_to)
{
    struct mailbox_message message = {.fd = ld->req->fd,
                                      .data_offset = ld->req->env.data_offset,
                                      .sender = step->sender,
                                      .when = time_now()};

    if (*step->rcpt.orig && ld->agent->cfg->enable_original_recipient)
        message.original_to = step->rcpt.orig;
    if (delivered_to)
        message.delivered_to = step->delivered_to;
    return message;
}

/* -- Delivered-To: headers: who forwarded this before -- */

static void note_delivered_to(struct local_delivery *ld, struct span value)
{
    struct strbuf internal = STRBUF_INIT;
    struct seen *seen;
    struct span key;

    addr_unquote(&internal, span_trim(value));
    key = arena_span_lower(ld->arena, strbuf_span(&internal));
    strbuf_free(&internal);
    if (key.len == 0 || hash_find(&ld->loops, key))
        return;
    seen = arena_alloc(ld->arena, sizeof *seen);
    hash_insert(&ld->loops, &seen->node, key);
}

static void read_delivered_to(struct local_delivery *ld)
{
    static const struct span name = SPAN_LIT("Delivered-To:");
    struct rec_reader reader;
    struct span line;
    bool at_start = true;
    int type;

    rec_reader_init(&reader, ld->req->fd);
    rec_reader_seek(&reader, ld->req->env.data_offset);
    while ((type = rec_read(&reader, &line)) > 0 && type != REC_EXTRACTED) {
        if (type != REC_LINE && type != REC_FILTER_OR_CONT)
            continue;
        if (at_start && line.len == 0 && type == REC_LINE)
            break; /* the headers end */
        if (at_start && span_istarts(line, name))
            note_delivered_to(ld, span_skip(line, name.len));
        at_start = type == REC_LINE;
    }
    rec_reader_free(&reader);
}

/* -- recipients -- */

static void deliver_one(struct local_delivery *ld)
{
    const struct recipient *rcpt = &ld->req->env.rcpts[ld->index];
    struct local_step step = {
        .rcpt = *rcpt, .sender = ld->req->env.sender, .carry = ""};

    hash_init(&ld->seen, false);
    list_init(&ld->forwards);
    ld->expanded = ld->unfinished = false;
    ld->parts = 0;
    if (!*rcpt->orig)
        step.rcpt.orig = rcpt->address;
    local_step_set(ld, &step, rcpt->address);
    step.delivered_to = step.rcpt.address;
    local_recipient(ld, &step);
    local_forward_flush(ld, &step);
    if (ld->parts == 0) /* mail never ends without a trace */
        local_report(ld, &step, "4.3.5", "", "no destination was found");
    deliver_parts_done(ld->req, ld->index, !ld->unfinished);
    hash_free(&ld->seen);
}

void local_deliver(struct deliver *deliver, struct deliver_request *req, void *arg)
{
    struct local_delivery ld = {.agent = arg, .req = req, .arena = req->arena};

    (void)deliver;
    hash_init(&ld.loops, false);
    read_delivered_to(&ld);
    for (ld.index = 0; ld.index < req->env.rcpt_len; ld.index++)
        deliver_one(&ld);
    hash_free(&ld.loops);
}
