/* Queries of master.cf. */
#include <stdio.h>
#include <stdlib.h>

#include "postconf/postconf.h"
#include "util/msg.h"

static const char *const field_names[MASTER_FIELD_COUNT] = {
    "service", "type",   "private",       "unprivileged",
    "chroot",  "wakeup", "process_limit", "command"};
static const size_t columns[MASTER_FIELD_COUNT] = {0, 11, 17, 25, 33, 41, 49, 57};

/* "service/type/item"; parts not given match everything. */
struct request {
    struct span service, type, item;
    bool matched;
};

static struct request parse_request(const char *text)
{
    struct request request = {0};
    struct span rest = span_str(text);

    /* An inet service may be named "host:port", never with a slash. */
    request.service = span_cut(&rest, '/');
    request.type = span_cut(&rest, '/');
    request.item = rest;
    return request;
}

static bool part_matches(struct span pattern, const char *text)
{
    return !pattern.ptr || span_eq_str(pattern, "*") || span_eq_str(pattern, text);
}

static bool request_matches(struct request *request, const struct master_entry *entry,
                            const char *item)
{
    bool matches = part_matches(request->service, entry->name) &&
                   part_matches(request->type, service_type_name(entry->type)) &&
                   (!item || part_matches(request->item, item));

    request->matched = request->matched || matches;
    return matches;
}

/* Calls show for each request in turn, or once for everything. */
static void each_request(struct postconf *pc, char **patterns,
                         void (*show)(struct postconf *pc, struct request *request))
{
    struct request all = {0};

    if (!*patterns)
        show(pc, &all);
    for (; *patterns; patterns++) {
        struct request request = parse_request(*patterns);

        show(pc, &request);
        if (!request.matched)
            msg_warn("unmatched request: \"%s\"", *patterns);
    }
}

static bool has_blank(const char *text)
{
    return !*text || strpbrk(text, " \t") != NULL;
}

static void put_argument(struct strbuf *out, const char *text)
{
    strbuf_addf(out, has_blank(text) ? "{%s}" : "%s", text);
}

/* When folding, each option has its own line, and other words fill lines. */
void master_put_arguments(struct strbuf *out, const char *const *argv, size_t argc,
                          bool fold)
{
    size_t line_start = 0;
    bool options = true;

    for (size_t i = 0; i < argc; i++) {
        struct strbuf word = STRBUF_INIT;
        bool full;

        put_argument(&word, argv[i]);
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
            strbuf_add_char(&word, ' ');
            put_argument(&word, argv[++i]);
        }
        options = options && word.ptr[0] == '-';
        full = fold && out->len - line_start + 1 + word.len > FOLD_COLUMN;
        if ((fold && options) || full) {
            strbuf_add_char(out, '\n');
            line_start = out->len;
            strbuf_add_str(out, FOLD_INDENT);
        } else {
            strbuf_add_char(out, ' ');
        }
        strbuf_add_span(out, strbuf_span(&word));
        strbuf_free(&word);
    }
}

/* In columns; after a long field the next ones catch up. */
static void put_fields(struct strbuf *out, const struct master_entry *entry)
{
    for (size_t i = 0; i < MASTER_FIELD_COUNT; i++) {
        if (i)
            strbuf_add_char(out, ' ');
        while (out->len < columns[i])
            strbuf_add_char(out, ' ');
        strbuf_add_str(out, entry->fields[i]);
    }
}

void master_format_entry(struct strbuf *out, const struct master_entry *entry,
                         bool fold)
{
    put_fields(out, entry);
    master_put_arguments(out, entry->argv, entry->argc, fold);
}

static void show_entries(struct postconf *pc, struct request *request)
{
    struct strbuf line = STRBUF_INIT;

    for (size_t i = 0; i < pc->mcf->count; i++) {
        const struct master_entry *entry = &pc->mcf->entries[i];

        if (!request_matches(request, entry, NULL))
            continue;
        strbuf_reset(&line);
        master_format_entry(&line, entry, pc->options.fold);
        puts(line.ptr);
    }
    strbuf_free(&line);
}

void master_show_entries(struct postconf *pc, char **patterns)
{
    each_request(pc, patterns, show_entries);
}

