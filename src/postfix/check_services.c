/* The entries of master.cf: programs, columns, and what must be there. */
#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "master/service_log.h"
#include "postfix/check.h"

/* What the columns of an entry must say, by the program that it runs. */
enum process_rule { ANY_LIMIT, ONE_PROCESS, NO_LIMIT };

static const struct program_row {
    const char *name;
    enum process_rule limit;
    bool root;      /* unprivileged must be n */
    bool no_chroot; /* chroot must be n */
} programs[] = {
    {"anvil", ONE_PROCESS, false, false},      {"bounce", NO_LIMIT, false, false},
    {"cleanup", NO_LIMIT, false, false},       {"dnsblog", NO_LIMIT, false, false},
    {"flush", NO_LIMIT, false, false},         {"local", ANY_LIMIT, true, true},
    {"oqmgr", ONE_PROCESS, false, false},      {"pickup", ONE_PROCESS, false, false},
    {"pipe", ANY_LIMIT, true, true},           {"postlogd", ONE_PROCESS, false, true},
    {"postscreen", ONE_PROCESS, false, false}, {"proxymap", ANY_LIMIT, false, true},
    {"qmgr", ONE_PROCESS, false, false},       {"scache", ONE_PROCESS, false, false},
    {"spawn", ANY_LIMIT, true, true},          {"tlsmgr", ONE_PROCESS, false, false},
    {"tlsproxy", NO_LIMIT, false, false},      {"verify", ONE_PROCESS, false, false},
    {"virtual", ANY_LIMIT, true, true},
};

/* Services that others look for, by the directory of their sockets. */
static const struct service_row {
    const char *name;
    bool is_private;
    bool required;
    bool needs_wakeup;
} services[] = {
    {"cleanup", false, true, false}, {"pickup", false, true, true},
    {"qmgr", false, true, true},     {"rewrite", true, true, false},
    {"bounce", true, true, false},   {"defer", true, true, false},
    {"error", true, true, false},    {"retry", true, true, false},
    {"showq", false, true, false},   {"flush", false, false, false},
    {"trace", true, false, false},   {"anvil", true, false, false},
    {"verify", true, false, false},  {"tlsmgr", true, false, false},
};

static const struct program_row *program_of(const struct master_entry *entry)
{
    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        if (entry_runs(entry, programs[i].name))
            return &programs[i];
    return NULL;
}

/* proxywrite is proxymap with one process. */
static enum process_rule limit_of(const struct master_entry *entry)
{
    const struct program_row *row = program_of(entry);

    if (strcmp(entry->name, "proxywrite") == 0)
        return ONE_PROCESS;
    return row ? row->limit : ANY_LIMIT;
}

static void each_entry(struct check *check,
                       void (*fn)(struct check *check,
                                  const struct master_entry *entry))
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++)
        fn(check, &check->mcf->entries[i]);
}

/* -- the file -- */

static void unreadable(struct check *check)
{
    if (check->master_error)
        check_found(check, at_file(check->master_cf), "%s", check->master_error);
}

static void report_lines(struct check *check, bool errors)
{
    for (size_t i = 0; i < check->master_line_count; i++) {
        const struct check_line *line = &check->master_lines[i];

        if (line->error == errors)
            check_found(
                check,
                (struct check_place){.file = check->master_cf, .line = line->line},
                "%s", line->text);
    }
}

static void bad_lines(struct check *check)
{
    report_lines(check, true);
}

static void odd_lines(struct check *check)
{
    report_lines(check, false);
}

static void duplicates(struct check *check)
{
    for (size_t i = 0; i < check->entry_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct master_entry *a = &check->entries[j], *b = &check->entries[i];

            if (a->type != b->type || strcmp(a->name, b->name) != 0)
                continue;
            check_found(check, at_entry(check, b),
                        "duplicate entry for %s/%s (line %d)", b->name,
                        service_type_name(b->type), a->line);
            break;
        }
    }
}

/* -- programs -- */

static void report_program(struct check *check, const struct master_entry *entry)
{
    const char *path = arena_printf(check->arena, "%s/%s", check->cfg->daemon_directory,
                                    entry->command);

    if (!entry_is_off(check, entry) && access(path, X_OK) < 0)
        check_found(check, at_entry(check, entry), "cannot execute %s: %s", path,
                    strerror(errno));
}

/* An existing master.cf may name services of a feature that is never used. */
static void missing_programs(struct check *check)
{
    each_entry(check, report_program);
}

