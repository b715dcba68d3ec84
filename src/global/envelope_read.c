#include "global/envelope.h"

#include "global/envelope_field.h"

#define RCPT_FIRST_CAP 8

/* One pass over the envelope records of a file. */
struct reading {
    struct rec_reader file;
    struct arena *arena;
    struct envelope *env;
    size_t max_rcpts; /* SIZE_MAX: all */
    size_t rcpt_cap;
    struct recipient next; /* what stood in front of the next recipient */
    int64_t next_start;    /* offset of the first of that; 0: nothing yet */
    bool first_pass;       /* whole envelope wanted, not just more recipients */
    bool have_time, have_sender, in_extracted;
    const char *why; /* of a corrupt file */
};

static bool corrupt(struct reading *rd, const char *why)
{
    rd->why = why;
    return false;
}

static int64_t number(struct span text, int64_t max)
{
    int64_t value;

    if (!span_i64(span_trim(text), &value) || value < 0 || value > max)
        return -1;
    return value;
}

/* C: six numbers; older versions wrote fewer of them. */
static bool size_record(struct reading *rd, struct span data)
{
    int64_t fields[6] = {0};
    struct span token;

    for (size_t i = 0; i < ARRAY_LEN(fields) && span_token(&data, " ", &token); i++)
        if ((fields[i] = number(token, INT64_MAX / 2)) < 0)
            return corrupt(rd, "malformed size record");
    if (fields[1] > rd->file.file_size || fields[0] > rd->file.file_size - fields[1])
        return corrupt(rd, "size record points beyond the file");
    rd->env->data_size = fields[0];
    rd->env->data_offset = fields[1];
    rd->env->rcpt_count = fields[2];
    rd->env->qmgr_opts = (int)(fields[3] & 0xffff);
    rd->env->content_size = fields[4] ? fields[4] : fields[0];
    rd->env->sendopts = (int)(fields[5] & 0xffff);
    return true;
}

static bool time_record(struct reading *rd, struct span data)
{
    struct span sec, usec;
    int64_t value;

    if (!span_token(&data, " ", &sec) || (value = number(sec, INT64_MAX)) < 0)
        return corrupt(rd, "malformed time record");
    rd->env->arrival.tv_sec = (time_t)value;
    if (span_token(&data, " ", &usec) && (value = number(usec, 999999)) >= 0)
        rd->env->arrival.tv_usec = (suseconds_t)value;
    rd->have_time = true;
    return true;
}

/* Something that belongs to the recipient that follows. */
static void note_recipient_part(struct reading *rd)
{
    if (rd->next_start == 0)
        rd->next_start = rd->file.offset;
}

static void forget_recipient_parts(struct reading *rd)
{
    rd->next = (struct recipient){.address = "", .orig = "", .dsn_orcpt = ""};
    rd->next_start = 0;
}

/* Attributes whose values are numbers. */
static const struct {
    struct span name;
    size_t offset;
    int64_t max;
    bool is_int; /* else int64_t */
} number_attrs[] = {
    {SPAN_LIT("create_time"), offsetof(struct envelope, create_time), INT64_MAX, false},
    {SPAN_LIT("ret_flags"), offsetof(struct envelope, ret), 3, true},
    {SPAN_LIT("trace_flags"), offsetof(struct envelope, trace_flags), 0xffff, true},
    {SPAN_LIT("sendopts"), offsetof(struct envelope, sendopts), 0xffff, true},
};

static bool number_attr(struct reading *rd, struct span name, struct span value)
{
    for (size_t i = 0; i < ARRAY_LEN(number_attrs); i++) {
        char *slot = (char *)rd->env + number_attrs[i].offset;
        int64_t parsed;

        if (!span_eq(name, number_attrs[i].name))
            continue;
        parsed = number(value, number_attrs[i].max);
        if (parsed < 0)
            parsed = 0;
        if (slot == (char *)&rd->env->trace_flags)
            rd->env->trace_offset = rd->file.offset;
        if (number_attrs[i].is_int)
            *(int *)(void *)slot = (int)parsed;
        else
            *(int64_t *)(void *)slot = parsed;
        return true;
    }
    return false;
}

