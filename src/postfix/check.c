#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/master_cf.h"
#include "master/service_log.h"
#include "postfix/postfix.h"
#include "util/msg.h"

enum owner_kind { OWNER_ROOT, OWNER_MAIL };
enum group_kind { GROUP_ANY, GROUP_SETGID };

/* Directories below queue_directory. */
static const struct layout_row {
    const char *name;
    enum owner_kind owner;
    enum group_kind group;
    mode_t mode;
} layout[] = {
    {"active", OWNER_MAIL, GROUP_ANY, 0700},
    {"bounce", OWNER_MAIL, GROUP_ANY, 0700},
    {"corrupt", OWNER_MAIL, GROUP_ANY, 0700},
    {"defer", OWNER_MAIL, GROUP_ANY, 0700},
    {"deferred", OWNER_MAIL, GROUP_ANY, 0700},
    {"flush", OWNER_MAIL, GROUP_ANY, 0700},
    {"hold", OWNER_MAIL, GROUP_ANY, 0700},
    {"incoming", OWNER_MAIL, GROUP_ANY, 0700},
    {"private", OWNER_MAIL, GROUP_ANY, 0700},
    {"saved", OWNER_MAIL, GROUP_ANY, 0700},
    {"trace", OWNER_MAIL, GROUP_ANY, 0700},
    {"maildrop", OWNER_MAIL, GROUP_SETGID, 0730},
    {"public", OWNER_MAIL, GROUP_SETGID, 0710},
    {"pid", OWNER_ROOT, GROUP_ANY, 0755},
};

/* One run of the checks. */
struct check {
    struct postfix *pf;
    uid_t mail_uid;
    gid_t mail_gid, setgid_gid;
    bool failed;
};

static void fail(struct check *check, const char *path)
{
    msg_error("%s: %s", path, strerror(errno));
    check->failed = true;
}

/* -- owners -- */

static bool find_owners(struct check *check)
{
    const struct config *cfg = check->pf->cfg;
    const struct passwd *owner;
    const struct group *group;

    if (check->pf->rootless) {
        check->mail_uid = geteuid();
        check->mail_gid = check->setgid_gid = getegid();
        return true;
    }
    owner = getpwnam(cfg->mail_owner);
    if (!owner || owner->pw_uid == 0) {
        msg_error("parameter mail_owner: \"%s\" is %s", cfg->mail_owner,
                  owner ? "the superuser" : "not known as a user");
        return false;
    }
    check->mail_uid = owner->pw_uid;
    check->mail_gid = owner->pw_gid;
    group = getgrnam(cfg->setgid_group);
    if (!group || group->gr_gid == check->mail_gid) {
        msg_error("parameter setgid_group: \"%s\" is %s", cfg->setgid_group,
                  group ? "the group of mail_owner, which is not safe"
                        : "not known as a group");
        return false;
    }
    check->setgid_gid = group->gr_gid;
    return true;
}

static uid_t owner_uid(const struct check *check, enum owner_kind owner)
{
    return owner == OWNER_MAIL || check->pf->rootless ? check->mail_uid : 0;
}

static const char *owner_name(const struct check *check, enum owner_kind owner)
{
    if (check->pf->rootless)
        return "you";
    return owner == OWNER_MAIL ? check->pf->cfg->mail_owner : "root";
}

/* -- directories -- */

static bool make_parents(const char *path)
{
    char part[1024];

    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return true;
}

static void make_directory(struct check *check, const char *path,
                           const struct layout_row *row)
{
    gid_t group = row->group == GROUP_SETGID ? check->setgid_gid : (gid_t)-1;

    if (!make_parents(path) || mkdir(path, 0700) < 0) {
        fail(check, path);
        return;
    }
    if (!check->pf->rootless && chown(path, owner_uid(check, row->owner), group) < 0)
        fail(check, path);
    if (chmod(path, row->mode) < 0)
        fail(check, path);
}

static void warn_directory(struct check *check, const char *path, const struct stat *st,
                           const struct layout_row *row)
{
    if (!S_ISDIR(st->st_mode)) {
        errno = ENOTDIR;
        fail(check, path);
        return;
    }
    if (st->st_uid != owner_uid(check, row->owner))
        msg_warn("not owned by %s: %s", owner_name(check, row->owner), path);
    if (check->pf->rootless)
        return;
    if (row->group == GROUP_SETGID && st->st_gid != check->setgid_gid)
        msg_warn("not owned by group %s: %s", check->pf->cfg->setgid_group, path);
    if ((st->st_mode & ~row->mode & 07022) != 0)
        msg_warn("group or other writable: %s", path);
}

static void check_directory(struct check *check, const char *path,
                            const struct layout_row *row)
{
    struct stat st;

    if (lstat(path, &st) == 0)
        warn_directory(check, path, &st, row);
    else if (errno == ENOENT)
        make_directory(check, path, row);
    else
        fail(check, path);
}

static void check_queue(struct check *check)
{
    static const struct layout_row top = {"", OWNER_ROOT, GROUP_ANY, 0755};
    static const struct layout_row data = {"", OWNER_MAIL, GROUP_ANY, 0700};
    const struct config *cfg = check->pf->cfg;

    check_directory(check, cfg->queue_directory, &top);
    for (size_t i = 0; i < ARRAY_LEN(layout) && !check->failed; i++)
        check_directory(check,
                        arena_printf(cfg->arena, "%s/%s", cfg->queue_directory,
                                     strcmp(layout[i].name, "pid") == 0
                                         ? cfg->process_id_directory
                                         : layout[i].name),
                        &layout[i]);
    check_directory(check, cfg->data_directory, &data);
}

