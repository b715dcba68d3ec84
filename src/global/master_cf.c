#include "global/master_cf.h"

#include "table/source.h"
#include "util/file.h"
#include "util/msg.h"

#define MASTER_CF_MAX (16u << 20)
#define BLANKS        " \t\r\n"

static const char *const type_names[] = {
    [SERVICE_INET] = "inet",
    [SERVICE_UNIX] = "unix",
    [SERVICE_UNIX_DGRAM] = "unix-dgram",
    [SERVICE_FIFO] = "fifo",
    [SERVICE_PASS] = "pass",
};

const char *service_type_name(enum service_type type)
{
    return type_names[type];
}

bool service_type_parse(struct span name, enum service_type *type_out)
{
    for (size_t i = 0; i < ARRAY_LEN(type_names); i++) {
        if (span_eq_str(name, type_names[i])) {
            *type_out = (enum service_type)i;
            return true;
        }
    }
    return false;
}

struct parser {
    struct master_cf *mcf;
    const struct config *cfg;
    size_t cap;
    int line;
    struct span text; /* the whole entry, for messages */
    struct err *err;
};

static bool bad_field(struct parser *p, const char *field, struct span value)
{
    return err_set(p->err, "file %s: line %d: invalid %s field \"%.*s\" in \"%.*s\"",
                   p->mcf->path, p->line, field, SPAN_ARG(value), SPAN_ARG(p->text));
}

static bool take_field(struct parser *p, struct span *rest, struct span *field_out)
{
    if (span_token(rest, BLANKS, field_out))
        return true;
    return err_set(p->err, "file %s: line %d: bad field count", p->mcf->path, p->line);
}

static bool take_bool(struct parser *p, struct span *rest, const char *name,
                      bool standard, bool *value_out)
{
    struct span field;

    if (!take_field(p, rest, &field))
        return false;
    *value_out = span_eq_str(field, "-") ? standard : span_eq_str(field, "y");
    return *value_out || span_eq_str(field, "n") || span_eq_str(field, "-") ||
           bad_field(p, name, field);
}

static bool take_wakeup(struct parser *p, struct span *rest, struct master_entry *entry)
{
    struct span field, digits;
    uint32_t seconds = 0;

    if (!take_field(p, rest, &field))
        return false;
    digits = field;
    if (field.len > 1 && field.ptr[field.len - 1] == '?') {
        entry->wakeup_if_used = true;
        digits.len--;
    }
    if (!span_eq_str(field, "-") &&
        (!span_u32(digits, &seconds) || seconds > INT32_MAX))
        return bad_field(p, "wakeup", field);
    entry->wakeup_s = seconds;
    return true;
}

static bool take_limit(struct parser *p, struct span *rest, struct master_entry *entry)
{
    struct span field;
    uint32_t limit;

    if (!take_field(p, rest, &field))
        return false;
    if (span_eq_str(field, "-")) {
        entry->process_limit = p->cfg ? p->cfg->default_process_limit : 100;
        return true;
    }
    if (!span_u32(field, &limit) || limit > INT32_MAX)
        return bad_field(p, "process_limit", field);
    entry->process_limit = limit;
    return true;
}

/* "{ text }" as one argument: what stands between the braces, trimmed. */
static struct span strip_braces(struct parser *p, struct span word)
{
    if (word.len < 2 || word.ptr[word.len - 1] != '}') {
        msg_warn("%s: line %d: missing '}' in \"%.*s\"", p->mcf->path, p->line,
                 SPAN_ARG(word));
        return span_trim(span_skip(word, 1));
    }
    return span_trim(span_of(word.ptr + 1, word.len - 2));
}

/* "name = value" without the blanks around the equals sign. */
static const char *join_setting(struct parser *p, struct span text)
{
    struct span rest = text, name = span_trim(span_cut(&rest, '='));

    if (!rest.ptr || !name.len) {
        msg_warn("%s: line %d: missing %s in \"-o {%.*s}\"", p->mcf->path, p->line,
                 name.len ? "'=' after attribute name" : "attribute name",
                 SPAN_ARG(text));
        return arena_span_str(p->mcf->arena, text);
    }
    rest = span_trim(rest);
    return arena_printf(p->mcf->arena, "%.*s=%.*s", SPAN_ARG(name), SPAN_ARG(rest));
}

static void take_arguments(struct parser *p, struct span rest,
                           struct master_entry *entry)
{
    struct arena *arena = p->mcf->arena;
    struct span count_rest = rest, word;
    const char **argv;
    size_t count = 0, i = 0;
    bool setting = false;

