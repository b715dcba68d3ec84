/* postmap and postalias: build, query and change lookup tables. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/mail_table.h"
#include "master/service_log.h"
#include "postmap/postmap.h"
#include "util/msg.h"

#define POSTMAP_OPTIONS   "+bc:d:fFhijmnNopq:rsuUvw"
#define POSTALIAS_OPTIONS "+c:d:fijnNopq:rsuvw"

struct options {
    struct postmap pm;
    struct config_source source;
    const char *query, *delete;
    bool dump, check_utf8_off, check_utf8_on, replace, ignore;
};

static _Noreturn void usage(const struct options *opt)
{
    msg_fatal("usage: %s [-%s] [-c config_dir] [-d key] [-q key] [map_type:]file...",
              opt->source.program,
              opt->pm.is_alias ? "Nfijnoprsuvw" : "bfFhijmnNoprsuUvw");
}

/* What is done, as far as it decides between options; false: another letter. */
static bool parse_action(struct options *opt, int option)
{
    bool taken = opt->query || opt->delete;

    switch (option) {
    case 'd':
    case 'q':
        if (taken || opt->dump)
            msg_fatal("specify only one of -s -q or -d");
        *(option == 'd' ? &opt->delete : &opt->query) = optarg;
        return true;
    case 's':
        if (taken)
            msg_fatal("specify only one of -s or -q or -d");
        opt->dump = true;
        return true;
    case 'i':
        opt->pm.incremental = true;
        return true;
    case 'r':
        opt->replace = true;
        return true;
    case 'w':
        opt->ignore = true;
        return true;
    default:
        return false;
    }
}

/* How keys and values are to be taken. */
static bool parse_form(struct options *opt, int option)
{
    struct postmap *pm = &opt->pm;

    switch (option) {
    case 'b':
        return pm->content.body = true;
    case 'f':
        pm->flags |= TABLE_NO_FOLD;
        return true;
    case 'F':
        pm->flags |= TABLE_BASE64;
        return pm->files_as_values = true;
    case 'h':
        return pm->content.headers = true;
    case 'j':
        return pm->json = true;
    case 'm':
        return pm->content.mime = true;
    case 'n':
        pm->flags |= TABLE_NO_NUL;
        return true;
    case 'N':
        pm->flags &= ~(unsigned)TABLE_NO_NUL;
        return true;
    case 'u':
        return opt->check_utf8_off = true;
    case 'U':
        return opt->check_utf8_on = true;
    default:
        return false;
    }
}

static void parse_option(struct options *opt, int option)
{
    if (parse_action(opt, option) || parse_form(opt, option))
        return;
    switch (option) {
    case 'c':
        opt->source.dir = optarg;
        break;
    case 'o':
        opt->pm.keep_root = true;
        break;
    case 'p':
        opt->pm.drop_mode = true;
        break;
    case 'v':
        msg_verbose++;
        break;
    default:
        usage(opt);
    }
}

static void check_content_options(struct options *opt)
{
    struct content_want *want = &opt->pm.content;
    bool in_message = want->headers || want->body;

    if (in_message && (!opt->query || strcmp(opt->query, "-") != 0))
        msg_fatal("specify -b -h or -m only with \"-q -\"");
    if (want->mime && !in_message)
        msg_warn("ignoring -m option without -b or -h");
}

/* Messages may be in any encoding, unless -U says that this is to be looked at. */
static bool wants_utf8(const struct options *opt)
{
    const struct content_want *want = &opt->pm.content;

    return opt->pm.cfg->smtputf8_enable && !opt->check_utf8_off &&
           (opt->check_utf8_on || (!want->headers && !want->body));
}

static struct config *finish_options(struct options *opt)
{
    struct postmap *pm = &opt->pm;
    struct err err;

    check_content_options(opt);
    struct config *cfg = config_load(&opt->source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    service_log_open_command(cfg, opt->source.program);
    msg_also_stderr(true);
    pm->cfg = cfg;
    pm->env = mail_table_env(cfg);
    pm->check_utf8 = wants_utf8(opt);
    if (pm->check_utf8)
        pm->flags |= TABLE_UTF8;
    pm->flags |= opt->ignore    ? TABLE_IGNORE_DUP
                 : opt->replace ? TABLE_REPLACE_DUP
                                : TABLE_WARN_DUP;
    return cfg;
}

/* A plain file name is of the default type. */
static char **table_names(const struct postmap *pm, char **args, int count)
{
    char **names = xcalloc((size_t)count + 1, sizeof(*names));

    for (int i = 0; i < count; i++)
        names[i] = strchr(args[i], ':')
                       ? args[i]
                       : arena_printf(pm->cfg->arena, "%s:%s",
                                      pm->cfg->default_database_type, args[i]);
    return names;
}

static void build_all(const struct postmap *pm, char **names)
{
    for (size_t i = 0; names[i]; i++) {
        if (pm->incremental)
            postmap_add_stdin(pm, names[i]);
        else
            postmap_build(pm, names[i]);
    }
}

int main(int argc, char **argv)
{
    char *slash = strrchr(argv[0], '/');
    struct options opt = {0};
    int option, status = 0;

    if (slash)
        argv[0] = slash + 1; /* getopt speaks under this name */
    opt.pm.is_alias = strcmp(argv[0], "postalias") == 0;
    opt.source.program = opt.pm.is_alias ? "postalias" : "postmap";
    msg_init(opt.source.program);
    const char *letters = opt.pm.is_alias ? POSTALIAS_OPTIONS : POSTMAP_OPTIONS;
    while ((option = getopt(argc, argv, letters)) != -1)
        parse_option(&opt, option);
    if (argc == optind)
        usage(&opt);
    struct config *cfg = finish_options(&opt);
    char **names = table_names(&opt.pm, argv + optind, argc - optind);
    if (opt.query)
        status = postmap_query(&opt.pm, names, opt.query);
    else if (opt.delete)
        status = postmap_delete(&opt.pm, names, opt.delete);
    else if (opt.dump)
        status = postmap_dump(&opt.pm, names);
    else
        build_all(&opt.pm, names);
    free(names);
    config_free(cfg);
    return status;
}
