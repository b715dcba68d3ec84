#include "table/plugin_load.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/plugin.h"
#include "table/source.h"
#include "util/file.h"

#define LIST_MAX 65536

static const struct table_host host = {
    .open = table_open,
    .close = table_close,
    .lookup = table_lookup_inner,
    .watch = table_watch,
};

const struct table_host *table_host(void)
{
    return &host;
}

/* Code and what names it: as trustworthy as the program. With a set-gid program the
 * user is not, and everything must be root's. */
static bool is_trusted(const char *path, const struct stat *st, struct err *err)
{
    bool set_id = getuid() != geteuid() || getgid() != getegid();

    if (!S_ISREG(st->st_mode))
        return err_set(err, "%s: not a regular file", path);
    if (st->st_uid != 0 && (set_id || st->st_uid != geteuid()))
        return err_set(err, "%s: file is owned by another user than root", path);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, "%s: file is writable by group or others", path);
    return true;
}

/* -- dynamicmaps.cf -- */

static bool is_type_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_alnum(name.ptr[i]) && name.ptr[i] != '_' && name.ptr[i] != '-')
            return false;
    return name.len > 0 && name.len <= 64;
}

/* The list of another mail system goes on working. */
static const char *plugin_path(struct arena *arena, const char *directory,
                               struct span type, struct span file)
{
    const char *theirs = arena_printf(arena, "postfix-%.*s.so", SPAN_ARG(type));

    if (file.ptr[0] == '/')
        return arena_span_str(arena, file);
    if (span_eq_str(file, theirs))
        return arena_printf(arena, "%s/gatepost-%.*s.so", directory, SPAN_ARG(type));
    return arena_printf(arena, "%s/%.*s", directory, SPAN_ARG(file));
}

static bool add_line(struct arena *arena, struct span line, const char *directory,
                     struct plugin_entry ***tail)
{
    struct span type, file, more;
    size_t extra = 0;

    if (memchr(line.ptr, '\0', line.len))
        return false;
    if (!span_token(&line, " \t\r\n", &type) || !span_token(&line, " \t\r\n", &file))
        return false;
    while (span_token(&line, " \t\r\n", &more))
        extra++;
    if (extra > 2 || !is_type_name(type))
        return false;
    struct plugin_entry *entry = arena_alloc(arena, sizeof(*entry));
    entry->type = arena_span_str(arena, type);
    entry->path = plugin_path(arena, directory, type, file);
    **tail = entry;
    *tail = &entry->next;
    return true;
}

bool plugin_parse(struct arena *arena, const char *path, struct span text,
                  const char *shlib_directory, struct plugin_entry ***tail,
                  struct err *err)
{
    struct source src;
    struct span line;
    bool ok = true;

    source_init(&src, path, text);
    while (ok && source_line(&src, &line))
        if (!add_line(arena, line, shlib_directory, tail))
            ok = err_set(err,
                         "%s, line %d: Expected \"dict-type .so-name "
                         "[dict-function [mkmap-function]]\"",
                         path, src.line);
    source_free(&src);
    return ok;
}

