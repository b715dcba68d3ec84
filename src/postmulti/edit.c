#include <stdio.h>

#include "master/service_lock.h"
#include "postmulti/postmulti.h"
#include "util/msg.h"

#define NAME_MAX_LEN 100 /* it becomes a part of log lines and paths */

/* -- what is asked for -- */

static bool is_safe(const char *text)
{
    for (; *text; text++)
        if (!ascii_alnum(*text) && !strchr("-_./+@%:", *text))
            return false;
    return true;
}

static void refuse_arguments(const struct postmulti *pm, const char *action)
{
    if (pm->argc > 0)
        msg_fatal("Parameter overrides not valid with '-e %s'", action);
}

/* What -I gives: "" for none; NULL when it was not given. */
static const char *new_name(const struct postmulti *pm)
{
    const char *name = pm->new_name;

    if (!name)
        return NULL;
    if (strcmp(name, "-") == 0)
        return "";
    if (strncmp(name, "postfix-", 8) != 0 || !name[8])
        msg_fatal("New instance name must start with 'postfix-'");
    if (strchr(name, '/'))
        msg_fatal("Illegal '/' character in new instance name: '%s'", name);
    if (!is_safe(name) || strlen(name) > NAME_MAX_LEN)
        msg_fatal("Unsafe characters in new instance name: '%s'", name);
    return name;
}

static const char *new_group(const struct postmulti *pm)
{
    if (!pm->new_group)
        return NULL;
    if (strcmp(pm->new_group, "-") == 0)
        return "";
    if (!is_safe(pm->new_group) || strlen(pm->new_group) > NAME_MAX_LEN)
        msg_fatal("Unsafe characters in '-G %s'", pm->new_group);
    return pm->new_group;
}

static const char *trim_slashes(struct postmulti *pm, const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    return arena_span_str(pm->arena, span_of(path, len));
}

static void take_setting(struct postmulti *pm, struct instance *fresh,
                         const char *action, const char *const *allowed,
                         const char *setting)
{
    struct span rest = span_str(setting), value;
    const char *name, *path;

    if (!strchr(setting, '='))
        msg_fatal("Malformed parameter setting '%s'", setting);
    name = arena_span_str(pm->arena, span_trim(span_cut(&rest, '=')));
    value = span_trim(rest);
    while (*allowed && strcmp(*allowed, name) != 0)
        allowed++;
    if (!*allowed)
        msg_fatal("Parameter '%s' not valid with action %s", name, action);
    path = arena_span_str(pm->arena, value);
    if (path[0] != '/')
        msg_fatal("Parameter setting '%s' is not an absolute path", name);
    if (!is_safe(path))
        msg_fatal("Unsafe characters in new %s: '%s'", name, path);
    path = trim_slashes(pm, path);
    if (strcmp(name, "config_directory") == 0)
        fresh->dir = path;
    else if (strcmp(name, "queue_directory") == 0)
        fresh->queue_directory = path;
    else
        fresh->data_directory = path;
}

/* Beside the one of the primary instance. */
static const char *sibling(struct postmulti *pm, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');

    return arena_printf(pm->arena, "%.*s/%s", slash ? (int)(slash - path) : 0, path,
                        name);
}

static void add_default(struct postmulti *pm, const char **path_io, const char *what,
                        const char *primary_path, const char *name)
{
    if (!*path_io && !name)
        msg_fatal("Missing %s parameter value", what);
    if (!*path_io)
        *path_io = sibling(pm, primary_path, name);
}

struct instance edit_new_instance(struct postmulti *pm, const char *action,
                                  const char *const *allowed)
{
    const struct instance *first = &pm->instances[0];
    struct instance fresh = {0};
    const char *name;

    if (!first->cfg->multi_instance_wrapper[0])
        msg_fatal("multi_instance_wrapper is empty, run 'postmulti -e init' first.");
    fresh.name = new_name(pm);
    name = fresh.name && fresh.name[0] ? fresh.name : NULL;
    fresh.group = new_group(pm);
    for (int i = 0; i < pm->argc; i++)
        take_setting(pm, &fresh, action, allowed, pm->argv[i]);
    add_default(pm, &fresh.dir, "config_directory", first->dir, name);
    for (; *allowed; allowed++) {
        if (strcmp(*allowed, "queue_directory") == 0)
            add_default(pm, &fresh.queue_directory, *allowed, first->queue_directory,
                        name);
        if (strcmp(*allowed, "data_directory") == 0)
            add_default(pm, &fresh.data_directory, *allowed, first->data_directory,
                        name);
    }
    return fresh;
}

