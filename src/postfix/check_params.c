/* Settings of main.cf and -o options: names, values, references. */
#include "global/config_internal.h"
#include "global/config_usage.h"
#include "postfix/check.h"

/* -- main.cf as text -- */

static void bad_lines(struct check *check)
{
    for (size_t i = 0; i < check->load->line_count; i++) {
        const struct load_line *line = &check->load->lines[i];

        if (line->problem && !ascii_space(line->text[0]))
            check_found(
                check, (struct check_place){.file = check->main_cf, .line = line->line},
                "%s: \"%s\"", line->problem, line->text);
    }
}

static void stray_lines(struct check *check)
{
    for (size_t i = 0; i < check->load->line_count; i++) {
        const struct load_line *line = &check->load->lines[i];

        if (line->problem && ascii_space(line->text[0]))
            check_found(
                check, (struct check_place){.file = check->main_cf, .line = line->line},
                "%s: \"%s\"", line->problem, line->text);
    }
}

static struct check_place at_line(const struct check *check,
                                  const struct load_line *line)
{
    return (struct check_place){
        .file = check->main_cf, .line = line->line, .parameter = line->name};
}

static void duplicates(struct check *check)
{
    const struct load *load = check->load;

    for (size_t i = 0; i < load->line_count; i++) {
        for (size_t j = 0; load->lines[i].name && j < i; j++) {
            if (!load->lines[j].name ||
                strcmp(load->lines[i].name, load->lines[j].name) != 0)
                continue;
            check_found(check, at_line(check, &load->lines[i]),
                        "overriding earlier entry: %s=%s (line %d)",
                        load->lines[j].name, load->lines[j].value, load->lines[j].line);
            break;
        }
    }
}

/* -- values -- */

/* A parameter that has such a value by default has it from one that is set. */
static bool is_consequence(const struct check *check,
                           const struct load_problem *problem)
{
    if (config_line(check->cfg, problem->name))
        return false;
    for (size_t i = 0; i < check->load->problem_count; i++)
        if (config_line(check->cfg, check->load->problems[i].name))
            return true;
    return false;
}

static void bad_values(struct check *check)
{
    for (size_t i = 0; i < check->load->problem_count; i++) {
        const struct load_problem *problem = &check->load->problems[i];

        if (is_consequence(check, problem))
            continue;
        check_found(check, at_main(check, problem->name), "%s",
                    load_strip_place(problem->text, check->main_cf));
    }
}

static void bad_overrides(struct check *check)
{
    for (size_t i = 1; i < check->view_count; i++) {
        const struct check_view *view = &check->views[i];

        if (entry_is_off(check, view->entry))
            continue;
        for (size_t j = 0; j < view->problem_count; j++)
            check_found(check, at_view(check, view, view->problems[j].name), "%s",
                        load_strip_place(view->problems[j].text, check->main_cf));
    }
}

/* -- names -- */

/* Calls fn for each -o setting; name_out lives in the arena. */
static void each_override(struct check *check,
                          void (*fn)(struct check *check,
                                     const struct master_entry *entry, const char *name,
                                     struct span value))
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span setting, name, value;

        for (size_t j = 0; check_next_option(entry, &j, &setting);)
            if (config_usage_split(setting, &name, &value))
                fn(check, entry, arena_span_str(check->arena, name), value);
    }
}

static void override_syntax(struct check *check)
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span setting, name, value;

        for (size_t j = 0; check_next_option(entry, &j, &setting);)
            if (!entry_is_off(check, entry) &&
                !config_usage_split(setting, &name, &value))
                check_found(check, at_entry(check, entry),
                            "not name=value: \"-o %.*s\"", SPAN_ARG(setting));
    }
}

static void odd_options(struct check *check)
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span value;
        int option;

        for (size_t j = 0; (option = check_next_argument(entry, &j, &value)) != 0;) {
            if (option == '?')
                check_found(check, at_entry(check, entry), "unknown option: %s",
                            entry->argv[j - 1]);
            else if (option == 'o' && !value.ptr)
                check_found(check, at_entry(check, entry), "option -o without a value");
        }
    }
}

static void advise_name(struct check *check, const char *name)
{
    const char *other = param_suggest(span_str(name));

    if (other)
        check_advise(check, "did you mean %s?", other);
}

static void unknown_names(struct check *check)
{
    struct config_usage *usage = config_usage_new(check->cfg, check->mcf);

    for (size_t i = 0; i < check->load->line_count; i++) {
        const struct load_line *line = &check->load->lines[i];

        if (!line->name || config_usage_known(usage, span_str(line->name)))
            continue;
        advise_name(check, line->name);
        check_found(check, at_line(check, line), "unused parameter: %s=%s", line->name,
                    line->value);
    }
    config_usage_free(usage);
}

static void unknown_overrides(struct check *check)
{
    struct config_usage *usage = config_usage_new(check->cfg, check->mcf);

    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span setting, name, value;

        for (size_t j = 0; check_next_option(entry, &j, &setting);) {
            struct check_place place = at_entry(check, entry);

            if (!config_usage_split(setting, &name, &value) ||
                config_usage_known(usage, name))
                continue;
            place.parameter = arena_span_str(check->arena, name);
            advise_name(check, place.parameter);
            check_found(check, place, "unused parameter: %.*s=%.*s", SPAN_ARG(name),
                        SPAN_ARG(value));
        }
    }
    config_usage_free(usage);
}

static void report_deprecated(struct check *check, struct check_place place)
{
    const struct param_row *row = param_find(span_str(place.parameter));

    if (!row || !row->successor)
        return;
    check_advise(check, "instead, specify %s", row->successor);
    check_found(check, place, "deprecated parameter: %s", place.parameter);
}

