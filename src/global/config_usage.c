#include "global/config_usage.h"

#include <stdlib.h>

#include "global/config_internal.h"
#include "util/msg.h"

/* Tables that can take their settings from main.cf: "mysql:name" reads name_user. */
static const struct {
    const char *type;
    const char *attributes;
} database_types[] = {
    {"ldap",
     "server_host server_port timeout search_base query_filter result_filter "
     "result_format result_attribute special_result_attribute "
     "terminal_result_attribute leaf_result_attribute domain scope bind bind_dn "
     "bind_pw version recursion_limit expansion_limit size_limit dereference "
     "chase_referrals debuglevel sasl_mechs sasl_realm sasl_authz_id sasl_minssf "
     "start_tls tls_ca_cert_dir tls_ca_cert_file tls_cert tls_key "
     "tls_require_cert tls_random_file tls_cipher_suite cache cache_expiry "
     "cache_size"},
    {"mysql", "hosts user password dbname charset idle_interval retry_interval query "
              "result_format domain expansion_limit option_file option_group "
              "require_result_set tls_cert_file tls_key_file tls_CAfile tls_CApath "
              "tls_ciphers tls_verify_cert table select_field where_field "
              "additional_conditions"},
    {"pgsql", "hosts user password dbname encoding idle_interval retry_interval query "
              "result_format domain expansion_limit select_function table select_field "
              "where_field additional_conditions"},
    {"sqlite", "dbpath query result_format domain expansion_limit table select_field "
               "where_field additional_conditions"},
    {"memcache", "memcache backup flags ttl key_format key_digest domain "
                 "data_size_limit line_size_limit max_try retry_pause timeout"},
    {"mongodb", "uri dbname collection query_filter result_attribute projection "
                "result_format domain expansion_limit"},
};

static const char *const transports[] = {"local", "error", "virtual",
                                         "smtp",  "lmtp",  "pipe"};

static void add_name(struct config_usage *usage, struct hash *table, struct span name,
                     const struct param_row *pattern)
{
    struct usage_name *entry;

    if (hash_find(table, name))
        return;
    entry = arena_alloc(usage->arena, sizeof *entry);
    entry->name = arena_span_str(usage->arena, name);
    entry->pattern = pattern;
    hash_insert(table, &entry->node, span_str(entry->name));
}

bool config_usage_split(struct span setting, struct span *name_out,
                        struct span *value_out)
{
    struct span rest = setting;

    *name_out = span_trim(span_cut(&rest, '='));
    *value_out = span_trim(rest);
    return rest.ptr && name_out->len;
}

/* Calls fn for each "-o name=value" of master.cf. */
static void each_option(struct config_usage *usage,
                        void (*fn)(struct config_usage *usage, struct span name,
                                   struct span value))
{
    struct span name, value;

    for (size_t i = 0; usage->mcf && i < usage->mcf->count; i++) {
        const struct master_entry *entry = &usage->mcf->entries[i];

        for (size_t j = 0; j + 1 < entry->argc; j++)
            if (strcmp(entry->argv[j], "-o") == 0 &&
                config_usage_split(span_str(entry->argv[j + 1]), &name, &value))
                fn(usage, name, value);
    }
}

static bool runs_transport(const struct master_entry *entry)
{
    for (size_t i = 0; i < ARRAY_LEN(transports); i++)
        if (strcmp(entry->command, transports[i]) == 0)
            return true;
    return false;
}

static bool pattern_applies(const struct master_entry *entry,
                            const struct param_row *pattern)
{
    if (strcmp(pattern->name, "_time_limit") == 0)
        return strcmp(entry->command, "pipe") == 0 ||
               strcmp(entry->command, "spawn") == 0;
    return runs_transport(entry);
}

static void add_patterned(struct config_usage *usage)
{
    for (size_t i = 0; usage->mcf && i < usage->mcf->count; i++) {
        const struct master_entry *entry = &usage->mcf->entries[i];

        for (size_t j = 0; j < param_pattern_count; j++) {
            const struct param_row *pattern = &param_patterns[j];
            struct span name;

            if (!pattern_applies(entry, pattern))
                continue;
            name = span_str(
                arena_printf(usage->arena, "%s%s", entry->name, pattern->name));
            if (!param_find(name))
                add_name(usage, &usage->names, name, pattern);
        }
    }
}

