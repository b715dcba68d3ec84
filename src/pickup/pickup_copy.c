#include "global/event.h"
#include "global/rec.h"
#include "pickup/pickup.h"
#include "util/msg.h"
#include "util/timefmt.h"

struct copy {
    struct pickup *pk;
    const struct pickup_source *src;
    struct cleanup_message *msg;
    struct arena *arena;
    enum copy_stage { COPY_ENVELOPE, COPY_CONTENT, COPY_EXTRACTED, COPY_END } stage;
    bool have_time, have_sender;
    bool line_open; /* an L record without its N */
};

enum copy_verdict { COPY_PASS, COPY_DROP, COPY_REFUSE };

/* Which records users may submit is postdrop's business; these are what its files, and
 * files of the other queues, hold. D, /, and O mark what is done with, or was. */
static bool is_in(int type, const char *set)
{
    return type > 0 && type < 256 && strchr(set, type);
}

#define SUBMIT_ENVELOPE "TFSRVAin"
#define QUEUE_ENVELOPE  SUBMIT_ENVELOPE "CcILDO/WK><o"
#define ENVELOPE_DROP   "CcILK>" /* made anew, or not meant to last */

#define SUBMIT_EXTRACTED "AR"
#define QUEUE_EXTRACTED  SUBMIT_EXTRACTED "DO/PreFILK>on"
#define EXTRACTED_DROP   "PreFILK>"

static enum copy_verdict verdict(int type, const char *allowed, const char *dropped)
{
    if (!is_in(type, allowed))
        return COPY_REFUSE;
    return is_in(type, dropped) ? COPY_DROP : COPY_PASS;
}

static void note_sender(struct copy *c, struct span sender)
{
    c->have_sender = true;
    event_pickup(cleanup_message_id(c->msg), (unsigned)c->src->uid,
                 arena_span_str(c->arena, sender),
                 c->src->requeued ? c->src->id : NULL);
}

static void begin_content(struct copy *c)
{
    const struct config *cfg = c->pk->cfg;
    struct strbuf *sb = cleanup_records(c->msg);
    struct strbuf date = STRBUF_INIT;

    time_rfc5322(&date, (time_t)c->src->time_s);
    rec_add(sb, REC_MESSAGE, SPAN_EMPTY);
    rec_addf(sb, REC_LINE, "Received: by %s (%s, from userid %ld)", cfg->myhostname,
             cfg->mail_name, (long)c->src->uid);
    rec_addf(sb, REC_LINE, "\tid %s; %s", cleanup_message_id(c->msg), date.ptr);
    strbuf_free(&date);
    c->stage = COPY_CONTENT;
}

/* The time comes first; a content filter of the configuration right behind it. */
static void begin_envelope(struct copy *c, struct span time)
{
    struct strbuf *sb = cleanup_records(c->msg);

    if (time.len > 0)
        rec_add(sb, REC_TIME, time);
    else
        rec_addf(sb, REC_TIME, "%lld", (long long)c->src->time_s);
    if (c->pk->cfg->content_filter[0])
        rec_add_str(sb, REC_FILTER_OR_CONT, c->pk->cfg->content_filter);
    c->have_time = true;
}

static enum copy_verdict envelope_record(struct copy *c, int type, struct span data)
{
    if (!c->have_time && type != REC_SIZE)
        begin_envelope(c, type == REC_TIME ? data : SPAN_EMPTY);
    if (type == REC_TIME)
        return COPY_DROP;
    if (type == REC_MESSAGE) {
        if (!c->have_sender)
            return COPY_REFUSE;
        begin_content(c);
        return COPY_DROP;
    }
    if (type == REC_SENDER && !c->have_sender)
        note_sender(c, data);
    return verdict(type, c->src->requeued ? QUEUE_ENVELOPE : SUBMIT_ENVELOPE,
                   ENVELOPE_DROP);
}

/* Content that ends within a line gets the end of that line. */
static void close_line(struct copy *c)
{
    if (c->line_open)
        rec_add(cleanup_records(c->msg), REC_LINE, SPAN_EMPTY);
    c->line_open = false;
}

static enum copy_verdict content_record(struct copy *c, int type)
{
    switch (type) {
    case REC_LINE:
    case REC_FILTER_OR_CONT:
        c->line_open = type == REC_FILTER_OR_CONT;
        return COPY_PASS;
    case REC_PADDING:
        return c->src->requeued ? COPY_DROP : COPY_REFUSE;
    case REC_EXTRACTED:
        close_line(c);
        c->stage = COPY_EXTRACTED;
        return COPY_PASS;
    default:
        return COPY_REFUSE;
    }
}

/* Of a requeued file, what cleanup found out about the content it finds out again. */
static bool is_about_recipient(struct span attr)
{
    return span_starts(attr, SPAN_LIT("notify_flags=")) ||
           span_starts(attr, SPAN_LIT("dsn_orig_rcpt="));
}

static enum copy_verdict extracted_record(struct copy *c, int type, struct span data)
{
    if (type == REC_END) {
        c->stage = COPY_END;
        return COPY_PASS;
    }
    if (type == REC_ATTR && c->src->requeued && !is_about_recipient(data))
        return COPY_DROP;
    return verdict(type, c->src->requeued ? QUEUE_EXTRACTED : SUBMIT_EXTRACTED,
                   EXTRACTED_DROP);
}

static enum copy_verdict one_record(struct copy *c, int type, struct span data)
{
    switch (c->stage) {
    case COPY_ENVELOPE:
        return envelope_record(c, type, data);
    case COPY_CONTENT:
        return content_record(c, type);
    default:
        return extracted_record(c, type, data);
    }
}

static enum pickup_outcome refuse(struct copy *c, const struct rec_reader *r, int type)
{
    if (r->io_errno) {
        msg_warn("read %s: %s", c->src->path, strerror(r->io_errno));
        return PICKUP_RETRY;
    }
    msg_warn("%s: uid=%ld: unexpected or malformed record type %d", c->src->path,
             (long)c->src->uid, type);
    return PICKUP_CORRUPT;
}

static enum pickup_outcome copy_records(struct copy *c, struct rec_reader *r)
{
    struct span data;

    while (c->stage != COPY_END) {
        int type = rec_read(r, &data);

        switch (one_record(c, type, data)) {
        case COPY_PASS:
            rec_add(cleanup_records(c->msg), type, data);
            break;
        case COPY_DROP:
            break;
        case COPY_REFUSE:
            return refuse(c, r, type);
        }
        if (cleanup_send(c->msg, false) != IPC_OK) {
            msg_warn("%s: lost connection with service %s", c->src->path,
                     c->pk->cfg->cleanup_service_name);
            return PICKUP_RETRY;
        }
    }
    return PICKUP_DONE;
}

enum pickup_outcome pickup_copy(struct pickup *pk, const struct pickup_source *src,
                                struct cleanup_message *msg)
{
    struct copy c = {.pk = pk, .src = src, .msg = msg, .arena = arena_new()};
    enum pickup_outcome outcome;
    struct rec_reader r;

    rec_reader_init(&r, src->fd);
    r.follow_pointers = src->requeued;
    outcome = copy_records(&c, &r);
    rec_reader_free(&r);
    arena_free(c.arena);
    return outcome;
}