/* -- the list in the primary main.cf -- */

void edit_list_instance(struct postmulti *pm, const char *dir, bool listed)
{
    struct strbuf list = STRBUF_INIT;
    const char *settings[] = {NULL, NULL};

    strbuf_add_str(&list, "multi_instance_directories=");
    for (size_t i = 1; i < pm->count; i++)
        if (strcmp(pm->instances[i].dir, dir) != 0)
            strbuf_addf(&list, "%s ", pm->instances[i].dir);
    if (listed)
        strbuf_add_str(&list, dir);
    settings[0] = list.ptr;
    run_postconf(pm, pm->instances[0].dir, settings);
    strbuf_free(&list);
}

void edit_refuse_removal(const struct instance *instance)
{
    char path[1024];

    if (instance->primary)
        msg_fatal("Cannot remove the primary instance");
    if (instance->enabled)
        msg_fatal("Cannot remove enabled instances");
    snprintf(path, sizeof path, "%s/%s/master.pid", instance->queue_directory,
             instance->cfg->process_id_directory);
    if (service_lock_holder(path) != 0)
        msg_fatal("Instance '%s' is not stopped", instance->dir);
}

/* -- actions -- */

int edit_init(struct postmulti *pm)
{
    static const char *const settings[] = {
        "multi_instance_wrapper=${command_directory}/postmulti -p --",
        "multi_instance_enable=yes", NULL};

    refuse_arguments(pm, "init");
    run_postconf(pm, pm->instances[0].dir, settings);
    return 0;
}

int edit_enable(struct postmulti *pm)
{
    static const char *const settings[] = {"multi_instance_enable=yes", NULL};

    refuse_arguments(pm, "enable");
    run_postconf(pm, instance_selected(pm)->dir, settings);
    return 0;
}

int edit_disable(struct postmulti *pm)
{
    static const char *const settings[] = {"multi_instance_enable=no", NULL};

    refuse_arguments(pm, "disable");
    run_postconf(pm, instance_selected(pm)->dir, settings);
    return 0;
}

static void assign(const struct postmulti *pm, const char *dir, const char *name,
                   const char *group)
{
    const char *settings[3] = {NULL};
    size_t count = 0;

    if (name)
        settings[count++] = arena_printf(pm->arena, "multi_instance_name=%s", name);
    if (group)
        settings[count++] = arena_printf(pm->arena, "multi_instance_group=%s", group);
    if (count)
        run_postconf(pm, dir, settings);
}

int edit_assign(struct postmulti *pm)
{
    struct instance *instance, changed;
    const char *name, *group;

    refuse_arguments(pm, "assign");
    instance = instance_selected(pm);
    name = new_name(pm);
    group = new_group(pm);
    if (!name && !group)
        msg_fatal("Specify new instance name or group with '-e assign'");
    changed = *instance;
    if (name) {
        changed.name = name;
        instance_check_unique(pm, &changed);
    }
    assign(pm, instance->dir, name, group);
    return 0;
}

int edit_import(struct postmulti *pm)
{
    static const char *const allowed[] = {"config_directory", NULL};
    struct instance fresh = edit_new_instance(pm, "import", allowed), found;
    struct config *cfg;
    struct err err;

    found = (struct instance){fresh.dir, "", "", "", "", false, false, NULL};
    instance_check_unique(pm, &found);
    cfg = instance_config(fresh.dir, &err);
    if (!cfg) {
        msg_error("%s", err.text);
        msg_fatal("Failed to obtain all required %s/main.cf parameters", fresh.dir);
    }
    found = instance_from_config(cfg);
    if (fresh.name)
        found.name = fresh.name;
    instance_check_unique(pm, &found);
    assign(pm, fresh.dir, fresh.name, fresh.group);
    edit_list_instance(pm, fresh.dir, true);
    config_free(cfg);
    return 0;
}

int edit_deport(struct postmulti *pm)
{
    struct instance *instance;

    refuse_arguments(pm, "deport");
    instance = instance_selected(pm);
    edit_refuse_removal(instance);
    edit_list_instance(pm, instance->dir, false);
    return 0;
}