static bool recipient_attr(struct reading *rd, struct span name, struct span value)
{
    int64_t notify;

    if (span_eq_str(name, "dsn_orig_rcpt")) {
        note_recipient_part(rd);
        rd->next.dsn_orcpt = arena_span_str(rd->arena, value);
        return true;
    }
    if (span_eq_str(name, "notify_flags")) {
        note_recipient_part(rd);
        notify = number(value, 15);
        rd->next.notify = notify < 0 ? 0 : (int)notify;
        return true;
    }
    return false;
}

static bool attr_record(struct reading *rd, struct span data)
{
    const struct envelope_text *text;
    struct span name = span_cut(&data, '=');

    if (!data.ptr)
        return corrupt(rd, "malformed attribute");
    if (recipient_attr(rd, name, data) || !rd->first_pass)
        return true;
    if (number_attr(rd, name, data))
        return true;
    text = envelope_text_find(name);
    if (text && text->file_attr)
        *envelope_text_slot(rd->env, text) = arena_span_str(rd->arena, data);
    return true;
}

/* Past the limit: remember where to go on, once. */
static void recipient_beyond_limit(struct reading *rd)
{
    if (rd->env->next_rcpt_offset == 0)
        rd->env->next_rcpt_offset = rd->next_start;
}

static void recipient_record(struct reading *rd, struct span data)
{
    struct envelope *env = rd->env;
    struct recipient *grown;

    note_recipient_part(rd);
    if (env->rcpt_len >= rd->max_rcpts) {
        recipient_beyond_limit(rd);
        return;
    }
    if (env->rcpt_len == rd->rcpt_cap) {
        rd->rcpt_cap = rd->rcpt_cap ? rd->rcpt_cap * 2 : RCPT_FIRST_CAP;
        grown = arena_alloc(rd->arena, rd->rcpt_cap * sizeof *grown);
        if (env->rcpt_len)
            memcpy(grown, env->rcpts, env->rcpt_len * sizeof *grown);
        env->rcpts = grown;
    }
    rd->next.address = arena_span_str(rd->arena, data);
    rd->next.offset = rd->file.offset;
    if (strcmp(rd->next.orig, rd->next.address) == 0)
        rd->next.orig = "";
    env->rcpts[env->rcpt_len++] = rd->next;
}

/* From the envelope straight to what follows the content. Without a size record
 * (maildrop files), or when it is stale, the content is read through. */
static bool skip_content(struct reading *rd)
{
    int64_t content = rd->file.next;
    struct span data;
    int type;

    if (rd->env->data_offset == content) {
        rec_reader_seek(&rd->file, content + rd->env->data_size);
        if (rec_read(&rd->file, &data) == REC_EXTRACTED)
            return true;
        rec_reader_seek(&rd->file, content);
    } else if (rd->env->data_offset > 0) {
        return corrupt(rd, "size record does not point at the content");
    }
    rd->env->data_offset = content;
    while ((type = rec_read(&rd->file, &data)) != REC_EXTRACTED)
        if (type < 0 || type == REC_END)
            return corrupt(rd, "file ends within the content");
    rd->env->data_size = rd->file.offset - content;
    if (rd->env->content_size == 0)
        rd->env->content_size = rd->env->data_size;
    return true;
}

static void text_record(struct reading *rd, const char **slot, struct span data)
{
    if (rd->first_pass)
        *slot = arena_span_str(rd->arena, data);
}

static bool number_record(struct reading *rd, int type, struct span data)
{
    int64_t value = number(data, type == REC_DSN_NOTIFY ? 15 : INT64_MAX);

    if (value < 0)
        value = 0;
    switch (type) {
    case REC_WARN_TIME:
        rd->env->warn_time = value;
        rd->env->warn_offset = rd->file.offset;
        break;
    case REC_DSN_RET:
        rd->env->ret = (int)(value & 3);
        break;
    case REC_DSN_NOTIFY:
        note_recipient_part(rd);
        rd->next.notify = (int)value;
        break;
    default:
        rd->env->create_time = value;
        break;
    }
    return true;
}

static bool recipient_related(struct reading *rd, int type, struct span data)
{
    switch (type) {
    case REC_RCPT:
        recipient_record(rd, data);
        forget_recipient_parts(rd);
        return true;
    case REC_DONE:
    case REC_CANCELLED:
        forget_recipient_parts(rd);
        return true;
    case REC_ORIG_RCPT:
        note_recipient_part(rd);
        rd->next.orig = arena_span_str(rd->arena, data);
        return true;
    case REC_DSN_ORCPT:
        note_recipient_part(rd);
        rd->next.dsn_orcpt = arena_span_str(rd->arena, data);
        return true;
    }
    return false;
}