static void add_classes(struct config_usage *usage)
{
    struct span rest = span_str(config_value(usage->cfg, "smtpd_restriction_classes"));
    struct span name;

    while (span_token(&rest, ", \t\r\n", &name))
        add_name(usage, &usage->names, name, NULL);
}

static void add_attributes(struct config_usage *usage, struct span table,
                           const char *attributes)
{
    struct span rest = span_str(attributes), attribute;

    while (span_token(&rest, " ", &attribute))
        add_name(usage, &usage->names,
                 span_str(arena_printf(usage->arena, "%.*s_%.*s", SPAN_ARG(table),
                                       SPAN_ARG(attribute))),
                 NULL);
}

static void scan_tables(struct config_usage *usage, struct span value)
{
    struct span rest = value, token;

    while (span_token(&rest, ", \t\r\n{}", &token)) {
        struct span name = token, type = span_cut(&name, ':');

        while (span_eq_str(type, "proxy"))
            type = span_cut(&name, ':');
        if (!name.len || memchr(name.ptr, '/', name.len))
            continue;
        for (size_t i = 0; i < ARRAY_LEN(database_types); i++)
            if (span_eq_str(type, database_types[i].type))
                add_attributes(usage, name, database_types[i].attributes);
    }
}

/* The next name that text refers to, in whatever branch; function names are none. */
static bool next_reference(struct span *text, struct span *name_out)
{
    while (text->len) {
        ssize_t dollar = span_chr(*text, '$');
        size_t len = 0;
        struct span rest;

        if (dollar < 0)
            return false;
        rest = span_skip(*text, (size_t)dollar + 1);
        if (rest.len && rest.ptr[0] == '$') {
            *text = span_skip(rest, 1);
            continue;
        }
        if (rest.len && (rest.ptr[0] == '{' || rest.ptr[0] == '('))
            rest = span_ltrim(span_skip(rest, 1));
        while (len < rest.len && (ascii_alnum(rest.ptr[len]) || rest.ptr[len] == '_'))
            len++;
        *name_out = span_of(rest.ptr, len);
        *text = span_skip(rest, len);
        if (len && !(text->len && text->ptr[0] == '{'))
            return true;
    }
    return false;
}

static void scan_references(struct config_usage *usage, struct span value)
{
    struct span name;

    while (next_reference(&value, &name))
        if (!param_find(name))
            add_name(usage, &usage->names, name, NULL);
}

/* References in raw parameters are for whoever expands them later. */
static bool is_raw(struct span name)
{
    const struct param_row *row = param_find(name);

    return row && row->kind == PARAM_RAW;
}

static void scan_value(struct config_usage *usage, struct span name, struct span value)
{
    scan_references(usage, value);
    if (!is_raw(name))
        scan_tables(usage, value);
}

static void note_option(struct config_usage *usage, struct span name, struct span value)
{
    add_name(usage, &usage->options, name, NULL);
    scan_value(usage, name, value);
}

/* The settings of main.cf in the order of the file; caller frees. */
static const struct setting **sorted_settings(const struct config *cfg,
                                              size_t *count_out);

struct config_usage *config_usage_new(const struct config *cfg,
                                      const struct master_cf *mcf)
{
    struct arena *arena = arena_new();
    struct config_usage *usage = arena_alloc(arena, sizeof *usage);
    const struct setting **settings;
    size_t count;

    usage->arena = arena;
    usage->cfg = cfg;
    usage->mcf = mcf;
    hash_init(&usage->names, false);
    hash_init(&usage->warned, false);
    hash_init(&usage->options, false);
    add_patterned(usage);
    add_classes(usage);
    settings = sorted_settings(cfg, &count);
    for (size_t i = 0; i < count; i++)
        scan_value(usage, settings[i]->node.key, span_str(settings[i]->raw));
    free(settings);
    each_option(usage, note_option);
    return usage;
}

