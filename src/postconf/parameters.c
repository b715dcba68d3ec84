#include <stdlib.h>

#include "postconf/postconf.h"
#include "util/msg.h"

struct item {
    const char *name;
    const struct param_row *row;     /* built in, or NULL */
    const struct param_row *pattern; /* patterned, or NULL */
    enum name_class class;
};

static struct item item_of(const struct postconf *pc, const char *name)
{
    struct span key = span_str(name);
    const struct param_row *row = param_find(key);
    struct hash_node *node = hash_find(&pc->usage->names, key);
    struct item item = {.name = name, .class = CLASS_USER};

    if (row && !(row->flags & PARAM_LEGACY)) {
        item.row = row;
        item.class = param_find_pattern(key) && strstr(row->programs, "qmgr") &&
                             strncmp(name, "default_", 8) != 0
                         ? CLASS_SERVICE
                         : CLASS_BUILTIN;
    } else if (node && hash_entry(node, struct usage_name, node)->pattern) {
        item.pattern = hash_entry(node, struct usage_name, node)->pattern;
        item.class = CLASS_SERVICE;
    }
    return item;
}

static bool is_set(const struct postconf *pc, const struct item *item)
{
    return config_setting(pc->cfg, span_str(item->name)) != NULL;
}

/* Names that "postconf" lists: what has a default, and settings that are used. */
static bool exists(const struct postconf *pc, const struct item *item)
{
    if (item->row || item->pattern)
        return true;
    return pc->options.mode != 'd' && is_set(pc, item) &&
           config_usage_known(pc->usage, span_str(item->name));
}

static const char *item_value(struct postconf *pc, const struct item *item)
{
    const struct setting *setting = config_setting(pc->cfg, span_str(item->name));
    struct err err;
    const char *value = "";

    if (pc->options.expand && !(item->row && item->row->kind == PARAM_RAW)) {
        if (!config_lookup(pc->cfg, span_str(item->name), &value, &err))
            msg_fatal("%s", err.text);
    } else if (item->row) {
        value = config_raw(pc->cfg, item->row, &err);
        if (!value)
            msg_fatal("%s", err.text);
    } else {
        value = setting ? setting->raw : item->pattern->text;
    }
    return value ? value : "";
}

static void show(struct postconf *pc, const struct item *item)
{
    struct options *options = &pc->options;
    const char *value;

    if (options->names_only) {
        print_text(item->name, false);
        return;
    }
    value = item_value(pc, item);
    if (!options->values_only)
        value = arena_printf(pc->cfg->arena, "%s = %s", item->name, value);
    print_text(value, options->fold);
}

static int by_name(const void *a, const void *b)
{
    const struct item *left = a, *right = b;

    return strcmp(left->name, right->name);
}

/* Everything that has a name, each once, sorted. */
static struct item *collect(const struct postconf *pc, size_t *count_out)
{
    const struct hash *names = &pc->usage->names;
    struct item *items =
        xcalloc(param_count + param_legacy_count + names->count, sizeof *items);
    size_t count = 0;

    for (size_t i = 0; i < param_count + param_legacy_count; i++)
        items[count++] = item_of(pc, param_table[i].name);
    for (struct hash_node *node = hash_next(names, NULL); node;
         node = hash_next(names, node))
        items[count++] = item_of(pc, hash_entry(node, struct usage_name, node)->name);
    qsort(items, count, sizeof *items, by_name);
    *count_out = count;
    return items;
}

static void show_all(struct postconf *pc)
{
    size_t count;
    struct item *items = collect(pc, &count);

    for (size_t i = 0; i < count; i++) {
        const struct item *item = &items[i];

        if ((i && strcmp(item->name, items[i - 1].name) == 0) || !exists(pc, item) ||
            !(item->class & pc->options.classes) ||
            (pc->options.mode == 'n' && !is_set(pc, item)))
            continue;
        show(pc, item);
    }
    free(items);
}

void parameters_show(struct postconf *pc, char **names)
{
    if (!*names) {
        show_all(pc);
        return;
    }
    for (; *names; names++) {
        struct item item = item_of(pc, *names);

        if (!exists(pc, &item))
            msg_warn("%s: unknown parameter", *names);
        else if (pc->options.mode != 'n' || is_set(pc, &item))
            show(pc, &item);
    }
}
