/* Values: settings over defaults, expanded when first asked for. */
#include "global/config_internal.h"
#include "global/macro.h"
#include "util/msg.h"

void config_set(struct config *cfg, struct span name, struct span value, int line)
{
    struct config_store *store = cfg->store;
    struct hash_node *node = hash_find(&store->settings, name);
    const struct param_row *row = param_find(name);
    struct setting *setting;

    if (node) {
        setting = hash_entry(node, struct setting, node);
        if (line && setting->line)
            msg_warn("%s, line %d: overriding earlier entry: %s=%s", store->path, line,
                     setting->name, setting->raw);
    } else {
        setting = arena_alloc(cfg->arena, sizeof *setting);
        setting->name = arena_span_str(cfg->arena, name);
        hash_insert(&store->settings, &setting->node, span_str(setting->name));
    }
    setting->raw = arena_span_str(cfg->arena, value);
    setting->line = line;
    if (row && !(row->flags & PARAM_LEGACY))
        store->builtin[row - param_table] = setting;
}

const struct setting *config_setting(const struct config *cfg, struct span name)
{
    struct hash_node *node = hash_find(&cfg->store->settings, name);

    return node ? hash_entry(node, struct setting, node) : NULL;
}

static bool lookup(void *ctx, struct span name, const char **value_out, struct err *err)
{
    return config_lookup(ctx, name, value_out, err);
}

const char *config_expand(const struct config *cfg, struct arena *arena,
                          const char *text, struct err *err)
{
    /* Look-ups fill the cache of values, which does not show from outside. */
    struct macro_source source = {.lookup = lookup, .ctx = (void *)(uintptr_t)cfg};
    struct strbuf out = STRBUF_INIT;
    const char *result = NULL;

    if (!strchr(text, '$'))
        return arena_str(arena, text);
    if (macro_expand(&out, span_str(text), &source, err))
        result = arena_span_str(arena, strbuf_span(&out));
    strbuf_free(&out);
    return result;
}

/* Put the place of a bad setting before the text, once: the innermost counts. */
bool config_locate(struct config *cfg, const char *name, struct err *err)
{
    const struct setting *setting = config_setting(cfg, span_str(name));

    if (cfg->store->located)
        return false;
    cfg->store->located = true;
    cfg->store->culprit = name;
    if (cfg->store->report)
        return false;
    if (!setting)
        return err_prefix(err, "parameter %s", name);
    if (setting->line)
        return err_prefix(err, "%s, line %d", cfg->store->path, setting->line);
    return err_prefix(err, "-o %s=%s", setting->name, setting->raw);
}

static const char *nesting_error(struct config *cfg, const char *name, struct err *err)
{
    err_set(err, "unreasonable macro call nesting: \"%s\"", name);
    config_locate(cfg, name, err);
    return NULL;
}

static const char *expand_guarded(struct config *cfg, const char *name, const char *raw,
                                  bool *busy, struct err *err)
{
    const char *value;

    if (!strchr(raw, '$'))
        return raw;
    if (*busy)
        return nesting_error(cfg, name, err);
    *busy = true;
    value = config_expand(cfg, cfg->arena, raw, err);
    *busy = false;
    if (!value)
        config_locate(cfg, name, err);
    return value;
}

const char *config_raw(struct config *cfg, const struct param_row *row, struct err *err)
{
    const struct setting *setting = cfg->store->builtin[row - param_table];

    if (setting && !(row->flags & PARAM_READONLY))
        return setting->raw;
    if (row->flags & PARAM_COMPUTED)
        return config_host_default(cfg, row, err);
    return row->text;
}

const char *config_row_value(struct config *cfg, const struct param_row *row,
                             struct err *err)
{
    size_t index = (size_t)(row - param_table);
    struct config_store *store = cfg->store;
    const char *raw;

    if (store->value[index])
        return store->value[index];
    if (store->busy[index])
        return nesting_error(cfg, row->name, err);
    store->busy[index] = true;
    raw = config_raw(cfg, row, err);
    store->busy[index] = false;
    if (raw)
        store->value[index] =
            expand_guarded(cfg, row->name, raw, &store->busy[index], err);
    return store->value[index];
}

static bool setting_value(struct config *cfg, struct setting *setting,
                          const char **value_out, struct err *err)
{
    if (!setting->value)
        setting->value =
            expand_guarded(cfg, setting->name, setting->raw, &setting->busy, err);
    *value_out = setting->value;
    return setting->value != NULL;
}

/* The default of a patterned name such as foo_destination_recipient_limit. */
static bool pattern_value(struct config *cfg, struct span name, const char **value_out,
                          struct err *err)
{
    const struct param_row *pattern = param_find_pattern(name);

    *value_out = NULL;
    if (!pattern)
        return true;
    *value_out = config_expand(cfg, cfg->arena, pattern->text, err);
    return *value_out != NULL;
}

bool config_lookup(struct config *cfg, struct span name, const char **value_out,
                   struct err *err)
{
    const struct param_row *row = param_find(name);
    struct hash_node *node;

    if (row && !(row->flags & PARAM_LEGACY)) {
        *value_out = config_row_value(cfg, row, err);
        return *value_out != NULL;
    }
    node = hash_find(&cfg->store->settings, name);
    if (node)
        return setting_value(cfg, hash_entry(node, struct setting, node), value_out,
                             err);
    return pattern_value(cfg, name, value_out, err);
}

const char *config_value(const struct config *cfg, const char *name)
{
    struct err err;
    const char *value = NULL;

    /* As in config_expand, only the cache changes. */
    if (config_lookup((struct config *)(uintptr_t)cfg, span_str(name), &value, &err))
        return value;
    cfg->store->located = false;
    return NULL;
}
