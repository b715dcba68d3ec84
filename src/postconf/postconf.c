#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/mail_table.h"
#include "postconf/postconf.h"
#include "table/table.h"
#include "util/msg.h"

/* "+": options stand before names, as everywhere else. */
#define OPTIONS "+aAbc:C:deEfFhHjlmMno:pPqtT:vxX#"

static const char usage_text[] =
    "usage: postconf [-c config_dir] [-C class,...] [-d] [-e name=value] [-f] "
    "[-F [service[/type[/field]]]] [-h] [-H] [-l] [-m] [-M [service[/type]]] [-n] "
    "[-o name=value] [-p] [-P [service[/type[/name]]]] [-q] [-v] [-x] [-X name] "
    "[-# name] [name...]";

static const struct {
    const char *name;
    enum name_class class;
} classes[] = {
    {"builtin", CLASS_BUILTIN},
    {"service", CLASS_SERVICE},
    {"user", CLASS_USER},
    {"all", CLASS_ALL},
};

static unsigned parse_classes(const char *text)
{
    struct span rest = span_str(text), word;
    unsigned bits = 0;

    while (span_token(&rest, ", \t", &word)) {
        unsigned before = bits;

        for (size_t i = 0; i < ARRAY_LEN(classes); i++)
            if (span_ieq_str(word, classes[i].name))
                bits |= classes[i].class;
        if (bits == before)
            msg_fatal("unknown -C option value \"%.*s\" in \"%s\"", SPAN_ARG(word),
                      text);
    }
    return bits;
}

static void add_override(struct options *options, const char *text)
{
    struct span name, value;
    struct config_override *added;

    if (!config_usage_split(span_str(text), &name, &value))
        msg_fatal("invalid parameter override: %s: missing '=' after attribute name",
                  text);
    options->overrides = xrealloc(options->overrides, (options->override_count + 1) *
                                                          sizeof *options->overrides);
    added = &options->overrides[options->override_count++];
    added->name = xstrndup(name.ptr, name.len);
    added->value = xstrndup(value.ptr ? value.ptr : "", value.len);
}

static void set_mode(struct options *options, char mode)
{
    char low = mode < options->mode ? mode : options->mode;
    char high = mode < options->mode ? options->mode : mode;

    if (options->mode && options->mode != mode)
        msg_fatal("specify one of -%c -%c", low, high);
    options->mode = mode;
}

static void set_subject(struct options *options, char subject)
{
    if (options->subject && options->subject != subject)
        msg_fatal("specify one of -%c -%c", options->subject, subject);
    options->subject = subject;
}

static void parse_option(struct options *options, int letter)
{
    switch (letter) {
    case 'c':
        options->dir = optarg;
        break;
    case 'C':
        options->classes = parse_classes(optarg);
        break;
    case 'd':
    case 'e':
    case 'l':
    case 'm':
    case 'n':
    case 'X':
    case '#':
        set_mode(options, (char)letter);
        break;
    case 'f':
        options->fold = true;
        break;
    case 'F':
    case 'M':
    case 'p':
    case 'P':
        set_subject(options, (char)letter);
        break;
    case 'h':
        options->values_only = true;
        break;
    case 'H':
        options->names_only = true;
        break;
    case 'o':
        add_override(options, optarg);
        break;
    case 'q':
        options->quiet = true;
        break;
    case 'v':
        msg_verbose++;
        break;
    case 'x':
        options->expand = true;
        break;
    case 'a':
    case 'A':
    case 'b':
    case 'E':
    case 'j':
    case 't':
    case 'T':
        msg_fatal("option -%c is not supported in this version", letter);
    default:
        msg_fatal("%s", usage_text);
    }
}

static void check_options(const struct options *options)
{
    bool master = options->subject && options->subject != 'p';
    bool edits = options->mode && strchr("eX#", options->mode);

    if (edits && (options->expand || options->fold || options->overrides))
        msg_fatal("specify one of -%c -%c", options->mode,
                  options->expand ? 'x'
                  : options->fold ? 'f'
                                  : 'o');
    if (edits && (options->values_only || options->names_only))
        msg_fatal("specify one of -%c -%c", options->mode,
                  options->values_only ? 'h' : 'H');
    if (options->values_only && options->names_only)
        msg_fatal("specify one of -h -H");
    if (master && options->mode &&
        (!edits || (options->mode != 'e' && options->subject == 'F') ||
         (options->mode == '#' && options->subject == 'P')))
        msg_fatal("with option -%c, do not specify -%c", options->subject,
                  options->mode);
    if (options->subject == 'M' && (options->values_only || options->names_only))
        msg_fatal("with option -M, do not specify -%c",
                  options->values_only ? 'h' : 'H');
}

