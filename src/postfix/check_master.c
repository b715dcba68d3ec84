/* master.cf for the checks: every entry by itself, so that a bad one does not hide the
 * others, and the settings as each service sees them. */
#include <stdlib.h>

#include "postfix/check.h"
#include "table/source.h"
#include "util/file.h"

#define MASTER_CF_MAX (16u << 20)

static void *grow(struct arena *arena, const void *list, size_t count, size_t size)
{
    char *grown;

    /* Room doubles at powers of two. */
    if (count & (count - 1))
        return (void *)(uintptr_t)list;
    grown = arena_alloc(arena, (count ? count * 2 : 1) * size);
    if (count)
        memcpy(grown, list, count * size);
    return grown;
}

static void add_line(struct check *check, const char *text, bool error)
{
    check->master_lines = grow(check->arena, check->master_lines,
                               check->master_line_count, sizeof *check->master_lines);
    check->master_lines[check->master_line_count++] =
        (struct check_line){check->captured_line, arena_str(check->arena, text), error};
}

static void hear_parser(struct check *check, struct span text)
{
    const char *line = arena_span_str(check->arena, text);

    add_line(check, load_strip_place(line, check->master_cf), false);
}

static void keep_entries(struct check *check, const struct master_cf *one, int line)
{
    for (size_t i = 0; i < one->count; i++) {
        struct master_entry *entry;

        check->entries = grow(check->arena, check->entries, check->entry_count,
                              sizeof *check->entries);
        entry = &check->entries[check->entry_count++];
        *entry = one->entries[i];
        entry->line = line;
        entry->name = arena_str(check->arena, entry->name);
        entry->command = arena_str(check->arena, entry->command);
        entry->argv = NULL; /* gone with the parser's memory */
        entry->argc = 0;
    }
}

/* False: the line is of no use. */
static bool parse_line(struct check *check, struct span line, int number)
{
    struct err err;
    struct master_cf *one;

    check->captured_line = number;
    one = master_cf_parse(check->cfg, check->master_cf, line, &err);
    if (!one) {
        add_line(check, load_strip_place(err.text, check->master_cf), true);
        return false;
    }
    keep_entries(check, one, number);
    master_cf_free(one);
    return true;
}

static void parse_file(struct check *check, struct strbuf *text)
{
    struct strbuf copy = STRBUF_INIT;
    struct source source;
    struct span line;
    struct err err;

    strbuf_add_span(&copy, strbuf_span(text));
    source_init(&source, check->master_cf, strbuf_span(&copy));
    check->on_warning = hear_parser;
    while (source_line(&source, &line))
        if (!parse_line(check, line, source.line))
            load_blank_lines(text->ptr, text->len, source.line, source.next_line);
    check->on_warning = NULL;
    source_free(&source);
    strbuf_free(&copy);
    check->mcf = master_cf_parse(check->cfg, check->master_cf, strbuf_span(text), &err);
    if (!check->mcf)
        check->master_error = arena_str(check->arena, err.text);
}

/* -- views -- */

struct view_report {
    struct check *check;
    struct check_view *view;
};

static void add_problem(void *arg, const char *name, const char *text)
{
    struct view_report *report = arg;
    struct check_view *view = report->view;
    struct arena *arena = report->check->arena;

    /* What is wrong in main.cf is reported there. */
    if (!view_sets(view, name))
        return;
    view->problems =
        grow(arena, view->problems, view->problem_count, sizeof *view->problems);
    view->problems[view->problem_count++] =
        (struct load_problem){arena_str(arena, name), arena_str(arena, text)};
}

static void load_view(struct check *check, const struct master_entry *entry,
                      struct span main_cf)
{
    struct config_override *list =
        arena_alloc(check->arena, (entry->argc + 1) * sizeof *list);
    struct config_source source = {.dir = check->cfg->dir,
                                   .program = entry->command,
                                   .service = entry->name,
                                   .main_cf = main_cf,
                                   .overrides = list};
    struct check_view *view = &check->views[check->view_count];
    struct view_report report = {check, view};
    struct span setting;
    struct err err;

    for (size_t i = 0; check_next_option(entry, &i, &setting);) {
        struct span name = span_trim(span_cut(&setting, '='));

        if (!setting.ptr || !name.len)
            continue;
        list[source.override_count].name = arena_span_str(check->arena, name);
        list[source.override_count++].value =
            arena_span_str(check->arena, span_trim(setting));
    }
    if (source.override_count == 0)
        return;
    *view = (struct check_view){.entry = entry};
    view->cfg = config_load_all(&source, add_problem, &report, &err);
    if (view->cfg)
        check->view_count++;
}

/* main.cf as the first view could read it. */
static void main_text(const struct check *check, struct strbuf *out)
{
    for (size_t i = 0; i < check->load->line_count; i++) {
        const struct load_line *line = &check->load->lines[i];

        if (line->name)
            strbuf_addf(out, "%s = %s\n", line->name, line->value);
    }
    strbuf_add_str(out, "\n");
}

void check_load_master(struct check *check)
{
    struct strbuf text = STRBUF_INIT, main_cf = STRBUF_INIT;
    size_t count;
    struct err err;

    if (file_read_all(check->master_cf, MASTER_CF_MAX, &text, &err))
        parse_file(check, &text);
    else
        check->master_error = arena_str(check->arena, err.text);
    count = check->mcf ? check->mcf->count : 0;
    check->views = arena_alloc(check->arena, (count + 1) * sizeof *check->views);
    check->views[check->view_count++].cfg = check->cfg;
    main_text(check, &main_cf);
    for (size_t i = 0; i < count; i++)
        load_view(check, &check->mcf->entries[i], strbuf_span(&main_cf));
    strbuf_free(&main_cf);
    strbuf_free(&text);
}

void check_unload_master(struct check *check)
{
    for (size_t i = 1; i < check->view_count; i++)
        config_free(check->views[i].cfg);
    master_cf_free(check->mcf);
}
