#include "cleanup/cleanup.h"

#include "global/envelope_field.h"
#include "util/msg.h"

static void protocol_error(struct cleanup_msg *msg, const char *what)
{
    msg_warn("%s: %s", msg->out->id, what);
    cleanup_fail(msg, CLEANUP_STAT_BAD, "4.3.0", "");
}

static void reset_next(struct cleanup_msg *msg)
{
    msg->next = (struct recipient){.address = "", .orig = "", .dsn_orcpt = ""};
}

/* The arrival time comes first, and right behind it when the file was made. */
static void need_time(struct cleanup_msg *msg)
{
    struct strbuf *sb = &msg->out->buf;
    struct strbuf text = STRBUF_INIT;

    if (msg->have_time)
        return;
    msg->have_time = true;
    reset_next(msg);
    rec_addf(sb, REC_TIME, "%lld %ld", (long long)msg->env.arrival.tv_sec,
             (long)msg->env.arrival.tv_usec);
    strbuf_addf(&text, "%lld", (long long)msg->env.create_time);
    rec_add_attr(sb, "create_time", strbuf_span(&text));
    strbuf_free(&text);
}

static void time_record(struct cleanup_msg *msg, struct span data)
{
    struct span sec = span_cut(&data, ' ');
    int64_t value;

    if (msg->have_time)
        return;
    if (!span_i64(sec, &value) || value <= 0) {
        protocol_error(msg, "malformed time record");
        return;
    }
    msg->env.arrival.tv_sec = (time_t)value;
    msg->env.arrival.tv_usec = 0;
    if (span_i64(data, &value) && value >= 0 && value < 1000000)
        msg->env.arrival.tv_usec = (suseconds_t)value;
    need_time(msg);
}

static void sender_record(struct cleanup_msg *msg, struct span data)
{
    const char *sender;

    if (msg->have_sender) {
        protocol_error(msg, "more than one sender record");
        return;
    }
    msg->have_sender = true;
    sender = cleanup_complete_envelope(msg, data);
    sender = cleanup_canonical(msg, sender, CLASS_ENVELOPE_SENDER);
    if (!sender)
        return;
    msg->env.sender = sender;
    rec_add_str(&msg->out->buf, REC_SENDER, sender);
    cleanup_sender_bcc(msg);
}

/* Values of attributes that are numbers and matter to others than us. */
static void note_number(struct cleanup_msg *msg, struct span name, struct span value)
{
    static const struct {
        struct span name;
        size_t offset;
    } fields[] = {
        {{"ret_flags", 9}, offsetof(struct envelope, ret)},
        {{"trace_flags", 11}, offsetof(struct envelope, trace_flags)},
        {{"sendopts", 8}, offsetof(struct envelope, sendopts)},
    };
    uint32_t number;

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (span_eq(name, fields[i].name) && span_u32(value, &number))
            *(int *)(void *)((char *)&msg->env + fields[i].offset) |=
                (int)(number & 0xffff);
}

static bool attr_is_clean(struct span name, struct span value)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == 127)
            return false;
    return name.len > 0 && (value.len == 0 || !memchr(value.ptr, '\0', value.len));
}

/* Attributes of the next recipient are kept until it comes. */
static bool recipient_attr(struct cleanup_msg *msg, struct span name, struct span value)
{
    uint32_t number;

    if (span_eq_str(name, "dsn_orig_rcpt")) {
        msg->next.dsn_orcpt = arena_span_str(msg->arena, value);
        return true;
    }
    if (span_eq_str(name, "notify_flags")) {
        msg->next.notify = span_u32(value, &number) && number <= 15 ? (int)number : 0;
        return true;
    }
    return false;
}

static void store_attr(struct cleanup_msg *msg, const char *name, struct span value)
{
    const struct envelope_text *text;

    if (++msg->attr_count > (size_t)msg->cs->cfg->queue_file_attribute_count_limit) {
        protocol_error(msg, "attribute count exceeds limit");
        return;
    }
    text = envelope_text_find(span_str(name));
    if (text && text->file_attr)
        *envelope_text_slot(&msg->env, text) = arena_span_str(msg->arena, value);
    note_number(msg, span_str(name), value);
    if (strcmp(name, "trace_flags") == 0)
        msg->env.trace_offset = cleanup_out_offset(msg->out);
    rec_add_attr(&msg->out->buf, name, value);
}

static void attr_record(struct cleanup_msg *msg, struct span data)
{
    struct span name = span_cut(&data, '=');

    if (!data.ptr || !attr_is_clean(name, data)) {
        protocol_error(msg, "malformed attribute record");
        return;
    }
    if (recipient_attr(msg, name, data) || span_eq_str(name, "create_time"))
        return;
    if (span_eq_str(name, "sendopts"))
        note_number(msg, name, data); /* goes into the size record */
    else
        store_attr(msg, arena_span_str(msg->arena, name), data);
}

static void copy_record(struct cleanup_msg *msg, int type, struct span data,
                        const char **slot)
{
    *slot = arena_span_str(msg->arena, data);
    rec_add(&msg->out->buf, type, data);
}

/* smtpd's access tables decide to hold or discard a message at any recipient. */
static void flags_record(struct cleanup_msg *msg, struct span data)
{
    uint32_t flags;

    if (span_u32(data, &flags))
        msg->flags |= (int)flags & (CLEANUP_HOLD | CLEANUP_DISCARD);
}

