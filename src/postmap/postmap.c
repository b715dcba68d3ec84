/* postmap and postalias: build, query and change lookup tables. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/mail_table.h"
#include "master/service_log.h"
#include "postmap/postmap.h"
#include "util/msg.h"

struct options {
    struct postmap pm;
    struct config_source source;
    const char *query, *delete;
    bool dump, check_utf8_off, replace, ignore;
};

static _Noreturn void usage(const struct options *opt)
{
    const char *program = opt->source.program;

    msg_fatal("usage: %s [-fFinNoprsuvw] [-c config_dir] [-d key] [-q key] "
              "[map_type:]file...",
              program);
}

static void only_one(const struct options *opt)
{
    if (opt->dump + (opt->query != NULL) + (opt->delete != NULL) > 1)
        msg_fatal("specify only one of -s -q or -d");
}

static void parse_option(struct options *opt, int option)
{
    struct postmap *pm = &opt->pm;

    switch (option) {
    case 'c':
        opt->source.dir = optarg;
        break;
    case 'd':
        opt->delete = optarg;
        break;
    case 'f':
        pm->flags |= TABLE_NO_FOLD;
        break;
    case 'F':
        pm->flags |= TABLE_BASE64;
        pm->files_as_values = true;
        break;
    case 'i':
        pm->incremental = true;
        break;
    case 'n':
        pm->flags |= TABLE_NO_NUL;
        break;
    case 'N':
        pm->flags &= ~(unsigned)TABLE_NO_NUL;
        break;
    case 'o':
        pm->keep_root = true;
        break;
    case 'p':
        pm->drop_mode = true;
        break;
    case 'q':
        opt->query = optarg;
        break;
    case 'r':
        opt->replace = true;
        break;
    case 's':
        opt->dump = true;
        break;
    case 'u':
        opt->check_utf8_off = true;
        break;
    case 'v':
        msg_verbose++;
        break;
    case 'w':
        opt->ignore = true;
        break;
    default:
        usage(opt);
    }
}

static void finish_options(struct options *opt)
{
    struct postmap *pm = &opt->pm;
    struct err err;

    only_one(opt);
    struct config *cfg = config_load(&opt->source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    service_log_open_command(cfg, opt->source.program);
    msg_also_stderr(true);
    pm->cfg = cfg;
    pm->env = mail_table_env(cfg);
    pm->check_utf8 = cfg->smtputf8_enable && !opt->check_utf8_off;
    if (pm->check_utf8)
        pm->flags |= TABLE_UTF8;
    pm->flags |= opt->replace  ? TABLE_REPLACE_DUP
                 : opt->ignore ? TABLE_IGNORE_DUP
                               : TABLE_WARN_DUP;
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
    const char *slash = strrchr(argv[0], '/');
    const char *self = slash ? slash + 1 : argv[0];
    struct options opt = {.pm.is_alias = strcmp(self, "postalias") == 0};
    int option, status = 0;

    opt.source.program = opt.pm.is_alias ? "postalias" : "postmap";
    msg_init(opt.source.program);
    while ((option = getopt(argc, argv, "c:d:fFinNopq:rsuvw")) != -1)
        parse_option(&opt, option);
    if (argc == optind)
        usage(&opt);
    finish_options(&opt);
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
    return status;
}
