#include "global/config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "global/config_internal.h"
#include "global/paths.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/timefmt.h"

#define MAIN_CF_MAX (16u << 20)

struct config *config_new(const struct config_source *source)
{
    struct arena *arena = arena_new();
    struct config *cfg = arena_alloc(arena, sizeof *cfg);
    const char *dir = source->dir;

    if (!dir)
        dir = getenv("MAIL_CONFIG");
    cfg->arena = arena;
    cfg->store = arena_alloc(arena, sizeof *cfg->store);
    hash_init(&cfg->store->settings, false);
    cfg->dir = arena_str(arena, dir && *dir ? dir : SYSCONFDIR);
    cfg->program = arena_str(arena, source->program ? source->program : "");
    cfg->service = arena_str(arena, source->service ? source->service : "");
    cfg->store->path = arena_printf(arena, "%s/main.cf", cfg->dir);
    return cfg;
}

void config_free(struct config *cfg)
{
    if (!cfg)
        return;
    hash_free(&cfg->store->settings);
    arena_free(cfg->arena);
}

static bool read_main_cf(struct config *cfg, const struct config_source *source,
                         struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    bool ok;

    if (source->main_cf.ptr)
        return config_parse(cfg, cfg->store->path, source->main_cf, err);
    ok = file_read_all(cfg->store->path, MAIN_CF_MAX, &text, err) &&
         config_parse(cfg, cfg->store->path, strbuf_span(&text), err);

    strbuf_free(&text);
    return ok;
}

struct config *config_open(const struct config_source *source, struct err *err)
{
    struct config *cfg = config_new(source);
    bool elsewhere = strcmp(cfg->dir, SYSCONFDIR) != 0;

    if (elsewhere && getauxval(AT_SECURE) && getuid() != 0 &&
        !config_dir_allowed(cfg->dir, err))
        goto fail;
    if (!read_main_cf(cfg, source, err))
        goto fail;
    if (elsewhere)
        config_set(cfg, SPAN_LIT("config_directory"), span_str(cfg->dir), 0);
    for (size_t i = 0; i < source->override_count; i++)
        config_set(cfg, span_str(source->overrides[i].name),
                   span_str(source->overrides[i].value), 0);
    return cfg;
fail:
    config_free(cfg);
    return NULL;
}

/* An alternative is what the default main.cf names as one. */
bool config_dir_allowed(const char *dir, struct err *err)
{
    struct config_source source = {.dir = SYSCONFDIR};
    struct config *cfg = config_new(&source);
    bool allowed = false;
    const char *const names[] = {"alternate_config_directories",
                                 "multi_instance_directories"};

    if (!read_main_cf(cfg, &source, err)) {
        config_free(cfg);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct span rest = span_str(config_value(cfg, names[i])), token;

        while (span_token(&rest, ", \t\r\n", &token))
            allowed = allowed || span_eq_str(token, dir);
    }
    config_free(cfg);
    return allowed ||
           err_set(err,
                   "untrusted configuration directory name: %s (it is not listed with "
                   "alternate_config_directories in %s/main.cf)",
                   dir, SYSCONFDIR);
}

static bool parse_bool(const char *name, const char *text, int64_t *value_out,
                       struct err *err)
{
    struct span value = span_str(text);

    *value_out = span_ieq_str(value, "yes");
    if (!*value_out && !span_ieq_str(value, "no"))
        return err_set(err, "bad boolean configuration: %s = %s", name, text);
    return true;
}

static bool parse_time(const struct param_row *row, const char *name, const char *text,
                       int64_t *value_out, struct err *err)
{
    if (!time_value_parse(span_str(text), row->unit, value_out))
        return err_set(err, "parameter %s: bad time value or unit: %s", name, text);
    if (row->min > 0 && *value_out < row->min)
        return err_set(err, "invalid %s: %s (min %lld)", name, text,
                       (long long)row->min);
    if (row->max > 0 && *value_out > row->max)
        return err_set(err, "invalid %s: %s (max %lld)", name, text,
                       (long long)row->max);
    return true;
}

