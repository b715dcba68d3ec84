/* Edits of master.cf: lines of entries that are not meant stay as they are. An entry
 * that changes is written anew, comments between its lines before it. */
#include <stdlib.h>

#include "postconf/postconf.h"
#include "util/msg.h"

struct edit {
    const char *arg; /* for messages */
    struct span service, type, item;
    struct span value; /* of -e */
    bool done;
};

struct editor {
    struct strbuf *out;
    const char *path;
    char subject, mode;
    struct edit *edits;
    size_t count;
    struct err *err;
};

/* The lines of one entry, and which of them are comments. */
struct entry_lines {
    struct span text; /* from the first line to the last that is no comment */
    struct strbuf logical;
};

static bool is_comment(struct span line)
{
    struct span text = span_ltrim(line);

    return !text.len || text.ptr[0] == '#';
}

static void put_line(struct strbuf *out, const char *prefix, struct span line)
{
    strbuf_add_str(out, prefix);
    strbuf_add_span(out, line);
    strbuf_add_char(out, '\n');
}

static bool check_item(const struct editor *ed, const struct edit *edit)
{
    bool wild = edit->item.ptr && span_eq_str(edit->item, "*");

    if (ed->subject == 'M')
        return (edit->service.len && edit->type.len && !edit->item.ptr) ||
               err_set(ed->err, "-Me, -MX or -M# requires service_name/type");
    if (!edit->service.len || !edit->type.len || !edit->item.len)
        return err_set(ed->err, "-%ce or -%cX requires service_name/type/%s",
                       ed->subject, ed->subject,
                       ed->subject == 'F' ? "field_name" : "parameter");
    if (wild)
        return err_set(ed->err, "-%ce does not accept wild-card %s name", ed->subject,
                       ed->subject == 'F' ? "field" : "parameter");
    if (ed->subject == 'F' && master_field(edit->item) < 0)
        return err_set(ed->err, "invalid service attribute name: \"%.*s\"",
                       SPAN_ARG(edit->item));
    return true;
}

static bool has_blank(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (ascii_space(text.ptr[i]))
            return true;
    return false;
}

static bool check_value(const struct editor *ed, const struct edit *edit)
{
    if (ed->mode != 'e' || ed->subject == 'M')
        return true;
    if (ed->subject == 'P')
        return !has_blank(edit->value) ||
               err_set(ed->err, "-Pe does not accept whitespace in parameter value");
    if (!edit->value.len)
        return err_set(ed->err, "-Fe does not accept an empty value: \"%s\"",
                       edit->arg);
    return span_eq_str(edit->item, "command") || !has_blank(edit->value) ||
           err_set(ed->err, "-Fe does not accept whitespace in non-command field");
}

static bool parse_edit(const struct editor *ed, struct edit *edit, const char *arg)
{
    struct span text = span_trim(span_str(arg)), rest = text, name;
    size_t len = 0;

    *edit = (struct edit){.arg = arg};
    if (strpbrk(arg, "\r\n"))
        return err_set(ed->err, "-Me, -Fe, -Pe, -X, or -# accept no multi-line input");
    while (len < text.len && text.ptr[len] != '=' && !ascii_space(text.ptr[len]))
        len++;
    name = span_first(text, ed->mode == 'e' ? len : text.len);
    rest = span_ltrim(span_skip(text, name.len));
    if (ed->mode == 'e' && (!rest.len || rest.ptr[0] != '='))
        return err_set(ed->err, "missing '=' after attribute name: \"%s\"", arg);
    edit->value = span_trim(span_skip(rest, 1));
    edit->service = span_cut(&name, '/');
    edit->type = span_cut(&name, '/');
    edit->item = name;
    return check_item(ed, edit) && check_value(ed, edit);
}

static bool part_matches(struct span pattern, struct span text)
{
    return span_eq_str(pattern, "*") || span_eq(pattern, text);
}

/* text is one entry: the same in the form in which postconf prints it, after "-F" or
 * "-P" edits. False: it is none. */
static bool format_entry(struct editor *ed, struct strbuf *out, struct span text,
                         const char *arg)
{
    struct master_cf *mcf = master_cf_parse(NULL, ed->path, text, ed->err);

    if (!mcf)
        return arg ? err_prefix(ed->err, "\"%s\"", arg) : false;
    if (mcf->count != 1) {
        master_cf_free(mcf);
        return err_set(ed->err, "\"%s\": no service", arg ? arg : "");
    }
    strbuf_reset(out);
    master_format_entry(out, &mcf->entries[0], true);
    strbuf_add_char(out, '\n');
    master_cf_free(mcf);
    return true;
}

