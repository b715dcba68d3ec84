#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "global/paths.h"
#include "postmulti/postmulti.h"
#include "util/escape.h"
#include "util/msg.h"

/* A bad setting must not keep the operator from stopping or listing the instance: it
 * counts as not set, and the programs of that instance say what is wrong with it. */
static void ignore(void *arg UNUSED, const char *name UNUSED, const char *text UNUSED)
{
}

struct config *instance_config(const char *dir, struct err *err)
{
    struct config_source source = {.dir = dir, .program = "postmulti"};

    return config_load_all(&source, ignore, NULL, err);
}

struct instance instance_from_config(struct config *cfg)
{
    return (struct instance){
        .dir = cfg->dir,
        .name = cfg->multi_instance_name,
        .group = cfg->multi_instance_group,
        .queue_directory = cfg->queue_directory,
        .data_directory = cfg->data_directory,
        .enabled = cfg->multi_instance_enable,
        .cfg = cfg,
    };
}

static bool lists(const struct config *cfg, const char *dir)
{
    struct span rest = span_str(cfg->multi_instance_directories), word;

    while (span_token(&rest, ", \t\r\n", &word))
        if (span_eq_str(word, dir))
            return true;
    return false;
}

/* A main.cf of another place is welcome (containers, tests), unless it belongs to an
 * instance that another one manages: what is made below it would be lost to that one.
 */
static void refuse_secondary(const struct config *cfg)
{
    struct err err;
    struct config *standard;
    bool listed;

    if (strcmp(cfg->dir, SYSCONFDIR) == 0)
        return;
    standard = instance_config(SYSCONFDIR, &err);
    listed = standard && lists(standard, cfg->dir);
    config_free(standard);
    if (listed || (cfg->multi_instance_name[0] && !cfg->multi_instance_wrapper[0]))
        msg_fatal("Non-default configuration directory: MAIL_CONFIG=%s: this is not a "
                  "primary instance",
                  cfg->dir);
}

static void add_instance(struct postmulti *pm, const char *dir)
{
    struct config *cfg;
    struct err err;

    cfg = instance_config(dir, &err);
    if (!cfg) {
        msg_error("%s", err.text);
        msg_fatal("Failed to obtain all required %s/main.cf parameters", dir);
    }
    pm->instances = xrealloc(pm->instances, (pm->count + 1) * sizeof *pm->instances);
    pm->instances[pm->count] = instance_from_config(cfg);
    pm->instances[pm->count].primary = pm->count == 0;
    pm->count++;
}

void instances_load(struct postmulti *pm, const char *primary_dir)
{
    struct span rest, dir;

    add_instance(pm, primary_dir);
    refuse_secondary(pm->instances[0].cfg);
    rest = span_str(pm->instances[0].cfg->multi_instance_directories);
    while (span_token(&rest, ", \t\r\n", &dir)) {
        const char *path = arena_span_str(pm->arena, dir);

        if (path[0] != '/')
            msg_fatal(
                "%s/main.cf: multi_instance_directories: \"%s\" is not an absolute "
                "path",
                pm->instances[0].dir, path);
        add_instance(pm, path);
    }
}

void instances_free(struct postmulti *pm)
{
    for (size_t i = 0; i < pm->count; i++)
        config_free(pm->instances[i].cfg);
    free(pm->instances);
    pm->instances = NULL;
    pm->count = 0;
}

/* Those without a name go by their directory. */
static bool goes_by(const struct instance *instance, const char *name)
{
    if (strcmp(name, "-") == 0)
        return instance->primary;
    return strcmp(instance->name, name) == 0 || strcmp(instance->dir, name) == 0;
}

bool instance_is_selected(const struct postmulti *pm, const struct instance *instance)
{
    if (pm->selection.name)
        return goes_by(instance, pm->selection.name);
    if (pm->selection.group)
        return strcmp(instance->group, pm->selection.group) == 0;
    return true;
}

struct instance *instance_selected(struct postmulti *pm)
{
    const char *name = pm->selection.name;

    if (!name)
        msg_fatal("Select an instance via '-i name'");
    for (size_t i = 0; i < pm->count; i++)
        if (goes_by(&pm->instances[i], name))
            return &pm->instances[i];
    msg_fatal("No instance named %s", name);
}

static void refuse_same(const struct instance *fresh, const char *what,
                        const char *value, const struct instance *other,
                        const char *other_what, const char *other_value)
{
    if (value[0] && strcmp(value, other_value) == 0)
        msg_fatal("instance %s, %s=%s conflicts with instance %s, %s=%s", fresh->dir,
                  what, value, other->dir, other_what, other_value);
}

static void refuse_directory(const struct instance *fresh, const char *what,
                             const char *value, const struct instance *other)
{
    refuse_same(fresh, what, value, other, "config_directory", other->dir);
    refuse_same(fresh, what, value, other, "queue_directory", other->queue_directory);
    refuse_same(fresh, what, value, other, "data_directory", other->data_directory);
}

void instance_check_unique(const struct postmulti *pm, const struct instance *fresh)
{
    for (size_t i = 0; i < pm->count; i++) {
        const struct instance *other = &pm->instances[i];

        if (fresh->cfg && fresh->cfg == other->cfg)
            continue;
        if (strcmp(fresh->dir, other->dir) == 0)
            msg_fatal("new config_directory=%s is already in use by instance %s, "
                      "config_directory=%s",
                      fresh->dir, other->dir, other->dir);
        refuse_same(fresh, "multi_instance_name", fresh->name, other,
                    "multi_instance_name", other->name);
        refuse_directory(fresh, "queue_directory", fresh->queue_directory, other);
        refuse_directory(fresh, "data_directory", fresh->data_directory, other);
    }
    refuse_same(fresh, "queue_directory", fresh->queue_directory, fresh,
                "data_directory", fresh->data_directory);
}

static void add_json(struct strbuf *sb, const char *name, const char *value)
{
    strbuf_addf(sb, ",\"%s\":", name);
    json_string(sb, span_str(value));
}

static void print_json(const struct instance *instance)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_add_str(&sb, "{\"name\":");
    json_string(&sb, span_str(instance->name));
    add_json(&sb, "group", instance->group);
    strbuf_addf(&sb, ",\"enabled\":%s,\"primary\":%s",
                instance->enabled ? "true" : "false",
                instance->primary ? "true" : "false");
    add_json(&sb, "config_directory", instance->dir);
    add_json(&sb, "queue_directory", instance->queue_directory);
    add_json(&sb, "data_directory", instance->data_directory);
    printf("%s}\n", sb.ptr);
    strbuf_free(&sb);
}

static void print_line(const struct instance *instance)
{
    printf("%-15s %-15s %-9s %s\n", instance->name[0] ? instance->name : "-",
           instance->group[0] ? instance->group : "-", instance->enabled ? "y" : "n",
           instance->dir);
}

void instances_print(const struct postmulti *pm)
{
    for (size_t i = 0; i < pm->count; i++) {
        const struct instance *instance =
            &pm->instances[pm->reverse ? pm->count - 1 - i : i];

        if (!instance_is_selected(pm, instance))
            continue;
        if (pm->json)
            print_json(instance);
        else
            print_line(instance);
    }
    if (fflush(stdout) != 0)
        msg_fatal("write to standard output: %s", strerror(errno));
}