static bool parse_int(const struct param_row *row, const char *name, const char *text,
                      int64_t *value_out, struct err *err)
{
    struct span digits = span_str(text);

    if (digits.len > 1 && digits.ptr[0] == '+' && ascii_digit(digits.ptr[1]))
        digits = span_skip(digits, 1);
    if (!span_i64(digits, value_out) ||
        (row->kind == PARAM_INT && (*value_out < INT32_MIN || *value_out > INT32_MAX)))
        return err_set(err, "bad numerical configuration: %s = %s", name, text);
    if (row->min > 0 && *value_out < row->min)
        return err_set(err, "invalid %s parameter value %s < %lld", name, text,
                       (long long)row->min);
    if (row->max > 0 && *value_out > row->max)
        return err_set(err, "invalid %s parameter value %s > %lld", name, text,
                       (long long)row->max);
    return true;
}

bool config_parse_number(const struct param_row *row, const char *name,
                         const char *text, int64_t *value_out, struct err *err)
{
    if (row->kind == PARAM_BOOL)
        return parse_bool(name, text, value_out, err);
    if (row->kind == PARAM_TIME)
        return parse_time(row, name, text, value_out, err);
    return parse_int(row, name, text, value_out, err);
}

bool config_check_length(const struct param_row *row, const char *name,
                         const char *text, struct err *err)
{
    size_t len = strlen(text);

    if (row->min > 0 && len < (size_t)row->min)
        return err_set(err, "bad string length %zu < %lld: %s = %s", len,
                       (long long)row->min, name, text);
    if (row->max > 0 && len > (size_t)row->max)
        return err_set(err, "bad string length %zu > %lld: %s = %s", len,
                       (long long)row->max, name, text);
    return true;
}

/* "$other" where other is raw as well means what other means, so that
 * postscreen_reject_footer can follow smtpd_reject_footer. */
static const char *raw_value(struct config *cfg, const struct param_row *row,
                             struct err *err)
{
    const char *raw = config_raw(cfg, row, err);

    for (int hops = 0; raw && raw[0] == '$' && hops < 10; hops++) {
        const struct param_row *other = param_find(span_str(raw + 1));

        if (!other || other->kind != PARAM_RAW)
            break;
        raw = config_raw(cfg, other, err);
    }
    return raw;
}

/* A default that follows another parameter, which is good in itself: a
 * default_process_limit of 5 must not stop programs because postscreen needs 10. */
static bool bring_into_bounds(const struct param_row *row, const char *text,
                              int64_t *number)
{
    if ((row->kind != PARAM_INT && row->kind != PARAM_LONG) ||
        !span_i64(span_str(text), number))
        return false;
    if (row->min > 0 && *number < row->min)
        *number = row->min;
    if (row->max > 0 && *number > row->max)
        *number = row->max;
    return true;
}

static bool fill_field(struct config *cfg, const struct param_row *row, struct err *err)
{
    void *field = (char *)cfg + row->offset;
    bool fixed = !cfg->store->builtin[row - param_table] &&
                 !(row->flags & (PARAM_DYNAMIC | PARAM_COMPUTED));
    int64_t number = row->number;
    const char *text;

    if (row->kind == PARAM_STR || row->kind == PARAM_RAW) {
        text = row->kind == PARAM_RAW ? raw_value(cfg, row, err)
                                      : config_row_value(cfg, row, err);
        *(const char **)field = text;
        return text && (fixed || config_check_length(row, row->name, text, err));
    }
    if (!fixed) {
        text = config_row_value(cfg, row, err);
        if (!text || (!config_parse_number(row, row->name, text, &number, err) &&
                      (cfg->store->builtin[row - param_table] ||
                       !bring_into_bounds(row, text, &number))))
            return false;
    }
    if (row->kind == PARAM_BOOL)
        *(bool *)field = number != 0;
    else
        *(int64_t *)field = number;
    return true;
}

/* Settings of patterned names that have no field. */
static bool check_patterned(struct config *cfg, const struct setting *setting,
                            struct err *err)
{
    const struct param_row *pattern;
    const char *text;
    int64_t number;

