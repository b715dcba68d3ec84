#include "postfix/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "util/escape.h"
#include "util/msg.h"

static const struct check_rule *const groups[] = {
    check_param_rules,  check_service_rules, check_listen_rules, check_file_rules,
    check_chroot_rules, check_host_rules,    check_domain_rules, check_relay_rules,
    check_limit_rules,  check_table_rules,
};

/* -- places -- */

struct check_place at_view(const struct check *check, const struct check_view *view,
                           const char *parameter)
{
    struct check_place place = {.parameter = parameter};

    if (view->entry && view_sets(view, parameter)) {
        place = at_entry(check, view->entry);
        place.parameter = parameter;
        return place;
    }
    place.file = check->main_cf;
    place.line = config_line(check->cfg, parameter);
    return place;
}

struct check_place at_main(const struct check *check, const char *parameter)
{
    return at_view(check, &check->views[0], parameter);
}

struct check_place at_entry(const struct check *check, const struct master_entry *entry)
{
    return (struct check_place){.file = check->master_cf,
                                .line = entry->line,
                                .service =
                                    arena_printf(check->arena, "%s/%s", entry->name,
                                                 service_type_name(entry->type))};
}

struct check_place at_file(const char *path)
{
    return (struct check_place){.file = path};
}

/* -- what views say -- */

int check_next_argument(const struct master_entry *entry, size_t *i,
                        struct span *value_out)
{
    const char *arg = *i < entry->argc ? entry->argv[*i] : "";

    *value_out = (struct span){0};
    if (arg[0] != '-' || !arg[1] || strcmp(arg, "--") == 0)
        return 0;
    ++*i;
    /* Flags may be joined: "-vo name=value". */
    for (arg++; *arg && strchr("ucivD", *arg); arg++)
        if (!arg[1])
            return *arg;
    if (!strchr("ontqs", *arg))
        return '?';
    if (arg[1])
        *value_out = span_str(arg + 1);
    else if (*i < entry->argc)
        *value_out = span_str(entry->argv[(*i)++]);
    return *arg;
}

bool check_next_option(const struct master_entry *entry, size_t *i,
                       struct span *setting_out)
{
    int option;

    while ((option = check_next_argument(entry, i, setting_out)) != 0)
        if (option == 'o' && setting_out->ptr)
            return true;
    return false;
}

bool view_sets(const struct check_view *view, const char *parameter)
{
    struct span setting;
    size_t i = 0;

    if (!view->entry)
        return true;
    while (check_next_option(view->entry, &i, &setting))
        if (span_eq_str(span_trim(span_cut(&setting, '=')), parameter))
            return true;
    return false;
}

const char *view_value(const struct check_view *view, const char *parameter)
{
    const char *value = config_value(view->cfg, parameter);

    return value ? value : "";
}

bool entry_runs(const struct master_entry *entry, const char *program)
{
    return strcmp(entry->command, program) == 0;
}

/* As the master daemon reads it. */
bool entry_is_off(const struct check *check, const struct master_entry *entry)
{
    struct span rest = span_str(check->cfg->master_service_disable), word;
    const char *type = service_type_name(entry->type);
    const char *full = arena_printf(check->arena, "%s.%s", entry->name, type);

    while (span_token(&rest, ", \t\r\n", &word)) {
        bool negated = word.len > 1 && word.ptr[0] == '!';

        if (negated)
            word = span_skip(word, 1);
        if (span_ieq_str(word, full) || span_ieq_str(word, type))
            return !negated;
    }
    return false;
}

const struct check_view *entry_view(const struct check *check,
                                    const struct master_entry *entry)
{
    for (size_t i = 1; i < check->view_count; i++)
        if (check->views[i].entry == entry)
            return &check->views[i];
    return &check->views[0];
}