static void deprecated_override(struct check *check, const struct master_entry *entry,
                                const char *name, struct span value UNUSED)
{
    struct check_place place = at_entry(check, entry);

    place.parameter = name;
    report_deprecated(check, place);
}

static void deprecated(struct check *check)
{
    for (size_t i = 0; i < check->load->line_count; i++)
        if (check->load->lines[i].name)
            report_deprecated(check, at_line(check, &check->load->lines[i]));
    each_override(check, deprecated_override);
}

static void fixed_names(struct check *check)
{
    for (size_t i = 0; i < check->load->line_count; i++) {
        const struct load_line *line = &check->load->lines[i];
        const struct param_row *row =
            line->name ? param_find(span_str(line->name)) : NULL;

        if (row && row->flags & PARAM_READONLY)
            check_found(check, at_line(check, line), "%s cannot be set", line->name);
    }
}

/* -- references and comments -- */

static void report_undefined(struct check *check, struct config_usage *usage,
                             struct check_place place, struct span value)
{
    const struct param_row *row = param_find(span_str(place.parameter));
    struct span name;

    /* Raw values have names of their own, such as $recipient. */
    if (row && row->kind == PARAM_RAW)
        return;
    while (config_usage_next_reference(&value, &name)) {
        if (config_usage_defined(usage, name))
            continue;
        advise_name(check, arena_span_str(check->arena, name));
        check_found(check, place, "undefined parameter: $%.*s", SPAN_ARG(name));
    }
}

static void undefined_names(struct check *check)
{
    struct config_usage *usage = config_usage_new(check->cfg, check->mcf);

    for (size_t i = 0; i < check->load->line_count; i++) {
        const struct load_line *line = &check->load->lines[i];

        if (line->name)
            report_undefined(check, usage, at_line(check, line), span_str(line->value));
    }
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];
        struct span setting, name, value;

        for (size_t j = 0; check_next_option(entry, &j, &setting);) {
            struct check_place place = at_entry(check, entry);

            if (!config_usage_split(setting, &name, &value))
                continue;
            place.parameter = arena_span_str(check->arena, name);
            report_undefined(check, usage, place, value);
        }
    }
    config_usage_free(usage);
}

/* Banners and replies may well hold a '#'. */
static bool takes_text(const char *name)
{
    const struct param_row *row = param_find(span_str(name));

    return row &&
           (row->kind == PARAM_RAW || span_ends(span_str(name), SPAN_LIT("_banner")) ||
            span_ends(span_str(name), SPAN_LIT("_reply")) ||
            span_ends(span_str(name), SPAN_LIT("_text")) ||
            span_ends(span_str(name), SPAN_LIT("_command")));
}

static void comments(struct check *check)
{
    for (size_t i = 0; i < check->load->line_count; i++) {
        const struct load_line *line = &check->load->lines[i];
        struct span rest = span_str(line->value), word;

        if (!line->name || takes_text(line->name))
            continue;
        while (span_token_braces(&rest, " \t\r\n", &word)) {
            if (word.ptr[0] != '#')
                continue;
            check_found(check, at_line(check, line), "comment text in the value: %.*s",
                        (int)(line->value + strlen(line->value) - word.ptr), word.ptr);
            break;
        }
    }
}

const struct check_rule check_param_rules[] = {
    {"main-cf-syntax", CHECK_ERROR, CHECK_FATAL, bad_lines,
     "no program can read a main.cf with such a line", "write name = value"},
    {"stray-continuation", CHECK_WARNING, 0, stray_lines,
     "it continues the line before it, but there is none: the text is ignored",
     "remove the white space in front of the name"},
    {"bad-value", CHECK_ERROR, CHECK_FATAL, bad_values,
     "programs that read it refuse to run",
     "correct the value; postconf(5) has its form and bounds, \"postconf -d\" the "
     "default"},
    {"override-syntax", CHECK_ERROR, CHECK_FATAL, override_syntax,
     "the service ends when it starts", "write -o name=value or -o { name = value }"},
    {"service-option", CHECK_ERROR, 0, odd_options, "the service ends when it starts",
     "services have -o, -v and -D; quotes and spaces go into -o { name = value }"},
    {"bad-override", CHECK_ERROR, CHECK_FATAL, bad_overrides,
     "the service refuses to run",
     "correct the value; postconf(5) has its form and bounds, \"postconf -d\" the "
     "default"},
    {"unknown-parameter", CHECK_WARNING, 0, unknown_names,
     "nothing reads a parameter of that name, so the setting has no effect",
     "correct the name or remove the line"},
    {"unknown-override", CHECK_WARNING, 0, unknown_overrides,
     "nothing reads a parameter of that name, so the option has no effect",
     "correct the name or remove the option"},
    {"deprecated-parameter", CHECK_WARNING, 0, deprecated,
     "support for the old name will be removed", "use the new name"},
    {"readonly-parameter", CHECK_WARNING, 0, fixed_names,
     "the mail system itself sets its value, so the setting has no effect",
     "remove the line"},
    {"duplicate-parameter", CHECK_WARNING, 0, duplicates,
     "the last setting counts, the earlier one has no effect", "remove one of them"},
    {"undefined-name", CHECK_WARNING, 0, undefined_names, "it expands to nothing",
     "correct the name, or define it; $$ is a dollar sign"},
    {"comment-in-value", CHECK_WARNING, 0, comments,
     "comments start at the beginning of a line; here the text is part of the value",
     "put the comment on a line of its own"},
    {.code = NULL},
};