/* What stands in front of a recipient, in older record form. True if it was that. */
static bool recipient_part(struct cleanup_msg *msg, int type, struct span data)
{
    switch (type) {
    case REC_ORIG_RCPT:
        msg->next.orig = arena_span_str(msg->arena, data);
        return true;
    case REC_DSN_ORCPT:
        return recipient_attr(msg, SPAN_LIT("dsn_orig_rcpt"), data);
    case REC_DSN_NOTIFY:
        return recipient_attr(msg, SPAN_LIT("notify_flags"), data);
    case REC_RCPT:
        cleanup_recipient(msg, data);
        reset_next(msg);
        return true;
    case REC_DONE:
    case REC_CANCELLED:
        reset_next(msg); /* of a requeued file: nothing to do for it */
        return true;
    }
    return false;
}

/* Delay warnings are for people: not for returned mail. */
void cleanup_envelope_end(struct cleanup_msg *msg)
{
    int64_t delay = msg->cs->cfg->delay_warning_time;

    if (msg->env.warn_time || delay <= 0 || !msg->env.sender[0])
        return;
    msg->env.warn_time = (int64_t)msg->env.arrival.tv_sec + delay;
    msg->env.warn_offset = cleanup_out_offset(msg->out);
    rec_addf(&msg->out->buf, REC_WARN_TIME, "%15lld", (long long)msg->env.warn_time);
}

static void begin_content(struct cleanup_msg *msg)
{
    if (!msg->have_sender) {
        protocol_error(msg, "no sender record before the content");
        return;
    }
    cleanup_envelope_end(msg);
    reset_next(msg);
    rec_add(&msg->out->buf, REC_MESSAGE, SPAN_EMPTY);
    msg->env.data_offset = cleanup_out_offset(msg->out);
    msg->stage = CLEANUP_HEADER;
}

void cleanup_envelope_record(struct cleanup_msg *msg, int type, struct span data)
{
    struct envelope *env = &msg->env;

    if (type == REC_TIME) {
        time_record(msg, data);
        return;
    }
    need_time(msg);
    if (recipient_part(msg, type, data))
        return;
    switch (type) {
    case REC_ATTR:
        attr_record(msg, data);
        break;
    case REC_SENDER:
        sender_record(msg, data);
        break;
    case REC_FULL_NAME:
        copy_record(msg, type, data, &env->full_name);
        break;
    case REC_FILTER_OR_CONT:
        copy_record(msg, type, data, &env->filter);
        break;
    case REC_REDIRECT:
        copy_record(msg, type, data, &env->redirect);
        break;
    case REC_VERP:
        copy_record(msg, type, data, &env->verp);
        break;
    case REC_DSN_ENVID:
        store_attr(msg, "envelope_id", data);
        break;
    case REC_DSN_RET:
        store_attr(msg, "ret_flags", data);
        break;
    case REC_MESSAGE:
        begin_content(msg);
        break;
    case REC_SIZE: /* made anew here */
    case REC_CTIME:
    case REC_WARN_TIME:
    case REC_KILLED:
    case REC_INSPECT:
        break;
    case REC_FLAGS:
        flags_record(msg, data);
        break;
    default:
        protocol_error(msg, "unexpected record in the envelope");
        break;
    }
}

void cleanup_trailer_begin(struct cleanup_msg *msg)
{
    struct strbuf *sb = &msg->out->buf;
    const char *encoding = msg->encoding ? msg->encoding : msg->env.encoding;

    msg->env.data_size = cleanup_out_offset(msg->out) - msg->env.data_offset;
    msg->stage = CLEANUP_TRAILER;
    rec_add(sb, REC_EXTRACTED, SPAN_EMPTY);
    if (msg->message_id && msg->cs->cfg->enable_threaded_bounces)
        rec_add_attr(sb, "message_id", span_str(msg->message_id));
    if (msg->message_id)
        msg->env.message_id = msg->message_id;
    if (encoding[0])
        rec_add_attr(sb, "encoding", span_str(encoding));
    msg->env.encoding = encoding;
}

void cleanup_trailer_record(struct cleanup_msg *msg, int type, struct span data)
{
    if (msg->stage == CLEANUP_END) {
        protocol_error(msg, "record behind the end of the message");
        return;
    }
    if (recipient_part(msg, type, data))
        return;
    switch (type) {
    case REC_ATTR:
        attr_record(msg, data);
        break;
    case REC_FILTER_OR_CONT:
        copy_record(msg, type, data, &msg->env.filter);
        break;
    case REC_REDIRECT:
        copy_record(msg, type, data, &msg->env.redirect);
        break;
    case REC_END:
        cleanup_always_bcc(msg);
        rec_add(&msg->out->buf, REC_END, SPAN_EMPTY);
        msg->stage = CLEANUP_END;
        break;
    case REC_RETURN_RECEIPT: /* obsolete */
    case REC_ERRORS_TO:
    case REC_PRIORITY:
    case REC_FULL_NAME:
    case REC_INSPECT:
    case REC_KILLED:
        break;
    default:
        protocol_error(msg, "unexpected record behind the content");
        break;
    }
}
