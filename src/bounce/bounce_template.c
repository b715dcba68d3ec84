#include "bounce/bounce.h"

#include <stdlib.h>

#include "util/file.h"
#include "util/msg.h"

#define TEMPLATE_FILE_MAX (256 * 1024)

static const char *const template_names[KIND_COUNT] = {
    "failure_template", "delay_template", "success_template", "verify_template"};

static const struct bounce_template built_in[KIND_COUNT] = {
    [KIND_FAILURE] =
        {"us-ascii", "Mail Delivery System <MAILER-DAEMON>",
         "Undelivered Mail Returned to Sender", "Postmaster Copy: Undelivered Mail",
         "This is the mail system at host $myhostname.\n"
         "\n"
         "Your message could not be delivered to one or more recipients.\n"
         "The reasons, and the message itself, follow below.\n"
         "\n"
         "For further help, please write to postmaster and include this\n"
         "report. You can delete your own text from the attached message.\n"
         "\n"
         "                   The mail system\n"},
    [KIND_DELAY] =
        {"us-ascii", "Mail Delivery System <MAILER-DAEMON>",
         "Delayed Mail (still being retried)", "Postmaster Warning: Delayed Mail",
         "This is the mail system at host $myhostname.\n"
         "\n"
         "####################################################################\n"
         "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n"
         "####################################################################\n"
         "\n"
         "Your message could not be delivered so far. Delivery is tried again\n"
         "until the message is $maximal_queue_lifetime_days day(s) old.\n"
         "\n"
         "For further help, please write to postmaster and include this\n"
         "report. You can delete your own text from the attached message.\n"
         "\n"
         "                   The mail system\n"},
    [KIND_SUCCESS] =
        {"us-ascii", "Mail Delivery System <MAILER-DAEMON>",
         "Successful Mail Delivery Report", NULL,
         "This is the mail system at host $myhostname.\n"
         "\n"
         "Your message was delivered to the destination(s) listed below. If it\n"
         "was handed on to another system, that system may still report a\n"
         "failure.\n"
         "\n"
         "                   The mail system\n"},
    [KIND_VERIFY] = {"us-ascii", "Mail Delivery System <MAILER-DAEMON>",
                     "Mail Delivery Status Report", NULL,
                     "This is the mail system at host $myhostname.\n"
                     "\n"
                     "Here is the delivery report that you asked for.\n"
                     "\n"
                     "                   The mail system\n"},
};

static void set_header(struct bounce_template *t, struct span name, struct span value,
                       struct arena *arena, const char *path, int line)
{
    const char *text = arena_span_str(arena, value);

    if (span_ieq_str(name, "Charset"))
        t->charset = text;
    else if (span_ieq_str(name, "From"))
        t->from = text;
    else if (span_ieq_str(name, "Subject"))
        t->subject = text;
    else if (span_ieq_str(name, "Postmaster-Subject"))
        t->postmaster_subject = text;
    else
        msg_warn("%s, line %d: unknown template header \"%.*s\"", path, line,
                 SPAN_ARG(name));
}

/* Header lines, an empty line, the body: up to the end mark. */
static void parse_template(struct bounce_template *t, struct span *rest,
                           struct span mark, struct arena *arena, const char *path,
                           int *line)
{
    struct strbuf body = STRBUF_INIT;
    bool in_body = false;

    while (rest->len > 0) {
        struct span text = span_cut(rest, '\n');

        ++*line;
        if (span_eq(text, mark))
            break;
        if (in_body) {
            strbuf_add_span(&body, text);
            strbuf_add_char(&body, '\n');
        } else if (text.len == 0) {
            in_body = true;
        } else {
            struct span value = text, name = span_cut(&value, ':');

            set_header(t, name, span_trim(value), arena, path, *line);
        }
    }
    t->body = arena_span_str(arena, strbuf_span(&body));
    strbuf_free(&body);
}