/* "name=value" without -e is an edit, as it is no name. */
static void imply_edit(struct options *options, char **args)
{
    for (; *args; args++)
        if (strchr(*args, '='))
            set_mode(options, 'e');
}

static void open_configuration(struct postconf *pc)
{
    struct options *options = &pc->options;
    struct config_source source = {.dir = options->dir,
                                   .program = "postconf",
                                   .overrides = options->overrides,
                                   .override_count = options->override_count};
    bool master = options->subject && options->subject != 'p';
    struct err err;

    pc->cfg = options->mode == 'd' ? config_new(&source) : config_open(&source, &err);
    if (!pc->cfg)
        msg_fatal("%s", err.text);
    pc->mcf = master_cf_load(pc->cfg, &err);
    if (!pc->mcf && master)
        msg_fatal("%s", err.text);
    if (!pc->mcf && options->mode != 'd')
        msg_warn("%s", err.text);
    pc->usage = config_usage_new(pc->cfg, pc->mcf);
}

static void show_configuration(struct postconf *pc, char **args)
{
    bool warn;

    open_configuration(pc);
    warn = pc->options.mode != 'd' && !pc->options.quiet;
    if (warn)
        config_usage_warn_undefined(pc->usage);
    switch (pc->options.subject) {
    case 'M':
        master_show_entries(pc, args);
        break;
    case 'F':
        master_show_fields(pc, args);
        break;
    case 'P':
        master_show_settings(pc, args);
        break;
    default:
        parameters_show(pc, args);
    }
    if (fflush(stdout) != 0)
        msg_fatal("write error on standard output");
    if (warn && pc->options.subject && pc->options.subject != 'p')
        config_usage_warn_unused_options(pc->usage);
    else if (warn)
        config_usage_warn_unused(pc->usage);
    config_usage_free(pc->usage);
    master_cf_free(pc->mcf);
    config_free(pc->cfg);
}

static void list_lock_methods(void)
{
    puts("flock\nfcntl\ndotlock");
}

static void list_table_types(struct postconf *pc)
{
    const char **names;
    struct err err;

    struct config_source source = {.dir = pc->options.dir,
                                   .program = "postconf",
                                   .overrides = pc->options.overrides,
                                   .override_count = pc->options.override_count};
    struct config *cfg = config_open(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    names = table_type_names(mail_table_env(cfg), cfg->arena, &err);
    if (!names)
        msg_fatal("%s", err.text);
    for (size_t i = 0; names[i]; i++)
        puts(names[i]);
    config_free(cfg);
}

static void edit(struct postconf *pc, char **args)
{
    struct err err;

    bool master = pc->options.subject && pc->options.subject != 'p';

    if (!*args)
        msg_fatal(pc->options.mode == 'e' ? "-e requires name=value argument"
                  : master                ? "missing service argument"
                                          : "-X or -# requires a parameter name");
    if (!(master ? edit_master_cf : edit_main_cf)(pc, args, &err))
        msg_fatal("%s", err.text);
}

int main(int argc, char **argv)
{
    struct postconf pc = {.options.classes = CLASS_ALL};
    int letter;

    msg_init("postconf");
    while ((letter = getopt(argc, argv, OPTIONS)) != -1)
        parse_option(&pc.options, letter);
    if (pc.options.mode != 'l' && pc.options.mode != 'm')
        imply_edit(&pc.options, argv + optind);
    check_options(&pc.options);
    switch (pc.options.mode) {
    case 'l':
        list_lock_methods();
        break;
    case 'm':
        list_table_types(&pc);
        break;
    case 'e':
    case 'X':
    case '#':
        edit(&pc, argv + optind);
        break;
    default:
        show_configuration(&pc, argv + optind);
    }
    for (size_t i = 0; i < pc.options.override_count; i++) {
        free((char *)(uintptr_t)pc.options.overrides[i].name);
        free((char *)(uintptr_t)pc.options.overrides[i].value);
    }
    free(pc.options.overrides);
    return 0;
}