void config_usage_free(struct config_usage *usage)
{
    if (!usage)
        return;
    hash_free(&usage->names);
    hash_free(&usage->warned);
    hash_free(&usage->options);
    arena_free(usage->arena);
}

bool config_usage_known(const struct config_usage *usage, struct span name)
{
    return param_find(name) || hash_find(&usage->names, name);
}

static int by_line(const void *a, const void *b)
{
    const struct setting *const *left = a, *const *right = b;

    if ((*left)->line != (*right)->line)
        return (*left)->line < (*right)->line ? -1 : 1;
    return strcmp((*left)->name, (*right)->name);
}

static const struct setting **sorted_settings(const struct config *cfg,
                                              size_t *count_out)
{
    const struct hash *table = &cfg->store->settings;
    const struct setting **list = xcalloc(table->count, sizeof *list);
    size_t count = 0;

    for (struct hash_node *node = hash_next(table, NULL); node;
         node = hash_next(table, node))
        list[count++] = hash_entry(node, struct setting, node);
    qsort(list, count, sizeof *list, by_line);
    *count_out = count;
    return list;
}

static bool is_defined(const struct config_usage *usage, struct span name)
{
    struct hash_node *node = hash_find(&usage->names, name);

    return param_find(name) || config_setting(usage->cfg, name) ||
           hash_find(&usage->options, name) ||
           (node && hash_entry(node, struct usage_name, node)->pattern);
}

bool config_usage_next_reference(struct span *text, struct span *name_out)
{
    return next_reference(text, name_out);
}

bool config_usage_defined(const struct config_usage *usage, struct span name)
{
    return is_defined(usage, name);
}

static void warn_references(struct config_usage *usage, const char *path,
                            struct span name, struct span value)
{
    struct span reference;

    if (is_raw(name))
        return;
    while (next_reference(&value, &reference)) {
        if (is_defined(usage, reference) || hash_find(&usage->warned, reference))
            continue;
        add_name(usage, &usage->warned, reference, NULL);
        msg_warn("%s: undefined parameter: %.*s", path, SPAN_ARG(reference));
    }
}

static void warn_option_references(struct config_usage *usage, struct span name,
                                   struct span value)
{
    warn_references(usage, usage->mcf->path, name, value);
}

void config_usage_warn_undefined(struct config_usage *usage)
{
    size_t count;
    const struct setting **settings = sorted_settings(usage->cfg, &count);

    for (size_t i = 0; i < count; i++)
        warn_references(usage, usage->cfg->store->path, settings[i]->node.key,
                        span_str(settings[i]->raw));
    free(settings);
    each_option(usage, warn_option_references);
}

static void warn_setting(const struct config_usage *usage, const char *path,
                         struct span name, struct span value)
{
    const struct param_row *row = param_find(name);

    if (row && row->successor)
        msg_warn("%s: support for parameter \"%s\" will be removed; instead, specify "
                 "\"%s\"",
                 path, row->name, row->successor);
    if (!config_usage_known(usage, name))
        msg_warn("%s: unused parameter: %.*s=%.*s", path, SPAN_ARG(name),
                 SPAN_ARG(value));
}

static void warn_option(struct config_usage *usage, struct span name, struct span value)
{
    warn_setting(usage, usage->mcf->path, name, value);
}

void config_usage_warn_unused_options(struct config_usage *usage)
{
    each_option(usage, warn_option);
}

void config_usage_warn_unused(struct config_usage *usage)
{
    size_t count;
    const struct setting **settings = sorted_settings(usage->cfg, &count);

    for (size_t i = 0; i < count; i++)
        if (settings[i]->line)
            warn_setting(usage, usage->cfg->store->path, settings[i]->node.key,
                         span_str(settings[i]->raw));
    free(settings);
    config_usage_warn_unused_options(usage);
}

void config_warn_unused(const struct config *cfg)
{
    struct err err;
    struct master_cf *mcf = master_cf_load(cfg, &err);
    struct config_usage *usage = config_usage_new(cfg, mcf);

    config_usage_warn_undefined(usage);
    config_usage_warn_unused(usage);
    config_usage_free(usage);
    master_cf_free(mcf);
}
