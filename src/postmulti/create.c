#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postmulti/postmulti.h"
#include "util/file.h"
#include "util/msg.h"

#define PROTOTYPE_MAX (1u << 20)

/* Where programs and accounts are is one matter for all instances of a host. */
static const char *const shared[] = {
    "command_directory", "daemon_directory", "mail_owner",
    "mailq_path",        "meta_directory",   "newaliases_path",
    "sendmail_path",     "setgid_group",     "shlib_directory"};

/* What is needed below config_directory. */
struct files {
    const char *main_cf, *master_cf;
    bool made_directory;
};

static void remove_files(const struct instance *fresh, const struct files *files)
{
    unlink(files->main_cf);
    unlink(files->master_cf);
    if (files->made_directory)
        rmdir(fresh->dir);
}

static bool read_prototype(struct postmulti *pm, const char *name, struct strbuf *text)
{
    const struct config *cfg = pm->instances[0].cfg;
    const char *path = arena_printf(pm->arena, "%s/%s", cfg->meta_directory, name);
    struct err err;

    if (access(path, F_OK) < 0)
        return false;
    if (!file_read_all(path, PROTOTYPE_MAX, text, &err))
        msg_fatal("%s", err.text);
    return true;
}

static void main_prototype(struct postmulti *pm, struct strbuf *text)
{
    if (!read_prototype(pm, "main.cf.proto", text))
        strbuf_addf(
            text,
            "# Settings of one of several mail systems on this host: postconf(5) "
            "lists them,\n# postmulti(1) manages them.\ncompatibility_level = %s\n",
            pm->instances[0].cfg->compatibility_level);
}

static void master_prototype(struct postmulti *pm, struct strbuf *text)
{
    struct err err;

    if (!read_prototype(pm, "master.cf.proto", text) &&
        !file_read_all(arena_printf(pm->arena, "%s/master.cf", pm->instances[0].dir),
                       PROTOTYPE_MAX, text, &err))
        msg_fatal("%s", err.text);
}

static bool write_file(const char *path, const struct strbuf *text, struct err *err)
{
    return file_replace(path, strbuf_span(text), 0644, err);
}

static void write_files(struct postmulti *pm, const struct instance *fresh,
                        struct files *files)
{
    struct strbuf main_cf = STRBUF_INIT, master_cf = STRBUF_INIT;
    struct err err;

    main_prototype(pm, &main_cf);
    master_prototype(pm, &master_cf);
    files->main_cf = arena_printf(pm->arena, "%s/main.cf", fresh->dir);
    files->master_cf = arena_printf(pm->arena, "%s/master.cf", fresh->dir);
    if (access(files->main_cf, F_OK) == 0)
        msg_fatal("%s is there already: use '-e import'", files->main_cf);
    if (mkdir(fresh->dir, 0755) == 0)
        files->made_directory = true;
    else if (errno != EEXIST)
        msg_fatal("mkdir %s: %s", fresh->dir, strerror(errno));
    if (!write_file(files->main_cf, &main_cf, &err) ||
        (access(files->master_cf, F_OK) < 0 &&
         !write_file(files->master_cf, &master_cf, &err))) {
        remove_files(fresh, files);
        msg_fatal("%s", err.text);
    }
    strbuf_free(&main_cf);
    strbuf_free(&master_cf);
}

static const char *setting(struct postmulti *pm, const char *name, const char *value)
{
    return arena_printf(pm->arena, "%s=%s", name, value);
}

/* No services for the network and no mail from users, until the operator has decided
 * on both: the primary instance has them already. */
static bool write_settings(struct postmulti *pm, const struct instance *fresh)
{
    const char *settings[ARRAY_LEN(shared) + 7];
    size_t count = 0;

    for (; count < ARRAY_LEN(shared); count++) {
        const char *value = config_value(pm->instances[0].cfg, shared[count]);

        settings[count] = setting(pm, shared[count], value ? value : "");
    }
    settings[count++] = setting(pm, "queue_directory", fresh->queue_directory);
    settings[count++] = setting(pm, "data_directory", fresh->data_directory);
    settings[count++] = "master_service_disable=inet";
    settings[count++] = "authorized_submit_users=";
    if (fresh->name && fresh->name[0])
        settings[count++] = setting(pm, "multi_instance_name", fresh->name);
    if (fresh->group && fresh->group[0])
        settings[count++] = setting(pm, "multi_instance_group", fresh->group);
    settings[count] = NULL;
    return run_postconf_try(pm, fresh->dir, settings);
}

/* "postfix check" makes them, with their owners; what else it finds is for the operator
 * to settle before the instance is enabled. */
static bool make_directories(struct postmulti *pm, const struct instance *fresh)
{
    char *check[] = {"check", NULL};
    const char *const made[] = {
        arena_printf(pm->arena, "%s/maildrop", fresh->queue_directory),
        fresh->data_directory};
    bool all = true;

    run_postfix(pm, fresh, check);
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        if (access(made[i], F_OK) == 0)
            continue;
        msg_error("directory %s: %s", made[i], strerror(errno));
        all = false;
    }
    return all;
}

int edit_create(struct postmulti *pm)
{
    static const char *const allowed[] = {"config_directory", "queue_directory",
                                          "data_directory", NULL};
    struct instance fresh = edit_new_instance(pm, "create", allowed), checked;
    struct files files = {0};

    checked = fresh;
    checked.name = fresh.name ? fresh.name : "";
    instance_check_unique(pm, &checked);
    write_files(pm, &fresh, &files);
    if (!write_settings(pm, &fresh)) {
        remove_files(&fresh, &files);
        msg_fatal("could not edit %s", files.main_cf);
    }
    edit_list_instance(pm, fresh.dir, true);
    return make_directories(pm, &fresh) ? 0 : 1;
}