static bool one_record(struct reading *rd, int type, struct span data)
{
    struct envelope *env = rd->env;

    if (recipient_related(rd, type, data))
        return true;
    switch (type) {
    case REC_ATTR:
        return attr_record(rd, data);
    case REC_SIZE:
        return size_record(rd, data);
    case REC_TIME:
        return time_record(rd, data);
    case REC_SENDER:
        rd->have_sender = true;
        text_record(rd, &env->sender, data);
        return true;
    case REC_WARN_TIME:
    case REC_CTIME:
    case REC_DSN_RET:
    case REC_DSN_NOTIFY:
        return number_record(rd, type, data);
    case REC_FILTER_OR_CONT:
        text_record(rd, &env->filter, data);
        return true;
    case REC_REDIRECT:
        text_record(rd, &env->redirect, data);
        return true;
    case REC_FULL_NAME:
        text_record(rd, &env->full_name, data);
        return true;
    case REC_DSN_ENVID:
        text_record(rd, &env->envelope_id, data);
        return true;
    case REC_VERP:
        text_record(rd, &env->verp, data);
        return true;
    case REC_LINE:
    case REC_EXTRACTED:
        return corrupt(rd, "content record within the envelope");
    }
    return true; /* what other versions may have added */
}

static bool read_records(struct reading *rd)
{
    struct span data;
    int type;

    while ((type = rec_read(&rd->file, &data)) != REC_END) {
        if (type == REC_BROKEN || type == REC_EOF)
            return corrupt(rd, type == REC_EOF ? "file ends before the end record"
                                               : "malformed record");
        if (type == REC_MESSAGE) {
            if (rd->in_extracted)
                return corrupt(rd, "content starts twice");
            rd->in_extracted = true;
            forget_recipient_parts(rd);
            if (!skip_content(rd))
                return false;
        } else if (!one_record(rd, type, data)) {
            return false;
        }
        /* A further pass stops at its limit; the first one wants all attributes. */
        if (!rd->first_pass && rd->env->next_rcpt_offset)
            return true;
    }
    return true;
}

/* The rest of a long recipient list: the size record says where content lies. */
static bool start_further_pass(struct reading *rd, int64_t from_offset)
{
    struct span data;

    if (rec_read(&rd->file, &data) == REC_SIZE && !size_record(rd, data))
        return false;
    if (from_offset < 0 || from_offset > rd->file.file_size)
        return corrupt(rd, "recipient offset beyond the file");
    rd->in_extracted = rd->env->data_offset > 0 &&
                       from_offset >= rd->env->data_offset + rd->env->data_size;
    rd->have_time = rd->have_sender = true;
    rec_reader_seek(&rd->file, from_offset);
    return true;
}

static bool read_envelope(struct reading *rd, int64_t from_offset)
{
    rd->first_pass = from_offset == 0;
    if (!rd->first_pass && !start_further_pass(rd, from_offset))
        return false;
    if (!read_records(rd))
        return false;
    if (!rd->have_time)
        return corrupt(rd, "no time record");
    if (!rd->have_sender)
        return corrupt(rd, "no sender record");
    if (rd->first_pass && rd->env->data_offset == 0)
        return corrupt(rd, "no content");
    if (rd->env->create_time == 0)
        rd->env->create_time = (int64_t)rd->env->arrival.tv_sec;
    return true;
}

enum envelope_status envelope_read(int fd, size_t max_rcpts, int64_t from_offset,
                                   struct arena *arena, struct envelope *env_out,
                                   const char **why_out)
{
    struct reading rd = {.arena = arena, .env = env_out};
    bool ok;

    envelope_init(env_out);
    rd.max_rcpts = max_rcpts ? max_rcpts : SIZE_MAX;
    forget_recipient_parts(&rd);
    rec_reader_init(&rd.file, fd);
    ok = read_envelope(&rd, from_offset);
    rec_reader_free(&rd.file);
    if (ok)
        return ENVELOPE_OK;
    if (rd.file.io_errno) {
        *why_out = strerror(rd.file.io_errno);
        return ENVELOPE_IO_ERROR;
    }
    *why_out = rd.why;
    return ENVELOPE_CORRUPT;
}
