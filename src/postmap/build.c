#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postmap/postmap.h"
#include "postmap/sorted.h"
#include "table/fold.h"
#include "table/source.h"
#include "table/value_files.h"
#include "util/msg.h"

#define SOURCE_MAX ((size_t)4 << 30)
#define SORT_MIN   ((size_t)1 << 20)

static _Noreturn void give_up(struct table *table, const char *text)
{
    table_close(table); /* takes the half-built file away */
    msg_fatal("%s", text);
}

static void add_entry(const struct postmap *pm, struct table *table,
                      const struct source *src, struct span key, struct span value)
{
    struct strbuf content = STRBUF_INIT;
    struct err err;

    if (pm->files_as_values && src) {
        if (!value_files_read(value, &content, &err)) {
            msg_warn("%s, line %d: %s: skipping this entry", src->path, src->line,
                     err.text);
            strbuf_free(&content);
            return;
        }
        value = strbuf_span(&content);
    }
    enum table_status status = table_update(table, key, value, &err);
    if (status == TABLE_RETRY || status == TABLE_BROKEN)
        give_up(table, err.text);
    strbuf_free(&content);
}

/* "192.0.2.0/24" */
static bool is_network(struct span key)
{
    ssize_t slash = span_chr(key, '/');

    for (size_t i = 0; i < key.len; i++)
        if (!ascii_digit(key.ptr[i]) && key.ptr[i] != '.' && (ssize_t)i != slash)
            return false;
    return slash > 0;
}

/* No program asks for these; the entry is kept, as the operator wants it. */
static void warn_if_useless(const struct source *src, struct span key)
{
    ssize_t at = span_rchr(key, '@');
    const char *why = NULL;

    if (at >= 0 && (size_t)at + 2 < key.len && key.ptr[key.len - 1] == '.')
        why = "the domain of an address is looked up without a dot at the end";
    else if (is_network(key))
        why = "networks with a prefix length need a table of type cidr";
    if (why)
        msg_warn("%s, line %d: key \"%.*s\" can never match: %s", src->path, src->line,
                 SPAN_ARG(key), why);
}

static void add_all(const struct postmap *pm, struct table *table, const char *path,
                    struct span text)
{
    struct source_entries entries;
    struct span key, value;

    source_entries_init(&entries, path, text, pm->is_alias ? SOURCE_ALIAS : SOURCE_MAP,
                        pm->check_utf8);
    while (source_entries_next(&entries, &key, &value)) {
        if (!pm->is_alias)
            warn_if_useless(&entries.src, key);
        add_entry(pm, table, &entries.src, key, value);
    }
    source_entries_free(&entries);
}

static void put_sorted(const struct postmap *pm, struct table *table,
                       struct sorted *all)
{
    bool warn = pm->flags & TABLE_WARN_DUP;
    size_t duplicates = 0;

    sorted_by_key(all, pm->flags & TABLE_REPLACE_DUP);
    for (size_t i = 0; i < all->count; i++) {
        const struct sorted_entry *entry = &all->entries[i];
        duplicates += entry->duplicate;
        if (!entry->duplicate)
            add_entry(pm, table, NULL, entry->key, entry->value);
    }
    if (duplicates == 0 || !warn)
        return;
    sorted_by_number(all);
    for (size_t i = 0; i < all->count; i++)
        if (all->entries[i].duplicate)
            msg_warn("%s: duplicate entry: \"%.*s\"", table_name(table),
                     SPAN_ARG(all->entries[i].key));
}