    while (span_token_braces(&count_rest, BLANKS, &word))
        count++;
    argv = arena_alloc(arena, (count + 1) * sizeof *argv);
    while (i < count && span_token_braces(&rest, BLANKS, &word)) {
        bool braced = word.ptr[0] == '{';
        struct span text = braced ? strip_braces(p, word) : word;

        argv[i] =
            braced && setting ? join_setting(p, text) : arena_span_str(arena, text);
        setting = !braced && span_eq_str(word, "-o");
        i++;
    }
    entry->argv = argv;
    entry->argc = count;
}

static void keep_fields(struct parser *p, struct master_entry *entry)
{
    struct span rest = p->text, field;

    for (size_t i = 0; i < MASTER_FIELD_COUNT && span_token(&rest, BLANKS, &field); i++)
        entry->fields[i] = arena_span_str(p->mcf->arena, field);
}

static bool parse_entry(struct parser *p, struct master_entry *entry)
{
    struct span rest = p->text, field;

    *entry = (struct master_entry){.line = p->line};
    keep_fields(p, entry);
    if (!take_field(p, &rest, &field))
        return false;
    entry->name = entry->fields[0];
    if (!take_field(p, &rest, &field))
        return false;
    if (!service_type_parse(field, &entry->type))
        return bad_field(p, "type", field);
    if (!take_bool(p, &rest, "private", true, &entry->is_private) ||
        !take_bool(p, &rest, "unprivileged", true, &entry->unprivileged) ||
        !take_bool(p, &rest, "chroot", false, &entry->chroot) ||
        !take_wakeup(p, &rest, entry) || !take_limit(p, &rest, entry) ||
        !take_field(p, &rest, &field))
        return false;
    if (memchr(field.ptr, '/', field.len))
        return bad_field(p, "command", field);
    if (entry->type == SERVICE_INET && entry->is_private)
        return err_set(p->err,
                       "file %s: line %d: an inet service cannot be private: "
                       "\"%.*s\"",
                       p->mcf->path, p->line, SPAN_ARG(p->text));
    if (entry->type != SERVICE_INET && strchr(entry->name, '/'))
        return bad_field(p, "service", span_str(entry->name));
    entry->command = entry->fields[MASTER_FIELD_COUNT - 1];
    take_arguments(p, rest, entry);
    return true;
}

static void add_entry(struct parser *p, const struct master_entry *entry)
{
    struct master_cf *mcf = p->mcf;
    struct master_entry *grown;

    for (size_t i = 0; i < mcf->count; i++) {
        struct master_entry *old = &mcf->entries[i];

        if (old->type != entry->type || strcmp(old->name, entry->name) != 0)
            continue;
        msg_warn("%s: line %d: duplicate entry for %s %s replaces that of line %d",
                 mcf->path, entry->line, entry->name, service_type_name(entry->type),
                 old->line);
        *old = *entry;
        return;
    }
    if (mcf->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        grown = arena_alloc(mcf->arena, p->cap * sizeof *grown);
        if (mcf->count)
            memcpy(grown, mcf->entries, mcf->count * sizeof *grown);
        mcf->entries = grown;
    }
    mcf->entries[mcf->count++] = *entry;
}

static bool parse_lines(struct parser *p, struct source *lines)
{
    struct master_entry entry;

    while (source_line(lines, &p->text)) {
        p->line = lines->line;
        if (ascii_space(p->text.ptr[0])) {
            msg_warn(
                "%s, line %d: logical line must not start with whitespace: \"%.*s\"",
                p->mcf->path, p->line, SPAN_ARG(p->text));
            continue;
        }
        if (!parse_entry(p, &entry))
            return false;
        add_entry(p, &entry);
    }
    return true;
}

struct master_cf *master_cf_parse(const struct config *cfg, const char *path,
                                  struct span text, struct err *err)
{
    struct arena *arena = arena_new();
    struct parser p = {.cfg = cfg, .err = err};
    struct source lines;
    bool ok;

    p.mcf = arena_alloc(arena, sizeof *p.mcf);
    p.mcf->arena = arena;
    p.mcf->path = arena_str(arena, path);
    source_init(&lines, path, text);
    ok = text.len && memchr(text.ptr, '\0', text.len)
             ? err_set(err, "%s: the file holds a NUL byte", path)
             : parse_lines(&p, &lines);
    source_free(&lines);
    if (ok)
        return p.mcf;
    arena_free(arena);
    return NULL;
}

struct master_cf *master_cf_load(const struct config *cfg, struct err *err)
{
    struct strbuf text = STRBUF_INIT;
    char *path = arena_printf(cfg->arena, "%s/master.cf", cfg->dir);
    struct master_cf *mcf = NULL;

    if (file_read_all(path, MASTER_CF_MAX, &text, err))
        mcf = master_cf_parse(cfg, path, strbuf_span(&text), err);
    strbuf_free(&text);
    return mcf;
}

void master_cf_free(struct master_cf *mcf)
{
    if (mcf)
        arena_free(mcf->arena);
}
