#include "global/dsn.h"

#include "util/msg.h"

static bool status_field(struct span *text, size_t max_digits, bool last)
{
    size_t n = 0;

    while (n < text->len && n < max_digits && ascii_digit(text->ptr[n]))
        n++;
    if (n == 0 || (n > 1 && text->ptr[0] == '0'))
        return false;
    if (last)
        return n == text->len;
    if (n >= text->len || text->ptr[n] != '.')
        return false;
    *text = span_skip(*text, n + 1);
    return true;
}

bool dsn_status_parse(struct span text, char out[DSN_STATUS_LEN])
{
    struct span rest = text;

    if (text.len < 5 || text.len >= DSN_STATUS_LEN || text.ptr[1] != '.' ||
        !strchr("245", text.ptr[0]))
        return false;
    rest = span_skip(text, 2);
    if (!status_field(&rest, 3, false) || !status_field(&rest, 3, true))
        return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

struct span dsn_split(struct span text, const char *status_default, char reply_class,
                      char status_out[DSN_STATUS_LEN])
{
    struct span rest = span_ltrim(text);
    struct span word = rest;
    size_t n = 0;

    while (n < rest.len && !ascii_space(rest.ptr[n]))
        n++;
    word.len = n;
    if (dsn_status_parse(word, status_out) &&
        (reply_class == 0 || status_out[0] == reply_class))
        return span_ltrim(span_skip(rest, n));
    strcpy(status_out, status_default);
    return text;
}

struct span dsn_split_settled(struct span text, const char *status_default,
                              const char *who, char status_out[DSN_STATUS_LEN])
{
    struct span rest = dsn_split(text, status_default, 0, status_out);

    if (status_out[0] != status_default[0]) {
        msg_warn("%s: ignoring dsn code \"%s\"", who, status_out);
        strcpy(status_out, status_default);
    }
    return rest;
}

void dsn_to_frame(const struct dsn *dsn, struct strbuf *sb)
{
    frame_str(sb, "status", dsn->status);
    frame_str(sb, "action", dsn->action);
    frame_str(sb, "reason", dsn->reason);
    frame_str(sb, "diag_type", dsn->diag_type);
    frame_str(sb, "diag_text", dsn->diag_text);
    frame_str(sb, "mta_type", dsn->mta_type);
    frame_str(sb, "mta_mname", dsn->mta_name);
}

bool dsn_from_frame(struct span body, struct arena *arena, struct dsn *dsn_out,
                    const char **missing_out)
{
    struct frame_reader r = frame_reader(body);
    struct span status = frame_want_span(&r, "status");

    dsn_out->action = arena_span_str(arena, frame_opt_span(&r, "action"));
    dsn_out->reason = arena_span_str(arena, frame_want_span(&r, "reason"));
    dsn_out->diag_type = arena_span_str(arena, frame_opt_span(&r, "diag_type"));
    dsn_out->diag_text = arena_span_str(arena, frame_opt_span(&r, "diag_text"));
    dsn_out->mta_type = arena_span_str(arena, frame_opt_span(&r, "mta_type"));
    dsn_out->mta_name = arena_span_str(arena, frame_opt_span(&r, "mta_mname"));
    if (!r.missing && !dsn_status_parse(status, dsn_out->status))
        r.missing = "status";
    *missing_out = r.missing;
    return r.missing == NULL;
}

static const struct sysexit_row {
    int code;
    const char *status, *text;
} sysexits[] = {
    {64, "5.3.0", "command line usage error"},
    {65, "5.6.0", "data format error"},
    {66, "5.3.0", "cannot open input"},
    {67, "5.1.1", "user unknown"},
    {68, "5.1.2", "host name unknown"},
    {69, "5.3.0", "service unavailable"},
    {70, "5.3.0", "internal software error"},
    {71, "4.3.0", "system resource problem"},
    {72, "5.3.0", "critical OS file missing"},
    {73, "5.2.0", "can't create user output file"},
    {74, "5.3.0", "input/output error"},
    {75, "4.3.0", "temporary failure"},
    {76, "5.5.0", "remote error in protocol"},
    {77, "5.7.0", "permission denied"},
    {78, "5.3.5", "local configuration error"},
};

const char *dsn_sysexits(int exit_status, char status_out[DSN_STATUS_LEN])
{
    for (size_t i = 0; i < ARRAY_LEN(sysexits); i++) {
        if (sysexits[i].code == exit_status) {
            strcpy(status_out, sysexits[i].status);
            return sysexits[i].text;
        }
    }
    strcpy(status_out, "5.3.0");
    return "unknown mail system error";
}