/* Warnings about duplicates come last here, in the order of the source. */
static void add_all_sorted(const struct postmap *pm, struct table *table,
                           const char *path, struct span text)
{
    struct source_entries entries;
    struct strbuf folded = STRBUF_INIT;
    struct sorted all;
    struct span key, value;

    sorted_init(&all);
    source_entries_init(&entries, path, text, pm->is_alias ? SOURCE_ALIAS : SOURCE_MAP,
                        pm->check_utf8);
    while (source_entries_next(&entries, &key, &value)) {
        if (!pm->is_alias)
            warn_if_useless(&entries.src, key);
        if (!(pm->flags & TABLE_NO_FOLD))
            key = fold_key(key, pm->check_utf8, &folded);
        sorted_add(&all, text, key, value);
    }
    if (pm->is_alias)
        sorted_add(&all, text, SPAN_LIT("@"), SPAN_LIT("@"));
    put_sorted(pm, table, &all);
    source_entries_free(&entries);
    strbuf_free(&folded);
    sorted_free(&all);
}

/* In a directory of the owner of the source work as that owner, who could otherwise
 * make root write elsewhere. */
static void become_owner(const char *path, const struct stat *source)
{
    char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    struct stat st;

    if (slash)
        slash[slash == dir] = '\0';
    bool theirs = stat(slash ? dir : ".", &st) == 0 && st.st_uid == source->st_uid;
    free(dir);
    if (!theirs || source->st_uid == 0 || geteuid() != 0)
        return;
    if (setgroups(1, &source->st_gid) < 0 || setegid(source->st_gid) < 0 ||
        seteuid(source->st_uid) < 0)
        msg_fatal("become owner of %s: %s", path, strerror(errno));
}

static const char *path_of(const char *name)
{
    return strchr(name, ':') + 1;
}

static bool is_known(struct span type)
{
    const char *name;

    for (size_t i = 0; (name = table_type_name(i)) != NULL; i++)
        if (span_eq_str(type, name))
            return true;
    return false;
}

static struct table *open_table(const struct postmap *pm, const char *name,
                                enum table_mode mode)
{
    struct span type = span_of(name, (size_t)(path_of(name) - 1 - name));
    struct err err;

    if (is_known(type) && !table_type_is_buildable(type))
        msg_fatal("unsupported dictionary type: %.*s does not support bulk-mode "
                  "creation.",
                  SPAN_ARG(type));
    struct table *table = table_open(pm->env, name, mode, pm->flags, &err);
    if (!table)
        msg_fatal("%s", err.text);
    return table;
}

void postmap_build(const struct postmap *pm, const char *name)
{
    const char *path = path_of(name);
    struct strbuf text = STRBUF_INIT;
    struct stat st;
    struct err err;

    if (!source_read(path, SOURCE_MAX, &text, &st, &err))
        msg_fatal("open %s: %s", path, err.text);
    if (!pm->keep_root)
        become_owner(path, &st);
    struct table *table = open_table(pm, name, TABLE_CREATE);
    if (text.len >= SORT_MIN && !pm->files_as_values) {
        add_all_sorted(pm, table, path, strbuf_span(&text));
    } else {
        add_all(pm, table, path, strbuf_span(&text));
        if (pm->is_alias) /* marks a complete alias file, as NIS has it */
            add_entry(pm, table, NULL, SPAN_LIT("@"), SPAN_LIT("@"));
    }
    bool give_away = geteuid() == 0 && !pm->keep_root;
    if (!table_inherit(table, &st, give_away, !pm->drop_mode, &err) ||
        !table_commit(table, &err))
        give_up(table, err.text);
    table_close(table);
    strbuf_free(&text);
}

void postmap_add_stdin(const struct postmap *pm, const char *name)
{
    struct table *table = open_table(pm, name, TABLE_WRITE);
    struct strbuf text = STRBUF_INIT;
    struct err err;

    if (!source_read_fd(STDIN_FILENO, SOURCE_MAX, &text, &err))
        msg_fatal("read stdin: %s", err.text);
    if (!table_lock(table, &err))
        give_up(table, err.text);
    add_all(pm, table, "stdin", strbuf_span(&text));
    if (!table_unlock(table, &err))
        give_up(table, err.text);
    table_close(table);
    strbuf_free(&text);
}
