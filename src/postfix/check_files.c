/* Directories and files: there, of the right kind, and owned by those who may. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/param.h"
#include "postfix/check.h"
#include "util/file.h"

#define KEY_FILE_MAX (1u << 20)

enum owner_kind { OWNER_ROOT, OWNER_MAIL };
enum group_kind { GROUP_ANY, GROUP_SETGID };

/* Directories below queue_directory. */
static const struct layout_row {
    const char *name;
    enum owner_kind owner;
    enum group_kind group;
    mode_t mode;
    bool vital; /* no mail can come or go without it */
} layout[] = {
    {"active", OWNER_MAIL, GROUP_ANY, 0700, true},
    {"bounce", OWNER_MAIL, GROUP_ANY, 0700, false},
    {"corrupt", OWNER_MAIL, GROUP_ANY, 0700, false},
    {"defer", OWNER_MAIL, GROUP_ANY, 0700, false},
    {"deferred", OWNER_MAIL, GROUP_ANY, 0700, true},
    {"flush", OWNER_MAIL, GROUP_ANY, 0700, false},
    {"hold", OWNER_MAIL, GROUP_ANY, 0700, false},
    {"incoming", OWNER_MAIL, GROUP_ANY, 0700, true},
    {"private", OWNER_MAIL, GROUP_ANY, 0700, true},
    {"saved", OWNER_MAIL, GROUP_ANY, 0700, false},
    {"trace", OWNER_MAIL, GROUP_ANY, 0700, false},
    {"maildrop", OWNER_MAIL, GROUP_SETGID, 0730, true},
    {"public", OWNER_MAIL, GROUP_SETGID, 0710, true},
    {"pid", OWNER_ROOT, GROUP_ANY, 0755, true},
};

static const struct layout_row top_row = {"", OWNER_ROOT, GROUP_ANY, 0755, true};
static const struct layout_row data_row = {"", OWNER_MAIL, GROUP_ANY, 0700, true};

/* -- owners -- */

void check_find_owners(struct check *check)
{
    const struct config *cfg = check->cfg;
    const struct passwd *owner;
    const struct group *group;

    if (check->pf->rootless) {
        check->mail_uid = geteuid();
        check->mail_gid = check->setgid_gid = getegid();
        return;
    }
    owner = getpwnam(cfg->mail_owner);
    check->owner_parameter = "mail_owner";
    if (!owner || owner->pw_uid == 0) {
        check->owner_problem =
            arena_printf(check->arena, "mail_owner \"%s\" is %s", cfg->mail_owner,
                         owner ? "the superuser" : "not known as a user");
        return;
    }
    check->mail_uid = owner->pw_uid;
    check->mail_gid = owner->pw_gid;
    group = getgrnam(cfg->setgid_group);
    check->owner_parameter = "setgid_group";
    if (group && group->gr_gid != check->mail_gid)
        check->setgid_gid = group->gr_gid;
    else
        check->owner_problem =
            arena_printf(check->arena, "setgid_group \"%s\" is %s", cfg->setgid_group,
                         group ? "the group of mail_owner" : "not known as a group");
}

static void bad_owner(struct check *check)
{
    if (check->owner_problem && strcmp(check->owner_parameter, "mail_owner") == 0)
        check_found(check, at_main(check, "mail_owner"), "%s", check->owner_problem);
}

static void bad_group(struct check *check)
{
    if (check->owner_problem && strcmp(check->owner_parameter, "setgid_group") == 0)
        check_found(check, at_main(check, "setgid_group"), "%s", check->owner_problem);
}

static uid_t owner_uid(const struct check *check, enum owner_kind owner)
{
    return owner == OWNER_MAIL || check->pf->rootless ? check->mail_uid : 0;
}

static const char *owner_name(const struct check *check, enum owner_kind owner)
{
    if (check->pf->rootless)
        return "you";
    return owner == OWNER_MAIL ? check->cfg->mail_owner : "root";
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

static bool make_directory(const struct check *check, const char *path,
                           const struct layout_row *row)
{
    gid_t group = row->group == GROUP_SETGID ? check->setgid_gid : (gid_t)-1;

    return make_parents(path) && mkdir(path, 0700) == 0 &&
           (check->pf->rootless ||
            chown(path, owner_uid(check, row->owner), group) == 0) &&
           chmod(path, row->mode) == 0;
}

static const char *layout_path(const struct check *check, const struct layout_row *row)
{
    const struct config *cfg = check->cfg;

    if (row == &top_row)
        return cfg->queue_directory;
    if (row == &data_row)
        return cfg->data_directory;
    return arena_printf(check->arena, "%s/%s", cfg->queue_directory,
                        strcmp(row->name, "pid") == 0 ? cfg->process_id_directory
                                                      : row->name);
}

static void each_directory(struct check *check,
                           void (*fn)(struct check *check, const char *path,
                                      const struct layout_row *row))
{
    fn(check, layout_path(check, &top_row), &top_row);
    for (size_t i = 0; i < ARRAY_LEN(layout); i++)
        fn(check, layout_path(check, &layout[i]), &layout[i]);
    fn(check, layout_path(check, &data_row), &data_row);
}

/* What is wrong with owners is reported as such. */
static bool owner_is_known(const struct check *check, const struct layout_row *row)
{
    if (!check->owner_problem)
        return true;
    return strcmp(check->owner_parameter, "setgid_group") == 0 &&
           row->group == GROUP_ANY;
}

static void settle_directory(struct check *check, const char *path,
                             const struct layout_row *row)
{
    struct stat st;

    /* Links to other places are the operator's. */
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return;
        errno = ENOTDIR;
    } else if (errno == ENOENT) {
        if (!check->creates || !owner_is_known(check, row) ||
            make_directory(check, path, row))
            return;
    }
    check_found(check, at_file(path), "%s: %s", path, strerror(errno));
}

