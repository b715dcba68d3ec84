#include "postfix/load.h"

#include <stdlib.h>

#include "global/config_internal.h"
#include "global/paths.h"
#include "table/source.h"
#include "util/file.h"

#define MAIN_CF_MAX (16u << 20)

static void *add_slot(struct arena *arena, void *list, size_t *count, size_t *cap,
                      size_t size)
{
    char *grown = list;

    if (*count == *cap) {
        *cap = *cap ? *cap * 2 : 32;
        grown = arena_alloc(arena, *cap * size);
        if (*count)
            memcpy(grown, list, *count * size);
    }
    (*count)++;
    return grown;
}

static struct load_line *add_line(struct load *load, int line)
{
    load->lines = add_slot(load->arena, load->lines, &load->line_count, &load->line_cap,
                           sizeof *load->lines);
    load->lines[load->line_count - 1] = (struct load_line){.line = line};
    return &load->lines[load->line_count - 1];
}

static void add_problem(void *arg, const char *name, const char *text)
{
    struct load *load = arg;

    /* One bad value shows in every parameter that refers to it. */
    for (size_t i = 0; i < load->problem_count; i++)
        if (strcmp(load->problems[i].name, name) == 0)
            return;
    load->problems = add_slot(load->arena, load->problems, &load->problem_count,
                              &load->problem_cap, sizeof *load->problems);
    load->problems[load->problem_count - 1] = (struct load_problem){
        arena_str(load->arena, name), arena_str(load->arena, text)};
}

void load_blank_lines(char *text, size_t len, int first, int last)
{
    bool at_start = true;
    int line = 1;

    for (size_t i = 0; i < len && line < last; i++) {
        if (at_start && line >= first && text[i] != '\n')
            text[i] = '#';
        at_start = text[i] == '\n';
        line += at_start;
    }
}

/* Lines that are no settings are taken out, for the configuration to be readable. */
static void split_lines(struct load *load, const char *path, struct strbuf *text)
{
    struct source source;
    struct span line, name, value;
    const char *why;
    struct strbuf copy = STRBUF_INIT;

    strbuf_add_span(&copy, strbuf_span(text));
    source_init(&source, path, strbuf_span(&copy));
    while (source_line(&source, &line)) {
        struct load_line *entry = add_line(load, source.line);

        if (ascii_space(line.ptr[0])) {
            entry->problem = "logical line must not start with whitespace";
        } else if (config_split_line(line, &name, &value, &why)) {
            entry->name = arena_span_str(load->arena, name);
            entry->value = arena_span_str(load->arena, value);
            continue;
        } else {
            entry->problem = why;
        }
        entry->text = arena_span_str(load->arena, line);
        load_blank_lines(text->ptr, text->len, source.line, source.next_line);
    }
    source_free(&source);
    strbuf_free(&copy);
}

struct config *load_main_cf(struct load **load_out, struct err *err)
{
    struct arena *arena = arena_new();
    struct load *load = arena_alloc(arena, sizeof *load);
    struct config_source source = {.program = "postfix"};
    struct strbuf text = STRBUF_INIT;
    const char *dir = getenv("MAIL_CONFIG");
    struct config *cfg = NULL;
    char *path;

    load->arena = arena;
    path = arena_printf(arena, "%s/main.cf", dir && *dir ? dir : SYSCONFDIR);
    if (file_read_all(path, MAIN_CF_MAX, &text, err)) {
        split_lines(load, path, &text);
        source.main_cf = span_of(text.ptr, text.len);
        cfg = config_load_all(&source, add_problem, load, err);
    }
    strbuf_free(&text);
    *load_out = load;
    if (cfg)
        return cfg;
    load_free(load);
    *load_out = NULL;
    return NULL;
}

void load_free(struct load *load)
{
    if (load)
        arena_free(load->arena);
}

bool load_first_error(const struct load *load, const struct config *cfg,
                      struct err *err)
{
    for (size_t i = 0; i < load->line_count; i++) {
        const struct load_line *line = &load->lines[i];

        if (line->problem && !ascii_space(line->text[0])) {
            err_set(err, "%s/main.cf, line %d: %s: \"%s\"", cfg->dir, line->line,
                    line->problem, line->text);
            return true;
        }
    }
    if (!load->problem_count)
        return false;
    err_set(err, "%s/main.cf, line %d: %s", cfg->dir,
            config_line(cfg, load->problems[0].name), load->problems[0].text);
    return true;
}

const char *load_strip_place(const char *text, const char *path)
{
    size_t len = strlen(path);
    const char *rest = text;

    if (strncmp(rest, "file ", 5) == 0)
        rest += 5;
    if (strncmp(rest, path, len) != 0)
        return text;
    rest += len;
    if (strncmp(rest, ": ", 2) == 0 || strncmp(rest, ", ", 2) == 0)
        rest += 2;
    if (strncmp(rest, "line ", 5) == 0) {
        rest += 5 + strspn(rest + 5, "0123456789");
        rest += strspn(rest, ": ");
    }
    return rest;
}
