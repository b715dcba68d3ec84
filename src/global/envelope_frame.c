#include "global/envelope.h"

#include "global/envelope_field.h"

static const struct {
    const char *name;
    size_t offset;
} numbers64[] =
    {
        {"create_time", offsetof(struct envelope, create_time)},
        {"data_offset", offsetof(struct envelope, data_offset)},
        {"data_size", offsetof(struct envelope, data_size)},
        {"content_size", offsetof(struct envelope, content_size)},
        {"rcpt_count", offsetof(struct envelope, rcpt_count)},
        {"warn_time", offsetof(struct envelope, warn_time)},
        {"warn_offset", offsetof(struct envelope, warn_offset)},
        {"trace_offset", offsetof(struct envelope, trace_offset)},
        {"next_rcpt_offset", offsetof(struct envelope, next_rcpt_offset)},
},
  numbers_int[] = {
      {"qmgr_opts", offsetof(struct envelope, qmgr_opts)},
      {"sendopts", offsetof(struct envelope, sendopts)},
      {"ret_flags", offsetof(struct envelope, ret)},
      {"trace_flags", offsetof(struct envelope, trace_flags)},
};

#define RECIPIENT_GROUP "recipient"

static void add_recipient(const struct recipient *rcpt, struct strbuf *sb)
{
    size_t mark = frame_group_begin(sb, RECIPIENT_GROUP);

    frame_str(sb, "address", rcpt->address);
    if (rcpt->orig[0])
        frame_str(sb, "original_recipient", rcpt->orig);
    if (rcpt->dsn_orcpt[0])
        frame_str(sb, "dsn_orig_rcpt", rcpt->dsn_orcpt);
    if (rcpt->notify)
        frame_num(sb, "notify_flags", rcpt->notify);
    if (rcpt->offset)
        frame_num(sb, "offset", rcpt->offset);
    frame_group_end(sb, mark);
}

/* What is empty or zero is left out: most of it is, in most messages. */
void envelope_to_frame(const struct envelope *env, struct strbuf *sb)
{
    frame_str(sb, "sender", env->sender);
    frame_num(sb, "arrival_sec", (int64_t)env->arrival.tv_sec);
    frame_num(sb, "arrival_usec", (int64_t)env->arrival.tv_usec);
    for (size_t i = 0; i < ARRAY_LEN(numbers64); i++) {
        int64_t value =
            *(const int64_t *)(const void *)((const char *)env + numbers64[i].offset);
        if (value)
            frame_num(sb, numbers64[i].name, value);
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers_int); i++) {
        int value =
            *(const int *)(const void *)((const char *)env + numbers_int[i].offset);
        if (value)
            frame_num(sb, numbers_int[i].name, value);
    }
    for (size_t i = 0; i < envelope_text_count; i++) {
        const struct envelope_text *text = &envelope_texts[i];
        const char *value =
            *(const char *const *)(const void *)((const char *)env + text->offset);
        if (value[0] && text->offset != offsetof(struct envelope, sender))
            frame_str(sb, text->name, value);
    }
    for (size_t i = 0; i < env->rcpt_len; i++)
        add_recipient(&env->rcpts[i], sb);
}

static void take_recipient(struct span body, struct arena *arena,
                           struct recipient *rcpt, const char **missing)
{
    struct frame_reader r = frame_reader(body);

    rcpt->address = arena_span_str(arena, frame_want_span(&r, "address"));
    rcpt->orig = arena_span_str(arena, frame_opt_span(&r, "original_recipient"));
    rcpt->dsn_orcpt = arena_span_str(arena, frame_opt_span(&r, "dsn_orig_rcpt"));
    rcpt->notify = (int)frame_opt_num(&r, "notify_flags", 0);
    rcpt->offset = frame_opt_num(&r, "offset", 0);
    if (r.missing)
        *missing = r.missing;
}

static size_t count_recipients(struct span body)
{
    struct frame_attr attr;
    size_t count = 0;

    while (frame_next(&body, &attr))
        count += span_eq_str(attr.name, RECIPIENT_GROUP);
    return count;
}

static void set_number(struct envelope *env, struct span name, struct span value,
                       const char **missing)
{
    int64_t parsed;

    for (size_t i = 0; i < ARRAY_LEN(numbers64); i++) {
        if (!span_eq_str(name, numbers64[i].name))
            continue;
        if (!span_i64(value, &parsed) || parsed < 0)
            *missing = numbers64[i].name;
        else
            *(int64_t *)(void *)((char *)env + numbers64[i].offset) = parsed;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers_int); i++) {
        if (!span_eq_str(name, numbers_int[i].name))
            continue;
        if (!span_i64(value, &parsed) || parsed < 0 || parsed > INT32_MAX)
            *missing = numbers_int[i].name;
        else
            *(int *)(void *)((char *)env + numbers_int[i].offset) = (int)parsed;
        return;
    }
}

bool envelope_from_frame(struct span body, struct arena *arena,
                         struct envelope *env_out, const char **missing_out)
{
    struct frame_reader r = frame_reader(body);
    const struct envelope_text *text;
    struct frame_attr attr;
    size_t count = count_recipients(body);

    envelope_init(env_out);
    (void)frame_want_span(&r, "sender");
    env_out->arrival.tv_sec = (time_t)frame_want_num(&r, "arrival_sec");
    env_out->arrival.tv_usec = (suseconds_t)frame_want_num(&r, "arrival_usec");
    *missing_out = r.missing;
    env_out->rcpts = count ? arena_alloc(arena, count * sizeof *env_out->rcpts) : NULL;
    while (frame_next(&body, &attr)) {
        if (span_eq_str(attr.name, RECIPIENT_GROUP)) {
            if (frame_group_check(attr.value))
                take_recipient(attr.value, arena, &env_out->rcpts[env_out->rcpt_len++],
                               missing_out);
            else
                *missing_out = RECIPIENT_GROUP;
        } else if ((text = envelope_text_find(attr.name)) != NULL) {
            *envelope_text_slot(env_out, text) = arena_span_str(arena, attr.value);
        } else {
            set_number(env_out, attr.name, attr.value, missing_out);
        }
    }
    return *missing_out == NULL;
}