static void settle_vital(struct check *check, const char *path,
                         const struct layout_row *row)
{
    if (row->vital)
        settle_directory(check, path, row);
}

static void settle_other(struct check *check, const char *path,
                         const struct layout_row *row)
{
    if (!row->vital)
        settle_directory(check, path, row);
}

static void vital_directories(struct check *check)
{
    each_directory(check, settle_vital);
}

static void other_directories(struct check *check)
{
    each_directory(check, settle_other);
}

static void report_owner(struct check *check, const char *path,
                         const struct layout_row *row)
{
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) ||
        st.st_uid == owner_uid(check, row->owner))
        return;
    check_advise(check, "chown %s %s", owner_name(check, row->owner), path);
    check_found(check, at_file(path), "not owned by %s: %s",
                owner_name(check, row->owner), path);
}

static void directory_owner(struct check *check)
{
    if (!check->owner_problem)
        each_directory(check, report_owner);
}

static void report_group(struct check *check, const char *path,
                         const struct layout_row *row)
{
    struct stat st;

    if (row->group != GROUP_SETGID || stat(path, &st) < 0 || !S_ISDIR(st.st_mode) ||
        st.st_gid == check->setgid_gid)
        return;
    check_advise(check, "chgrp %s %s", check->cfg->setgid_group, path);
    check_found(check, at_file(path), "not owned by group %s: %s",
                check->cfg->setgid_group, path);
}

static void directory_group(struct check *check)
{
    if (!check->owner_problem && !check->pf->rootless)
        each_directory(check, report_group);
}

static void report_mode(struct check *check, const char *path,
                        const struct layout_row *row)
{
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) ||
        (st.st_mode & ~row->mode & 07022) == 0)
        return;
    check_advise(check, "chmod %o %s", (unsigned)row->mode, path);
    check_found(check, at_file(path), "group or other writable: %s", path);
}

static void directory_mode(struct check *check)
{
    if (!check->pf->rootless)
        each_directory(check, report_mode);
}

/* -- files that decide who may do what -- */

static void each_trusted(struct check *check,
                         void (*fn)(struct check *check, const char *path,
                                    const struct stat *st))
{
    const char *const paths[] = {check->cfg->dir, check->main_cf, check->master_cf,
                                 check->cfg->daemon_directory,
                                 check->cfg->command_directory};
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(paths) && !check->pf->rootless; i++)
        if (stat(paths[i], &st) == 0)
            fn(check, paths[i], &st);
}

static void report_not_root(struct check *check, const char *path,
                            const struct stat *st)
{
    if (st->st_uid == 0)
        return;
    check_advise(check, "chown root %s", path);
    check_found(check, at_file(path), "not owned by root: %s", path);
}

static void trusted_owner(struct check *check)
{
    each_trusted(check, report_not_root);
}

static void report_writable(struct check *check, const char *path,
                            const struct stat *st)
{
    if (!(st->st_mode & 022))
        return;
    check_advise(check, "chmod go-w %s", path);
    check_found(check, at_file(path), "group or other writable: %s", path);
}

static void trusted_mode(struct check *check)
{
    each_trusted(check, report_writable);
}

static void setgid_commands(struct check *check)
{
    static const char *const names[] = {"postqueue", "postdrop", "postlog"};
    const char *group = check->cfg->setgid_group;
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *path = arena_printf(check->arena, "%s/%s",
                                        check->cfg->command_directory, names[i]);

        if (check->pf->rootless || check->owner_problem || stat(path, &st) < 0)
            continue;
        check_advise(check, "chgrp %s %s && chmod 2755 %s", group, path, path);
        if (st.st_gid != check->setgid_gid)
            check_found(check, at_file(path), "not owned by group %s: %s", group, path);
        else if ((st.st_mode & 02111) != 02111)
            check_found(check, at_file(path),
                        "not set-gid or not owner+group+world executable: %s", path);
    }
    check->advice = NULL;
}

/* -- files that parameters name -- */