static void report_single(struct check *check, const struct master_entry *entry)
{
    if (limit_of(entry) == ONE_PROCESS && entry->process_limit != 1)
        check_found(check, at_entry(check, entry), "process limit is %lld, not 1",
                    (long long)entry->process_limit);
}

static void single_process(struct check *check)
{
    each_entry(check, report_single);
}

static void report_limit(struct check *check, const struct master_entry *entry)
{
    if (limit_of(entry) == NO_LIMIT && entry->process_limit != 0)
        check_found(check, at_entry(check, entry), "process limit is %lld, not 0",
                    (long long)entry->process_limit);
}

static void no_limit(struct check *check)
{
    each_entry(check, report_limit);
}

static void report_root(struct check *check, const struct master_entry *entry)
{
    const struct program_row *row = program_of(entry);

    if (row && row->root && entry->unprivileged)
        check_found(check, at_entry(check, entry), "%s runs unprivileged",
                    entry->command);
}

static void needs_root(struct check *check)
{
    each_entry(check, report_root);
}

static void report_chroot(struct check *check, const struct master_entry *entry)
{
    const struct program_row *row = program_of(entry);

    if (row && row->no_chroot && entry->chroot)
        check_found(check, at_entry(check, entry), "%s runs chrooted", entry->command);
}

static void must_not_chroot(struct check *check)
{
    each_entry(check, report_chroot);
}

/* -- services that others need -- */

static const struct master_entry *any_type(const struct check *check, const char *name)
{
    const struct master_entry *entry = find_entry(check, name, SERVICE_UNIX);

    return entry ? entry : find_entry(check, name, SERVICE_FIFO);
}

static void missing_services(struct check *check)
{
    for (size_t i = 0; check->mcf && i < ARRAY_LEN(services); i++)
        if (services[i].required && !any_type(check, services[i].name))
            check_found(check, at_file(check->master_cf), "no service %s/unix in %s",
                        services[i].name, check->master_cf);
}

static void wrong_directory(struct check *check)
{
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        const struct master_entry *entry = any_type(check, services[i].name);

        if (entry && entry->is_private != services[i].is_private)
            check_found(check, at_entry(check, entry), "private is %s, not %s",
                        entry->is_private ? "y" : "n", entry->is_private ? "n" : "y");
    }
}

static void no_wakeup(struct check *check)
{
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        const struct master_entry *entry =
            services[i].needs_wakeup ? any_type(check, services[i].name) : NULL;

        if (entry && entry->wakeup_s == 0)
            check_found(check, at_entry(check, entry), "no wake-up time");
    }
}

/* Transports that parameters name, while mail can go that way. */
static const struct transport_row {
    const char *parameter, *unless_empty;
} transports[] = {
    {"default_transport", NULL},
    {"local_transport", "mydestination"},
    {"relay_transport", "relay_domains"},
    {"virtual_transport", "virtual_mailbox_domains"},
    {"content_filter", NULL},
    {"mailbox_transport", NULL},
    {"fallback_transport", NULL},
    {"address_verify_default_transport", NULL},
};

static void missing_transport(struct check *check)
{
    for (size_t i = 0; check->mcf && i < ARRAY_LEN(transports); i++) {
        const char *value = view_value(&check->views[0], transports[i].parameter);
        struct span rest = span_str(value), name = span_trim(span_cut(&rest, ':'));
        const char *text = arena_span_str(check->arena, name);

        /* What follows another parameter is reported there. */
        if (!name.len || (i == ARRAY_LEN(transports) - 1 &&
                          !config_line(check->cfg, transports[i].parameter)))
            continue;
        if (transports[i].unless_empty &&
            !view_value(&check->views[0], transports[i].unless_empty)[0])
            continue;
        if (!find_entry(check, text, SERVICE_UNIX))
            check_found(check, at_main(check, transports[i].parameter),
                        "%s: no service %s/unix in %s", transports[i].parameter, text,
                        check->master_cf);
    }
}

/* -- the log -- */

static const struct master_entry *find_postlog(const struct check *check)
{
    const struct master_entry *entry =
        find_entry(check, check->cfg->postlog_service_name, SERVICE_UNIX_DGRAM);

    return entry && !entry_is_off(check, entry) ? entry : NULL;
}

static void log_file(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (cfg->maillog_file[0] && find_postlog(check) && !service_log_file_allowed(cfg))
        check_found(check, at_main(check, "maillog_file"),
                    "maillog_file \"%s\" is not below one of maillog_file_prefixes "
                    "\"%s\"",
                    cfg->maillog_file, cfg->maillog_file_prefixes);
}