static void parse_file(struct bounce_service *bs, struct span rest, const char *path)
{
    int line = 0;

    while (rest.len > 0) {
        struct span value = span_cut(&rest, '\n');
        struct span text = value, name, mark;
        size_t kind;

        line++;
        name = span_trim(span_cut(&value, '='));
        if (span_trim(text).len == 0 || text.ptr[0] == '#')
            continue;
        value = span_trim(value);
        if (!span_starts(value, SPAN_LIT("<<"))) {
            msg_warn("%s, line %d: expected name = <<MARK", path, line);
            continue;
        }
        mark = span_trim(span_skip(value, 2));
        for (kind = 0; kind < KIND_COUNT; kind++)
            if (span_eq_str(name, template_names[kind]))
                break;
        if (kind == KIND_COUNT) {
            struct bounce_template ignored;

            msg_warn("%s, line %d: unknown template \"%.*s\"", path, line,
                     SPAN_ARG(name));
            parse_template(&ignored, &rest, mark, bs->arena, path, &line);
        } else {
            parse_template(&bs->templates[kind], &rest, mark, bs->arena, path, &line);
        }
    }
}

void bounce_templates_init(struct bounce_service *bs)
{
    const char *path = bs->cfg->bounce_template_file;
    struct strbuf sb = STRBUF_INIT;
    struct err err;

    memcpy(bs->templates, built_in, sizeof bs->templates);
    if (!*path)
        return;
    if (file_read_all(path, TEMPLATE_FILE_MAX, &sb, &err))
        parse_file(bs, strbuf_span(&sb), path);
    else
        msg_warn("bounce_template_file: %s: using the built-in texts", err.text);
    strbuf_free(&sb);
}

static const struct {
    const char *suffix;
    int64_t seconds;
} units[] = {{"_seconds", 1},
             {"_minutes", 60},
             {"_hours", 3600},
             {"_days", 86400},
             {"_weeks", 604800}};

/* $delay_warning_time_hours and the like: a time in the unit of its name. */
static bool time_in_unit(const struct config *cfg, struct span name, int64_t *out)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct span base = name;

        if (!span_ends(name, span_str(units[i].suffix)))
            continue;
        base.len -= strlen(units[i].suffix);
        if (span_eq_str(base, "delay_warning_time"))
            *out = cfg->delay_warning_time / units[i].seconds;
        else if (span_eq_str(base, "maximal_queue_lifetime"))
            *out = cfg->maximal_queue_lifetime / units[i].seconds;
        else if (span_eq_str(base, "bounce_queue_lifetime"))
            *out = cfg->bounce_queue_lifetime / units[i].seconds;
        else
            return false;
        return true;
    }
    return false;
}

static size_t name_length(struct span text)
{
    size_t n = 0;

    while (n < text.len && (ascii_alnum(text.ptr[n]) || text.ptr[n] == '_'))
        n++;
    return n;
}

/* Put the numbers in; everything else is left to the normal expansion. */
static void expand_times(const struct config *cfg, struct span text, struct strbuf *sb)
{
    while (text.len > 0) {
        struct span name = span_skip(text, 1);
        int64_t value;

        name.len = text.ptr[0] == '$' ? name_length(name) : 0;
        if (name.len > 0 && time_in_unit(cfg, name, &value)) {
            strbuf_addf(sb, "%lld", (long long)value);
            text = span_skip(text, 1 + name.len);
        } else {
            strbuf_add_char(sb, text.ptr[0]);
            text = span_skip(text, 1);
        }
    }
}

const char *bounce_template_body(struct bounce_service *bs, enum bounce_kind kind,
                                 struct arena *arena)
{
    struct strbuf sb = STRBUF_INIT;
    const char *text;
    struct err err;

    expand_times(bs->cfg, span_str(bs->templates[kind].body), &sb);
    text = config_expand(bs->cfg, arena, sb.ptr, &err);
    if (!text) {
        msg_warn("bounce template: %s", err.text);
        text = arena_span_str(arena, strbuf_span(&sb));
    }
    strbuf_free(&sb);
    return text;
}