static bool read_list(struct arena *arena, const char *path, const char *directory,
                      struct plugin_entry ***tail, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    struct stat st;

    if (stat(path, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR ||
               err_set(err, "open %s: %s", path, strerror(errno));
    bool ok = is_trusted(path, &st, err) && file_read_all(path, LIST_MAX, &text, err) &&
              plugin_parse(arena, path, strbuf_span(&text), directory, tail, err);
    strbuf_free(&text);
    return ok;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static const char *setting(const struct table_env *env, const char *name)
{
    const char *value = env ? env->param(env->arg, name) : NULL;

    return value ? value : "";
}

bool plugin_list(const struct table_env *env, struct arena *arena,
                 struct plugin_entry **out, struct err *err)
{
    const char *meta = setting(env, "meta_directory");
    const char *shlib = setting(env, "shlib_directory");
    struct plugin_entry **tail = out;
    struct dirent **names;

    *out = NULL;
    if (meta[0] != '/')
        return true;
    const char *path = arena_printf(arena, "%s/dynamicmaps.cf", meta);
    if (!read_list(arena, path, shlib, &tail, err))
        return false;
    const char *more = arena_printf(arena, "%s.d", path);
    int count = scandir(more, &names, visible, alphasort);
    bool ok = true;
    for (int i = 0; i < count; i++) {
        ok =
            ok && read_list(arena, arena_printf(arena, "%s/%s", more, names[i]->d_name),
                            shlib, &tail, err);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return ok;
}

/* -- loading -- */

/* What the dynamic linker has loaded for this process is the process's; this list says
 * which of it are plug-ins, so that a jailed service finds them again. */
struct loaded {
    struct loaded *next;
    const struct table_type *type;
};
static struct loaded *loaded_plugins;

static const struct table_type *find_loaded(struct span type)
{
    for (const struct loaded *l = loaded_plugins; l; l = l->next)
        if (span_eq_str(type, l->type->name))
            return l->type;
    return NULL;
}

static const struct table_type *remember(const struct table_type *type)
{
    struct loaded *entry = xcalloc(1, sizeof(*entry));

    entry->type = type;
    entry->next = loaded_plugins;
    loaded_plugins = entry;
    return type;
}

static bool matches(const struct table_plugin *plugin, const struct plugin_entry *entry,
                    struct err *err)
{
    if (plugin->abi != TABLE_PLUGIN_ABI)
        return err_set(err,
                       "%s: a plug-in for version %u of the interface, this program "
                       "has version %u",
                       entry->path, plugin->abi, TABLE_PLUGIN_ABI);
    if (plugin->table_size != sizeof(struct table))
        return err_set(err, "%s: a plug-in of another build of this program",
                       entry->path);
    if (strcmp(plugin->type->name, entry->type) != 0)
        return err_set(err, "%s: a plug-in for type %s", entry->path,
                       plugin->type->name);
    return true;
}

static void ignore_signal(int signo UNUSED)
{
}

/* Client libraries write to connections that the server may have closed. Services have
 * a handler already (loop.h); this is for commands. A handler, unlike SIG_IGN, is not
 * inherited by programs that are executed. */
static void survive_lost_connections(void)
{
    struct sigaction now,
        action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        sigaction(SIGPIPE, &action, NULL);
}

static const struct table_type *load(const struct plugin_entry *entry, struct err *err)
{
    struct stat st;

    if (entry->path[0] != '/' || stat(entry->path, &st) < 0) {
        err_set(err, "%s: %s", entry->path,
                entry->path[0] == '/' ? strerror(errno) : "shlib_directory is \"no\"");
        return NULL;
    }
    if (!is_trusted(entry->path, &st, err))
        return NULL;
    void *handle = dlopen(entry->path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        err_set(err, "%s", dlerror());
        return NULL;
    }
    const struct table_plugin *plugin = dlsym(handle, TABLE_PLUGIN_SYMBOL);
    if (!plugin) {
        err_set(err, "%s: not a plug-in of this program", entry->path);
        dlclose(handle);
        return NULL;
    }
    if (!matches(plugin, entry, err))
        return NULL;
    survive_lost_connections();
    plugin->set_host(table_host());
    return remember(plugin->type);
}

static const struct table_type *find_listed(const struct table_env *env,
                                            struct arena *arena, struct span type,
                                            struct err *err)
{
    struct plugin_entry *entry;
    struct err why = {0};

    if (!plugin_list(env, arena, &entry, &why)) {
        err_set(err, "unsupported dictionary type: %.*s (%s)", SPAN_ARG(type),
                why.text);
        return NULL;
    }
    for (; entry; entry = entry->next) {
        if (!span_eq_str(type, entry->type))
            continue;
        const struct table_type *found = load(entry, &why);
        if (!found)
            err_set(err, "unsupported dictionary type: %.*s (%s)", SPAN_ARG(type),
                    why.text);
        return found;
    }
    err_set(err, "unsupported dictionary type: %.*s", SPAN_ARG(type));
    return NULL;
}

const struct table_type *plugin_find(const struct table_env *env, struct span type,
                                     struct err *err)
{
    const struct table_type *found = find_loaded(type);

    if (found)
        return found;
    struct arena *arena = arena_new();
    found = find_listed(env, arena, type, err);
    arena_free(arena);
    return found;
}