static void log_service(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (cfg->maillog_file[0] && check->mcf && !find_postlog(check))
        check_found(check, at_main(check, "maillog_file"),
                    "maillog_file is set, but %s has no service \"%s unix-dgram ... "
                    "postlogd\" to write it",
                    check->master_cf, cfg->postlog_service_name);
}

/* -- pipe -- */

static struct span pipe_attribute(const struct master_entry *entry, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < entry->argc; i++)
        if (strncmp(entry->argv[i], name, len) == 0 && entry->argv[i][len] == '=')
            return span_str(entry->argv[i] + len + 1);
    return SPAN_EMPTY;
}

static struct span pipe_user(const struct master_entry *entry)
{
    struct span rest = pipe_attribute(entry, "user");

    return span_cut(&rest, ':');
}

static void report_pipe(struct check *check, const struct master_entry *entry)
{
    bool has_user = pipe_user(entry).len > 0;

    if (entry_runs(entry, "pipe") && (!has_user || !pipe_attribute(entry, "argv").len))
        check_found(check, at_entry(check, entry), "pipe without %s",
                    has_user ? "argv=" : "user=");
}

static void pipe_arguments(struct check *check)
{
    each_entry(check, report_pipe);
}

static void report_pipe_user(struct check *check, const struct master_entry *entry)
{
    struct span user = pipe_user(entry);

    if (entry_runs(entry, "pipe") && user.len &&
        !getpwnam(arena_span_str(check->arena, user)))
        check_found(check, at_entry(check, entry), "user=%.*s is not known",
                    SPAN_ARG(user));
}

/* As with missing programs: nobody may use the service. */
static void unknown_pipe_users(struct check *check)
{
    each_entry(check, report_pipe_user);
}

const struct check_rule check_service_rules[] = {
    {"master-cf-unreadable", CHECK_ERROR, CHECK_FATAL, unreadable,
     "without it there are no services", "restore the file"},
    {"master-cf-syntax", CHECK_ERROR, CHECK_FATAL, bad_lines,
     "the master daemon refuses the whole file",
     "correct the line; master(5) has the "
     "columns"},
    {"master-cf-warning", CHECK_WARNING, 0, odd_lines,
     "the line may not mean what it looks like", "correct the line"},
    {"duplicate-service", CHECK_WARNING, 0, duplicates,
     "the last entry counts, the earlier one has no effect", "remove one of them"},
    {"missing-program", CHECK_WARNING, CHECK_START, missing_programs,
     "the service fails whenever it is used",
     "put a comment sign before the entry, or install the program"},
    {"single-process", CHECK_ERROR, 0, single_process,
     "several processes of it would work against each other",
     "make the process limit 1"},
    {"process-limit", CHECK_WARNING, 0, no_limit,
     "mail that is under way waits for it, and at the limit may wait for itself",
     "make the process limit 0"},
    {"needs-root", CHECK_ERROR, 0, needs_root,
     "it takes on the rights of recipients or configured users, which only root can",
     "make the unprivileged column n"},
    {"no-chroot", CHECK_ERROR, 0, must_not_chroot,
     "it cannot reach what it needs from there", "make the chroot column n"},
    {"missing-service", CHECK_ERROR, 0, missing_services,
     "other services wait for it, and mail with them",
     "add the entry; master(5) and the stock master.cf have it"},
    {"service-directory", CHECK_ERROR, 0, wrong_directory,
     "its socket is in a directory where nobody looks for it",
     "correct the private column"},
    {"no-wakeup", CHECK_WARNING, 0, no_wakeup,
     "a lost notification delays mail until the next one arrives",
     "set a wake-up time: 60 for pickup, 300 for qmgr"},
    {"missing-transport", CHECK_ERROR, 0, missing_transport,
     "mail that goes this way is deferred: mail transport unavailable",
     "correct the name, or add the service"},
    {"log-file-prefix", CHECK_ERROR, CHECK_FATAL, log_file,
     "postlogd refuses to run, and what happens would be logged nowhere",
     "add its directory to maillog_file_prefixes, or choose another file"},
    {"log-service", CHECK_ERROR, CHECK_START, log_service,
     "what happens would be logged nowhere", "add the service"},
    {"pipe-arguments", CHECK_ERROR, 0, pipe_arguments,
     "the service fails whenever it is used",
     "give user= (not root), and argv= last; see pipe(8)"},
    {"pipe-user", CHECK_WARNING, 0, unknown_pipe_users,
     "the service fails whenever it is used",
     "create the account, or put a comment sign before the entry"},
    {.code = NULL},
};