    if (param_find(setting->node.key))
        return true;
    pattern = param_find_pattern(setting->node.key);
    if (!pattern)
        return true;
    if (!config_lookup(cfg, setting->node.key, &text, err))
        return false;
    if (pattern->kind == PARAM_STR)
        return config_check_length(pattern, setting->name, text, err);
    return config_parse_number(pattern, setting->name, text, &number, err);
}

/* A bad setting ends the loading, or is reported. */
static bool survives(struct config *cfg, const char *name, struct err *err)
{
    struct config_store *store = cfg->store;

    config_locate(cfg, name, err);
    if (!store->report)
        return false;
    store->report(store->report_arg, store->culprit, err->text);
    store->located = false;
    return true;
}

/* What stands in for a value that cannot be used. */
static void fill_default(struct config *cfg, const struct param_row *row)
{
    void *field = (char *)cfg + row->offset;
    const char *text = row->text && row->kind != PARAM_RAW
                           ? config_expand(cfg, cfg->arena, row->text, &(struct err){0})
                           : row->text;
    int64_t number = row->number;

    cfg->store->located = false;
    if (row->kind == PARAM_STR || row->kind == PARAM_RAW) {
        *(const char **)field = text ? text : "";
        return;
    }
    if (text)
        config_parse_number(row, row->name, text, &number, &(struct err){0});
    if (row->kind == PARAM_BOOL)
        *(bool *)field = number != 0;
    else
        *(int64_t *)field = number;
}

static bool fill_fields(struct config *cfg, struct err *err)
{
    for (size_t i = 0; i < param_count; i++) {
        if (fill_field(cfg, &param_table[i], err))
            continue;
        if (!survives(cfg, param_table[i].name, err))
            return false;
        fill_default(cfg, &param_table[i]);
    }
    return true;
}

static bool fill(struct config *cfg, struct err *err)
{
    struct hash *settings = &cfg->store->settings;

    if (!fill_fields(cfg, err))
        return false;
    for (struct hash_node *node = hash_next(settings, NULL); node;
         node = hash_next(settings, node)) {
        const struct setting *setting = hash_entry(node, struct setting, node);

        if (!check_patterned(cfg, setting, err) && !survives(cfg, setting->name, err))
            return false;
    }
    for (const struct config_value_check *check = config_value_checks; check->name;
         check++) {
        if (check->ok(cfg, err))
            continue;
        if (!cfg->store->report)
            return false;
        cfg->store->report(cfg->store->report_arg, check->name, err->text);
    }
    return true;
}

struct config *config_load(const struct config_source *source, struct err *err)
{
    struct config *cfg = config_open(source, err);

    if (!cfg)
        return NULL;
    if (!fill(cfg, err)) {
        config_free(cfg);
        return NULL;
    }
    return cfg;
}

struct config *config_load_all(const struct config_source *source,
                               void (*report)(void *arg, const char *name,
                                              const char *text),
                               void *arg, struct err *err)
{
    struct config *cfg = config_open(source, err);

    if (!cfg)
        return NULL;
    cfg->store->report = report;
    cfg->store->report_arg = arg;
    fill(cfg, err);
    return cfg;
}

int config_line(const struct config *cfg, const char *name)
{
    const struct setting *setting = config_setting(cfg, span_str(name));

    return setting ? setting->line : 0;
}

static const struct param_row *pattern_row(const char *suffix)
{
    for (size_t i = 0; i < param_pattern_count; i++)
        if (strcmp(param_patterns[i].name, suffix) == 0)
            return &param_patterns[i];
    panic("config: %s is not a patterned parameter", suffix);
}

const char *config_prefix_str(const struct config *cfg, const char *prefix,
                              const char *suffix)
{
    const struct param_row *pattern = pattern_row(suffix);
    const char *name = arena_printf(cfg->arena, "%s%s", prefix, suffix);
    const char *value = config_value(cfg, name);

    /* What could fail was evaluated by config_load. */
    return value ? value : pattern->text;
}

int64_t config_prefix_int(const struct config *cfg, const char *prefix,
                          const char *suffix)
{
    const char *text = config_prefix_str(cfg, prefix, suffix);
    struct err err;
    int64_t number;

    if (!config_parse_number(pattern_row(suffix), suffix, text, &number, &err))
        panic("config: %s%s: %s", prefix, suffix, err.text);
    return number;
}