/* -- files that decide who may do what -- */

static void warn_ownership(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return;
    if (st.st_uid != 0)
        msg_warn("not owned by root: %s", path);
    if (st.st_mode & 022)
        msg_warn("group or other writable: %s", path);
}

static void warn_setgid_command(const struct check *check, const char *name)
{
    const struct config *cfg = check->pf->cfg;
    const char *path = arena_printf(cfg->arena, "%s/%s", cfg->command_directory, name);
    struct stat st;

    if (stat(path, &st) < 0)
        return;
    if (st.st_gid != check->setgid_gid)
        msg_warn("not owned by group %s: %s", cfg->setgid_group, path);
    if ((st.st_mode & 02111) != 02111)
        msg_warn("not set-gid or not owner+group+world executable: %s", path);
}

static void warn_files(const struct check *check)
{
    const struct config *cfg = check->pf->cfg;

    if (check->pf->rootless)
        return;
    warn_ownership(cfg->dir);
    warn_ownership(arena_printf(cfg->arena, "%s/main.cf", cfg->dir));
    warn_ownership(arena_printf(cfg->arena, "%s/master.cf", cfg->dir));
    warn_ownership(cfg->daemon_directory);
    warn_ownership(cfg->command_directory);
    warn_setgid_command(check, "postqueue");
    warn_setgid_command(check, "postdrop");
    warn_setgid_command(check, "postlog");
}

/* -- configuration -- */

static void warn_missing_program(const struct config *cfg, const struct master_cf *mcf,
                                 const struct master_entry *entry)
{
    const char *path =
        entry->command[0] == '/'
            ? entry->command
            : arena_printf(cfg->arena, "%s/%s", cfg->daemon_directory, entry->command);

    if (access(path, X_OK) == 0)
        return;
    /* An existing master.cf may name services of a feature that is never used. */
    msg_warn("file %s: line %d: service %s: cannot execute %s: %s", mcf->path,
             entry->line, entry->name, path, strerror(errno));
}

/* Overrides on the command line of one service, checked as it will see them. */
static bool overrides_parse(const struct config *cfg, const struct master_cf *mcf,
                            const struct master_entry *entry)
{
    struct config_override *list =
        arena_alloc(cfg->arena, (entry->argc + 1) * sizeof *list);
    struct config_source source = {.dir = cfg->dir,
                                   .program = entry->command,
                                   .service = entry->name,
                                   .overrides = list};
    struct config *service_cfg;
    struct err err;

    for (size_t i = 0; i + 1 < entry->argc; i++) {
        struct span value = span_str(entry->argv[i + 1]), name;

        if (strcmp(entry->argv[i], "-o") != 0)
            continue;
        name = span_cut(&value, '=');
        list[source.override_count].name = arena_span_str(cfg->arena, span_trim(name));
        list[source.override_count++].value =
            arena_span_str(cfg->arena, span_trim(value));
    }
    if (source.override_count == 0)
        return true;
    service_cfg = config_load(&source, &err);
    if (!service_cfg)
        msg_error("file %s: line %d: service %s: %s", mcf->path, entry->line,
                  entry->name, err.text);
    config_free(service_cfg);
    return service_cfg != NULL;
}

static bool log_is_possible(const struct config *cfg, const struct master_cf *mcf)
{
    if (!cfg->maillog_file[0])
        return true;
    if (!service_log_file_allowed(cfg)) {
        msg_error(
            "maillog_file \"%s\" is not below one of maillog_file_prefixes \"%s\"",
            cfg->maillog_file, cfg->maillog_file_prefixes);
        return false;
    }
    for (size_t i = 0; i < mcf->count; i++) {
        if (mcf->entries[i].type == SERVICE_UNIX_DGRAM &&
            strcmp(mcf->entries[i].name, cfg->postlog_service_name) == 0)
            return true;
    }
    msg_error(
        "maillog_file is set, but %s has no service \"%s unix-dgram ... postlogd\" "
        "to write it",
        mcf->path, cfg->postlog_service_name);
    return false;
}

bool check_configuration(struct postfix *pf)
{
    struct master_cf *mcf;
    struct err err;
    bool good = true;

    /* Whoever asked should see why not, also in a script. */
    msg_also_stderr(true);
    mcf = master_cf_load(pf->cfg, &err);
    if (!mcf) {
        msg_error("%s", err.text);
        return false;
    }
    good = log_is_possible(pf->cfg, mcf);
    for (size_t i = 0; i < mcf->count; i++) {
        warn_missing_program(pf->cfg, mcf, &mcf->entries[i]);
        if (!overrides_parse(pf->cfg, mcf, &mcf->entries[i]))
            good = false;
    }
    master_cf_free(mcf);
    if (good)
        msg_also_stderr(isatty(STDERR_FILENO));
    return good;
}

bool check_system(struct postfix *pf)
{
    struct check check = {.pf = pf};

    if (!check_configuration(pf) || !find_owners(&check))
        return false;
    check_queue(&check);
    warn_files(&check);
    return !check.failed;
}
