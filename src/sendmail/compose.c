#include "sendmail/compose.h"

#include "global/addr.h"
#include "global/envelope.h"
#include "global/header.h"
#include "global/rec.h"

/* Records are written when this many bytes have come together. */
#define WRITE_BYTES 32768
/* The longest header that recipients are taken from. */
#define HEADER_MAX (16u << 20)

enum line_endings { ENDINGS_NEVER, ENDINGS_STRICT, ENDINGS_ALWAYS };

struct composer {
    const struct config *cfg;
    const struct sendmail_options *options;
    struct input *in;
    const struct record_sink *sink;
    struct strbuf out;
    bool failed; /* the sink takes no more */

    enum line_endings endings;
    bool strip_cr;
    bool in_header;
    struct strbuf header; /* that recipients are taken from; lines joined by \n */
    bool header_wanted;
    struct address_list found, resent_found;
    bool resent;
};

/* -- address lists -- */

static const char *collect(void *arg, struct span internal)
{
    struct address_list *list = arg;
    const char **grown;

    if (list->count + 1 >= list->cap) {
        list->cap = list->cap ? list->cap * 2 : 16;
        grown = arena_alloc(list->arena, list->cap * sizeof *grown);
        if (list->count)
            memcpy(grown, list->items, list->count * sizeof *grown);
        list->items = grown;
    }
    list->items[list->count++] = arena_span_str(list->arena, internal);
    list->items[list->count] = NULL;
    return NULL;
}

void address_list_add(struct address_list *list, struct span text)
{
    struct strbuf unused = STRBUF_INIT;

    addr_header_rewrite(text, list->arena, collect, list, &unused);
    strbuf_free(&unused);
}

/* -- output -- */

static bool flush(struct composer *c, size_t more_than)
{
    if (!c->failed && c->out.len > more_than) {
        c->failed = !c->sink->write(c->sink->arg, strbuf_span(&c->out));
        strbuf_reset(&c->out);
    }
    return !c->failed;
}

static void put_attr(struct composer *c, const char *name, const char *value)
{
    rec_add_attr(&c->out, name, span_str(value));
}

static void put_number(struct composer *c, const char *name, int value)
{
    rec_addf(&c->out, REC_ATTR, "%s=%d", name, value);
}

static void put_recipients(struct composer *c, const char *const *list)
{
    for (; list && *list; list++) {
        if (c->options->notify)
            put_number(c, "notify_flags", c->options->notify);
        rec_add_str(&c->out, REC_RCPT, *list);
        flush(c, WRITE_BYTES);
    }
}

static void put_envelope(struct composer *c, const struct envelope_source *env)
{
    const struct sendmail_options *o = c->options;

    if (o->envid)
        put_attr(c, "envelope_id", o->envid);
    if (o->ret)
        put_number(c, "ret_flags", o->ret);
    if (o->sendopts)
        put_number(c, "sendopts", o->sendopts);
    put_attr(c, "rewrite_context", o->remote ? "remote" : "local");
    rec_add_str(&c->out, REC_FULL_NAME, env->full_name);
    rec_add_str(&c->out, REC_SENDER, env->sender);
    if (o->mode == MODE_VERIFY)
        put_number(c, "trace_flags", TRACE_USER_VERIFY);
    else if (o->verbose == 1) /* more asks for debugging */
        put_number(c, "trace_flags", TRACE_RECORD);
    if (o->encoding)
        put_attr(c, "encoding", o->encoding);
    if (o->verp)
        rec_add_str(&c->out, REC_VERP,
                    o->verp_delimiters ? o->verp_delimiters
                                       : c->cfg->default_verp_delimiters);
    put_recipients(c, env->recipients);
    rec_add(&c->out, REC_MESSAGE, SPAN_EMPTY);
}

/* -- content -- */

static enum line_endings endings_of(const struct config *cfg)
{
    if (strcmp(cfg->sendmail_fix_line_endings, "never") == 0)
        return ENDINGS_NEVER;
    return strcmp(cfg->sendmail_fix_line_endings, "strict") == 0 ? ENDINGS_STRICT
                                                                 : ENDINGS_ALWAYS;
}

/* The separator line of mailboxes, quoted or not. */
static bool is_mailbox_from(struct span line)
{
    while (line.len > 0 && line.ptr[0] == '>')
        line = span_skip(line, 1);
    return span_starts(line, SPAN_LIT("From "));
}