static void change_field(struct strbuf *out, const struct master_entry *entry,
                         const struct edit *edit)
{
    int field = master_field(edit->item);

    for (int i = 0; i < MASTER_FIELD_COUNT; i++) {
        strbuf_add_str(out, i ? " " : "");
        if (i == field)
            strbuf_add_span(out, edit->value);
        else
            strbuf_add_str(out, entry->fields[i]);
    }
    if (field != MASTER_FIELD_COUNT - 1)
        master_put_arguments(out, entry->argv, entry->argc, false);
}

static bool is_option(const struct master_entry *entry, size_t i)
{
    return strcmp(entry->argv[i], "-o") == 0 && i + 1 < entry->argc;
}

static bool sets(const struct master_entry *entry, size_t i, struct span name)
{
    struct span found, value;

    return is_option(entry, i) &&
           config_usage_split(span_str(entry->argv[i + 1]), &found, &value) &&
           span_eq(found, name);
}

/* A new setting goes behind the others, before what the program itself takes. */
static void change_setting(struct strbuf *out, const struct master_entry *entry,
                           const struct edit *edit, bool remove)
{
    const char **argv = xcalloc(entry->argc + 3, sizeof *argv);
    char *setting = NULL;
    size_t count = 0, last = 0;
    bool found = false;
    struct strbuf text = STRBUF_INIT;

    strbuf_addf(&text, "%.*s=%.*s", SPAN_ARG(edit->item), SPAN_ARG(edit->value));
    setting = strbuf_detach(&text);
    for (size_t i = 0; i < entry->argc; i++) {
        bool option = is_option(entry, i), meant = sets(entry, i, edit->item);

        if (!(meant && (remove || found))) {
            argv[count++] = entry->argv[i];
            if (option)
                argv[count++] = meant ? setting : entry->argv[i + 1];
        }
        found = found || meant;
        last = option ? count : last;
        i += option;
    }
    if (!found && !remove) {
        memmove(argv + last + 2, argv + last, (count - last) * sizeof *argv);
        argv[last] = "-o";
        argv[last + 1] = setting;
        count += 2;
    }
    for (int i = 0; i < MASTER_FIELD_COUNT; i++)
        strbuf_addf(out, "%s%s", i ? " " : "", entry->fields[i]);
    master_put_arguments(out, argv, count, false);
    free(argv);
    free(setting);
}

/* One -F or -P edit of the entry in *text. */
static bool change_entry(struct editor *ed, struct strbuf *text,
                         const struct edit *edit)
{
    struct master_cf *mcf = master_cf_parse(NULL, ed->path, strbuf_span(text), ed->err);
    struct strbuf changed = STRBUF_INIT;
    bool ok;

    if (!mcf)
        return false;
    if (ed->subject == 'F')
        change_field(&changed, &mcf->entries[0], edit);
    else
        change_setting(&changed, &mcf->entries[0], edit, ed->mode == 'X');
    master_cf_free(mcf);
    ok = format_entry(ed, text, strbuf_span(&changed), edit->arg);
    strbuf_free(&changed);
    return ok;
}

static struct span rest_of_comments(struct editor *ed, struct span lines)
{
    while (lines.len) {
        struct span line = span_cut(&lines, '\n');

        if (is_comment(line))
            put_line(ed->out, "", line);
    }
    return lines;
}

static void comment_out(struct editor *ed, struct span lines)
{
    while (lines.len) {
        struct span line = span_cut(&lines, '\n');

        put_line(ed->out, is_comment(line) ? "" : "#", line);
    }
}

static bool edit_entry(struct editor *ed, const struct entry_lines *lines)
{
    struct span rest = strbuf_span(&lines->logical), service = {0}, type = {0};
    struct strbuf text = STRBUF_INIT;
    const struct edit *last = NULL;
    bool ok = true;

    span_token(&rest, " \t\r\n", &service);
    span_token(&rest, " \t\r\n", &type);
    strbuf_add_span(&text, strbuf_span(&lines->logical));
    for (size_t i = 0; ok && i < ed->count; i++) {
        struct edit *edit = &ed->edits[i];

        if (!part_matches(edit->service, service) || !part_matches(edit->type, type))
            continue;
        edit->done = true;
        last = edit;
        if (ed->subject != 'M')
            ok = change_entry(ed, &text, edit);
        else if (ed->mode == 'e')
            ok = format_entry(ed, &text, edit->value, edit->arg);
    }
    if (ok && !last) {
        strbuf_add_span(ed->out, lines->text);
    } else if (ok && ed->mode == '#') {
        comment_out(ed, lines->text);
    } else if (ok) {
        rest_of_comments(ed, lines->text);
        if (ed->subject != 'M' || ed->mode == 'e')
            strbuf_add_span(ed->out, strbuf_span(&text));
    }
    strbuf_free(&text);
    return ok;
}