static void show_item(const struct postconf *pc, const struct master_entry *entry,
                      const char *name, const char *value)
{
    const char *type = service_type_name(entry->type);
    struct strbuf line = STRBUF_INIT;

    if (pc->options.names_only)
        strbuf_addf(&line, "%s/%s/%s", entry->name, type, name);
    else if (pc->options.values_only)
        strbuf_add_str(&line, value);
    else
        strbuf_addf(&line, "%s/%s/%s = %s", entry->name, type, name, value);
    print_text(line.ptr, pc->options.fold);
    strbuf_free(&line);
}

static void check_field_name(struct span name)
{
    for (size_t i = 0; i < MASTER_FIELD_COUNT; i++)
        if (part_matches(name, field_names[i]))
            return;
    msg_fatal("invalid service attribute name: \"%.*s\"", SPAN_ARG(name));
}

int master_field(struct span name)
{
    for (int i = 0; i < MASTER_FIELD_COUNT; i++)
        if (span_eq_str(name, field_names[i]))
            return i;
    return -1;
}

/* The command is shown with its arguments. */
static char *command_line(const struct master_entry *entry)
{
    struct strbuf line = STRBUF_INIT;

    strbuf_add_str(&line, entry->command);
    master_put_arguments(&line, entry->argv, entry->argc, false);
    return strbuf_detach(&line);
}

static void show_fields(struct postconf *pc, struct request *request)
{
    check_field_name(request->item);
    for (size_t i = 0; i < pc->mcf->count; i++) {
        const struct master_entry *entry = &pc->mcf->entries[i];

        for (size_t j = 0; j < MASTER_FIELD_COUNT; j++) {
            bool last = j + 1 == MASTER_FIELD_COUNT;
            char *line = last ? command_line(entry) : xstrdup(entry->fields[j]);

            if (request_matches(request, entry, field_names[j]))
                show_item(pc, entry, field_names[j], line);
            free(line);
        }
    }
}

void master_show_fields(struct postconf *pc, char **patterns)
{
    each_request(pc, patterns, show_fields);
}

struct option {
    struct span name, value;
};

static int by_option_name(const void *a, const void *b)
{
    const struct option *left = a, *right = b;

    return span_cmp(left->name, right->name);
}

/* "-o" settings sorted by name, the last of a name; caller frees. */
static struct option *options_of(const struct master_entry *entry, size_t *count_out)
{
    struct option *list = xcalloc(entry->argc + 1, sizeof *list);
    size_t count = 0;

    for (size_t i = 0; i + 1 < entry->argc; i++) {
        struct option option;
        size_t at = 0;

        if (strcmp(entry->argv[i], "-o") != 0 ||
            !config_usage_split(span_str(entry->argv[i + 1]), &option.name,
                                &option.value))
            continue;
        while (at < count && !span_eq(list[at].name, option.name))
            at++;
        list[at] = option;
        count += at == count;
    }
    qsort(list, count, sizeof *list, by_option_name);
    *count_out = count;
    return list;
}

/* As the service would see it: main.cf under all its own settings. */
static const char *expand_option(struct postconf *pc, struct config *cfg,
                                 const struct option *option)
{
    struct err err;
    const char *value;

    if (!pc->options.expand)
        return arena_span_str(cfg->arena, option->value);
    if (!config_lookup(cfg, option->name, &value, &err))
        msg_fatal("%s", err.text);
    return value ? value : "";
}

static struct config *service_config(struct postconf *pc,
                                     const struct master_entry *entry,
                                     const struct option *list, size_t count)
{
    struct config_source source = {
        .dir = pc->options.dir, .program = entry->command, .service = entry->name};
    struct err err;
    struct config *cfg;

    cfg = config_open(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    for (size_t i = 0; i < count; i++)
        config_set(cfg, list[i].name, list[i].value, 0);
    return cfg;
}

static void show_settings(struct postconf *pc, struct request *request)
{
    for (size_t i = 0; i < pc->mcf->count; i++) {
        const struct master_entry *entry = &pc->mcf->entries[i];
        size_t count;
        struct option *list = options_of(entry, &count);
        struct config *cfg = count ? service_config(pc, entry, list, count) : NULL;

        for (size_t j = 0; j < count; j++) {
            const char *name = arena_span_str(cfg->arena, list[j].name);

            if (request_matches(request, entry, name))
                show_item(pc, entry, name, expand_option(pc, cfg, &list[j]));
        }
        config_free(cfg);
        free(list);
    }
}

void master_show_settings(struct postconf *pc, char **patterns)
{
    each_request(pc, patterns, show_settings);
}