static void end_of_header(struct composer *c)
{
    struct span text = strbuf_span(&c->header), name, value;
    const struct header_info *info;

    if (c->header_wanted && header_parse_line(text, &name, &value)) {
        info = header_lookup(name);
        address_list_add(info->flags & HEADER_RESENT ? &c->resent_found : &c->found,
                         value);
    }
    c->header_wanted = false;
    strbuf_reset(&c->header);
}

static void keep_header(struct composer *c, struct span text, bool new_line)
{
    if (!c->header_wanted || c->header.len + text.len >= HEADER_MAX)
        return;
    if (new_line)
        strbuf_add_char(&c->header, '\n');
    strbuf_add_span(&c->header, text);
}

/* A whole line, or the first piece of one, at a place where a header may be. */
static void header_line(struct composer *c, struct span line)
{
    const struct header_info *info;
    struct span name, value;

    if (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t')) {
        keep_header(c, line, true);
        return;
    }
    end_of_header(c);
    c->in_header = header_parse_line(line, &name, &value);
    info = c->in_header ? header_lookup(name) : NULL;
    if (!info)
        return;
    c->resent = c->resent || (info->flags & HEADER_RESENT);
    c->header_wanted = info->flags & HEADER_EXTRACT;
    keep_header(c, line, false);
}

static struct span without_cr(struct composer *c, struct span line, bool first)
{
    if (first && c->endings == ENDINGS_STRICT)
        c->strip_cr = line.len > 0 && line.ptr[line.len - 1] == '\r';
    while (c->strip_cr && line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static void copy_content(struct composer *c)
{
    size_t limit = (size_t)c->cfg->line_length_limit;
    bool at_start = true, first = true, skip_from = true, end;
    struct span line;

    while (!c->failed && input_line(c->in, limit, &line, &end)) {
        if (end)
            line = without_cr(c, line, first);
        first = first && !end;
        if (skip_from && at_start && end && is_mailbox_from(line))
            continue;
        skip_from = false;
        if (at_start && end && !c->options->dots_are_text && span_eq_str(line, "."))
            return;
        if (c->in_header && at_start)
            header_line(c, line);
        else if (c->in_header)
            keep_header(c, line, false);
        rec_add(&c->out, end ? REC_LINE : REC_FILTER_OR_CONT, line);
        at_start = end;
        flush(c, WRITE_BYTES);
    }
}

/* The message of -bv, which goes no further than the delivery agents. */
static void put_probe(struct composer *c, const struct envelope_source *env)
{
    struct strbuf address = STRBUF_INIT;

    addr_quote(&address, span_str(env->sender));
    rec_addf(&c->out, REC_LINE, "From: %s", address.ptr);
    rec_add_str(&c->out, REC_LINE, "Subject: probe");
    rec_add_str(&c->out, REC_LINE, "To:");
    for (size_t i = 0; i < env->recipient_count; i++) {
        strbuf_reset(&address);
        addr_quote(&address, span_str(env->recipients[i]));
        rec_addf(&c->out, REC_LINE, "\t%s%s", address.ptr,
                 i + 1 < env->recipient_count ? "," : "");
    }
    strbuf_free(&address);
}

static enum compose_result finish(struct composer *c, const struct envelope_source *env)
{
    const struct address_list *found = c->resent ? &c->resent_found : &c->found;

    if (c->in->error)
        return COMPOSE_READ_ERROR;
    if (c->options->extract && found->count + env->recipient_count == 0)
        return COMPOSE_NO_RECIPIENTS;
    rec_add(&c->out, REC_EXTRACTED, SPAN_EMPTY);
    put_recipients(c, found->items);
    rec_add(&c->out, REC_END, SPAN_EMPTY);
    return flush(c, 0) ? COMPOSE_OK : COMPOSE_WRITE_ERROR;
}

enum compose_result compose(const struct config *cfg,
                            const struct sendmail_options *options,
                            const struct envelope_source *env, struct input *in,
                            const struct record_sink *sink)
{
    struct composer c = {.cfg = cfg, .options = options, .in = in, .sink = sink};
    enum compose_result result = COMPOSE_WRITE_ERROR;

    strbuf_init(&c.out);
    strbuf_init(&c.header);
    c.endings = endings_of(cfg);
    c.strip_cr = c.endings == ENDINGS_ALWAYS;
    c.in_header = options->extract;
    c.found.arena = c.resent_found.arena = arena_new();
    put_envelope(&c, env);
    if (options->mode == MODE_VERIFY) {
        put_probe(&c, env);
    } else {
        copy_content(&c);
        end_of_header(&c);
    }
    if (!c.failed)
        result = finish(&c, env);
    strbuf_free(&c.out);
    strbuf_free(&c.header);
    arena_free(c.found.arena);
    return result;
}