const struct master_entry *find_entry(const struct check *check, const char *name,
                                      enum service_type type)
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++) {
        const struct master_entry *entry = &check->mcf->entries[i];

        if (entry->type == type && strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

/* -- findings -- */

void check_advise(struct check *check, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    check->advice = arena_str(check->arena, text);
}

static void add_member(struct strbuf *sb, const char *name, const char *value)
{
    if (!value)
        return;
    strbuf_addf(sb, ", \"%s\": ", name);
    json_string(sb, span_str(value));
}

static void print_json(const struct check *check, const struct check_place *place,
                       const char *message, const char *action)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_addf(&sb, "{\"severity\": \"%s\"",
                check->rule->severity == CHECK_ERROR ? "error" : "warning");
    add_member(&sb, "code", check->rule->code);
    add_member(&sb, "file", place->file);
    if (place->line > 0)
        strbuf_addf(&sb, ", \"line\": %d", place->line);
    add_member(&sb, "parameter", place->parameter);
    add_member(&sb, "service", place->service);
    add_member(&sb, "message", message);
    add_member(&sb, "why", check->rule->why);
    add_member(&sb, "action", action);
    strbuf_add_str(&sb, "}\n");
    fwrite(sb.ptr, 1, sb.len, stdout);
    strbuf_free(&sb);
}

/* As in a compiler's messages, where there is a place; what concerns a file alone
 * already names it. */
static void log_text(const struct check *check, const struct check_place *place,
                     const char *message, const char *action)
{
    char where[1100] = "";

    if (place->line > 0)
        snprintf(where, sizeof where, "%s:%d: ", place->file, place->line);
    else if (place->parameter || place->service)
        snprintf(where, sizeof where, "%s: ", place->file);
    (check->rule->severity == CHECK_ERROR ? msg_error : msg_warn)(
        "%s%s: %s; %s [%s]", where, message, check->rule->why, action,
        check->rule->code);
}

struct seen {
    struct hash_node node;
};

static bool is_news(struct check *check, const struct check_place *place,
                    const char *message)
{
    struct span key = span_str(
        arena_printf(check->arena, "%s %s %d %s %s", check->rule->code, place->file,
                     place->line, place->parameter ? place->parameter : "", message));
    struct seen *seen;

    if (hash_find(&check->seen, key))
        return false;
    seen = arena_alloc(check->arena, sizeof *seen);
    hash_insert(&check->seen, &seen->node, key);
    return true;
}

void check_found(struct check *check, struct check_place place, const char *fmt, ...)
{
    const char *action = check->advice ? check->advice : check->rule->action;
    char message[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    check->advice = NULL;
    if (!is_news(check, &place, message))
        return;
    check->errors += check->rule->severity == CHECK_ERROR;
    check->refusals += (check->rule->when & CHECK_FATAL) != 0;
    if (check->pf->json) {
        print_json(check, &place, message, action);
        return;
    }
    check->speaking = true;
    log_text(check, &place, message, action);
    check->speaking = false;
}

/* -- running the rules -- */

/* Libraries warn of what rules report better, or of what they turn into findings. */
static bool hear_warning(void *arg, enum msg_level level UNUSED, struct span text)
{
    struct check *check = arg;

    if (!check->speaking && check->on_warning)
        check->on_warning(check, text);
    return check->speaking;
}

static void begin(struct check *check, struct postfix *pf)
{
    pid_t pid = control_master_pid(pf);

    *check = (struct check){.pf = pf, .cfg = pf->cfg, .load = pf->load};
    check->arena = arena_new();
    hash_init(&check->seen, false);
    check->main_cf = arena_printf(check->arena, "%s/main.cf", pf->cfg->dir);
    check->master_cf = arena_printf(check->arena, "%s/master.cf", pf->cfg->dir);
    check->is_running = pid != 0;
    msg_set_filter(hear_warning, check);
    check_load_master(check);
    check_find_owners(check);
}

static void finish(struct check *check)
{
    msg_set_filter(NULL, NULL);
    hash_free(&check->seen);
    check_unload_master(check);
    arena_free(check->arena);
}

static void run_rules(struct check *check, unsigned when)
{
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        for (const struct check_rule *rule = groups[i]; rule->code; rule++) {
            if (when && !(rule->when & when))
                continue;
            check->rule = rule;
            check->advice = NULL;
            rule->fn(check);
            check->on_warning = NULL;
        }
    }
}

int check_command(struct postfix *pf)
{
    struct check check;

    /* Whoever asked should see the answer, also in a script. */
    msg_also_stderr(!pf->json);
    begin(&check, pf);
    check.creates = true;
    run_rules(&check, 0);
    finish(&check);
    fflush(stdout);
    return check.errors ? 1 : 0;
}

static bool run_before(struct postfix *pf, unsigned when, bool creates)
{
    struct check check;
    bool good;

    /* Why something is refused should be seen, also in a script. */
    msg_also_stderr(true);
    begin(&check, pf);
    check.creates = creates;
    run_rules(&check, when);
    finish(&check);
    good = check.refusals == 0 || pf->force;
    if (check.refusals && good)
        msg_warn("going on in spite of that, as asked for with -f");
    if (good)
        msg_also_stderr(isatty(STDERR_FILENO));
    return good;
}

bool check_before_start(struct postfix *pf)
{
    return run_before(pf, CHECK_START | CHECK_FATAL, true);
}

bool check_before_reload(struct postfix *pf)
{
    return run_before(pf, CHECK_FATAL, false);
}