static bool names_file(const char *name)
{
    static const char *const suffixes[] = {
        "_cert_file",   "_dcert_file", "_eccert_file",   "_key_file",
        "_dkey_file",   "_eckey_file", "_CAfile",        "_CApath",
        "_chain_files", "_param_file", "_template_file", "_anchor_file"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (span_ends(span_str(name), span_str(suffixes[i])))
            return true;
    return false;
}

static void report_missing(struct check *check, const struct check_view *view,
                           const char *name)
{
    struct span rest = span_str(view_value(view, name)), path;

    while (span_token(&rest, ", \t\r\n", &path)) {
        const char *text = arena_span_str(check->arena, path);

        if (text[0] == '/' && access(text, R_OK) < 0)
            check_found(check, at_view(check, view, name), "%s %s: %s", name, text,
                        strerror(errno));
    }
}

static void missing_files(struct check *check)
{
    for (size_t i = 0; i < check->view_count; i++) {
        for (size_t j = 0; j < param_count; j++) {
            const char *name = param_table[j].name;

            /* What follows another setting, such as tlsproxy_*, is reported there. */
            if (names_file(name) && view_sets(&check->views[i], name) &&
                (check->views[i].entry || config_line(check->cfg, name)))
                report_missing(check, &check->views[i], name);
        }
    }
}

static bool names_key(const char *name)
{
    static const char *const suffixes[] = {"_key_file", "_dkey_file", "_eckey_file",
                                           "_chain_files"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (span_ends(span_str(name), span_str(suffixes[i])))
            return true;
    return false;
}

/* Parameters for keys follow those for certificates, which may well be public. */
static bool holds_key(const char *path)
{
    struct strbuf text = STRBUF_INIT;
    struct err err;
    bool found = file_read_all(path, KEY_FILE_MAX, &text, &err) &&
                 memmem(text.ptr, text.len, "PRIVATE KEY", 11);

    strbuf_free(&text);
    return found;
}

static void report_key(struct check *check, const struct check_view *view,
                       const char *name)
{
    struct span rest = span_str(view_value(view, name)), word;
    struct stat st;

    while (span_token(&rest, ", \t\r\n", &word)) {
        const char *path = arena_span_str(check->arena, word);

        if (path[0] != '/' || stat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
            !(st.st_mode & 07) || !holds_key(path))
            continue;
        check_advise(check, "chmod o-rwx %s", path);
        check_found(check, at_view(check, view, name), "%s %s is readable by others",
                    name, path);
    }
}

static void readable_keys(struct check *check)
{
    for (size_t i = 0; i < check->view_count; i++)
        for (size_t j = 0; j < param_count; j++)
            if (names_key(param_table[j].name) &&
                view_sets(&check->views[i], param_table[j].name) &&
                (check->views[i].entry || config_line(check->cfg, param_table[j].name)))
                report_key(check, &check->views[i], param_table[j].name);
}

const struct check_rule check_file_rules[] = {
    {"mail-owner", CHECK_ERROR, CHECK_FATAL, bad_owner,
     "services run with the rights of this user, which must be one of its own",
     "create the account, or name another one"},
    {"setgid-group", CHECK_ERROR, CHECK_START, bad_group,
     "users hand in mail with the rights of this group, which must be one of its own",
     "create the group, or name another one"},
    {"missing-directory", CHECK_ERROR, CHECK_FATAL | CHECK_START, vital_directories,
     "the mail system cannot work without this directory",
     "remove what is in the way, then run \"postfix check\""},
    {"missing-subdirectory", CHECK_ERROR, CHECK_START, other_directories,
     "what belongs there cannot be kept, and some mail waits",
     "remove what is in the way, then run \"postfix check\""},
    {"directory-owner", CHECK_WARNING, CHECK_START, directory_owner,
     "services cannot work in it, or others can", "give it to the right owner"},
    {"directory-group", CHECK_WARNING, CHECK_START, directory_group,
     "users cannot hand in mail or see the queue", "give it to the right group"},
    {"directory-mode", CHECK_WARNING, CHECK_START, directory_mode,
     "other users can change what is in it", "take the permission away"},
    {"file-owner", CHECK_WARNING, CHECK_START, trusted_owner,
     "its owner can make the mail system do anything, with the rights of root",
     "give it to root"},
    {"file-mode", CHECK_WARNING, CHECK_START, trusted_mode,
     "other users can make the mail system do anything, with the rights of root",
     "take the permission away"},
    {"setgid-command", CHECK_WARNING, CHECK_START, setgid_commands,
     "users cannot hand in mail or see the queue", "run \"postfix set-permissions\""},
    {"missing-file", CHECK_ERROR, 0, missing_files,
     "the service that reads it works without it, or not at all",
     "correct the name, or create the file"},
    {"readable-key", CHECK_WARNING, 0, readable_keys,
     "every user of this host can read the private key, and pose as this host",
     "take the permission away"},
    {.code = NULL},
};