/* Takes an entry off *rest, with its continuation lines and what is between them. */
static bool edit_lines(struct editor *ed, struct span *rest)
{
    struct entry_lines entry = {.text = {rest->ptr, 0}, .logical = STRBUF_INIT};
    struct span ahead = *rest;
    bool ok;

    while (ahead.len) {
        struct span line = span_cut(&ahead, '\n');

        if (entry.text.len && !is_comment(line) && !ascii_space(line.ptr[0]))
            break;
        if (is_comment(line))
            continue;
        put_line(&entry.logical, "", line);
        entry.text.len = (size_t)(line.ptr + line.len - rest->ptr);
        entry.text.len += entry.text.len < rest->len;
    }
    *rest = span_skip(*rest, entry.text.len);
    ok = edit_entry(ed, &entry);
    strbuf_free(&entry.logical);
    return ok;
}

static bool edit_all(struct editor *ed, struct span rest)
{
    while (rest.len) {
        struct span ahead = rest, line = span_cut(&ahead, '\n');

        if (!is_comment(line) && !ascii_space(line.ptr[0])) {
            if (!edit_lines(ed, &rest))
                return false;
            continue;
        }
        strbuf_add_span(ed->out, line);
        if (ahead.ptr)
            strbuf_add_char(ed->out, '\n');
        rest = ahead;
    }
    return true;
}

static bool add_new(struct editor *ed)
{
    for (size_t i = 0; i < ed->count; i++) {
        const struct edit *edit = &ed->edits[i];
        struct strbuf text = STRBUF_INIT;

        if (edit->done)
            continue;
        if (ed->subject != 'M') {
            msg_warn("unmatched service_name/type: \"%s\"", edit->arg);
            continue;
        }
        if (ed->mode != 'e')
            continue;
        if (!format_entry(ed, &text, edit->value, edit->arg)) {
            strbuf_free(&text);
            return false;
        }
        if (ed->out->len && ed->out->ptr[ed->out->len - 1] != '\n')
            strbuf_add_char(ed->out, '\n');
        strbuf_add_span(ed->out, strbuf_span(&text));
        strbuf_free(&text);
    }
    return true;
}

bool master_edit_text(struct strbuf *out, struct span text, const char *path,
                      char subject, char mode, char **args, struct err *err)
{
    struct editor ed = {
        .out = out, .path = path, .subject = subject, .mode = mode, .err = err};
    struct strbuf whole = STRBUF_INIT;
    bool ok = !text.len || !memchr(text.ptr, '\0', text.len) ||
              err_set(err, "%s: the file holds a NUL byte", path);

    while (args[ed.count])
        ed.count++;
    ed.edits = xcalloc(ed.count + 1, sizeof *ed.edits);
    for (size_t i = 0; ok && i < ed.count; i++) {
        ok = parse_edit(&ed, &ed.edits[i], args[i]);
        if (ok && subject == 'M' && mode == 'e')
            ok = format_entry(&ed, &whole, ed.edits[i].value, args[i]);
    }
    ok = ok && edit_all(&ed, text) && add_new(&ed);
    strbuf_free(&whole);
    free(ed.edits);
    return ok;
}

bool edit_master_cf(const struct postconf *pc, char **args, struct err *err)
{
    const struct options *options = &pc->options;
    struct config_source source = {.dir = options->dir};
    struct config *cfg = config_new(&source);
    const char *path = arena_printf(cfg->arena, "%s/master.cf", cfg->dir);
    struct strbuf new = STRBUF_INIT;
    struct edit_file file;
    bool ok = edit_file_open(&file, path, err) &&
              master_edit_text(&new, strbuf_span(&file.text), path, options->subject,
                               options->mode, args, err) &&
              edit_file_replace(&file, strbuf_span(&new), err);

    edit_file_close(&file);
    strbuf_free(&new);
    config_free(cfg);
    return ok;
}
