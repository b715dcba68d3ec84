#include "postdrop/drop_check.h"

#include "global/rec.h"

#define NOTIFY_MAX 15
#define NUMBER_MAX 65535
#define ENVID_MAX  100

static bool has_control(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
            return true;
    return false;
}

static bool is_number(struct span text)
{
    uint32_t value;

    return span_u32(text, &value) && value <= NUMBER_MAX;
}

static bool is_notify(struct span text)
{
    uint32_t value;

    return span_u32(text, &value) && value <= NOTIFY_MAX;
}

static bool is_encoding(struct span text)
{
    return span_eq_str(text, "7bit") || span_eq_str(text, "8bit");
}

static bool is_context(struct span text)
{
    return span_eq_str(text, "local") || span_eq_str(text, "remote");
}

static bool is_envid(struct span text)
{
    return text.len <= ENVID_MAX && !has_control(text);
}

static bool is_clean(struct span text)
{
    return !has_control(text);
}

/* The attributes that users can set, each with what its value must be. */
static const struct {
    const char *name;
    bool (*allowed)(struct span value);
} attributes[] = {
    {"encoding", is_encoding},   {"rewrite_context", is_context},
    {"trace_flags", is_number},  {"ret_flags", is_number},
    {"notify_flags", is_notify}, {"envelope_id", is_envid},
    {"dsn_orig_rcpt", is_clean}, {"sendopts", is_number},
};

static enum drop_verdict check_attribute(struct drop_check *dc, struct span data)
{
    struct span name = span_cut(&data, '=');

    if (!data.ptr || name.len == 0)
        return DROP_NO_EQUALS;
    if (++dc->attr_count > dc->attr_limit)
        return DROP_MALFORMED;
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
        if (span_eq_str(name, attributes[i].name))
            return attributes[i].allowed(data) ? DROP_KEEP : DROP_IGNORE;
    return DROP_IGNORE;
}

static enum drop_verdict check_address(struct span data, bool *seen)
{
    *seen = true;
    return data.len && memchr(data.ptr, '\0', data.len) ? DROP_MALFORMED : DROP_KEEP;
}

static enum drop_verdict keep_if(bool good)
{
    return good ? DROP_KEEP : DROP_MALFORMED;
}

static enum drop_verdict check_envelope(struct drop_check *dc, int type,
                                        struct span data)
{
    switch (type) {
    case REC_ATTR:
        return check_attribute(dc, data);
    case REC_SENDER:
        return dc->have_sender ? DROP_UNEXPECTED
                               : check_address(data, &dc->have_sender);
    case REC_RCPT:
        return check_address(data, &dc->have_recipient);
    case REC_FULL_NAME:
        return keep_if(!data.len || !memchr(data.ptr, '\0', data.len));
    case REC_VERP:
        return keep_if(data.len == 2 && !has_control(data));
    case REC_DSN_ENVID:
        return keep_if(is_envid(data));
    case REC_DSN_NOTIFY:
        return keep_if(is_notify(data));
    case REC_MESSAGE:
        dc->stage = DROP_CONTENT;
        return DROP_KEEP;
    default:
        return DROP_UNEXPECTED;
    }
}

static enum drop_verdict check_content(struct drop_check *dc, int type)
{
    if (type == REC_EXTRACTED)
        dc->stage = DROP_EXTRACTED;
    else if (type != REC_LINE && type != REC_FILTER_OR_CONT)
        return DROP_UNEXPECTED;
    return DROP_KEEP;
}

static enum drop_verdict check_extracted(struct drop_check *dc, int type,
                                         struct span data)
{
    switch (type) {
    case REC_ATTR:
        return check_attribute(dc, data);
    case REC_RCPT:
        return check_address(data, &dc->have_recipient);
    case REC_END:
        dc->stage = DROP_END;
        return DROP_KEEP;
    default:
        return DROP_UNEXPECTED;
    }
}

enum drop_verdict drop_check_record(struct drop_check *dc, int type, struct span data)
{
    if (data.len > dc->line_limit)
        return DROP_TOO_LONG;
    switch (dc->stage) {
    case DROP_ENVELOPE:
        return check_envelope(dc, type, data);
    case DROP_CONTENT:
        return check_content(dc, type);
    case DROP_EXTRACTED:
        return check_extracted(dc, type, data);
    default:
        return DROP_UNEXPECTED;
    }
}

bool drop_check_complete(const struct drop_check *dc)
{
    return dc->stage == DROP_END && dc->have_sender && dc->have_recipient;
}
