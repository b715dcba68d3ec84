/* Edits of main.cf: the lines that are not meant stay as they are. */
#include <stdlib.h>

#include "postconf/postconf.h"
#include "util/msg.h"

struct edit {
    struct span name;
    struct span value; /* of -e */
    bool done;
};

struct editor {
    struct strbuf *out;
    const char *path;
    char mode; /* 'e', 'X' or '#' */
    struct edit *edits;
    size_t count;
    struct edit *active; /* whose old lines are being read */
};

static bool parse_edit(struct edit *edit, const char *arg, char mode, struct err *err)
{
    struct span text = span_trim(span_str(arg)), rest = text;
    size_t len = 0;

    if (strpbrk(arg, "\r\n"))
        return err_set(err, "-e, -X, or -# accepts no multi-line input");
    if (text.len && text.ptr[0] == '#')
        return err_set(err, "-e, -X, or -# accepts no comment input");
    while (len < rest.len && rest.ptr[len] != '=' && !ascii_space(rest.ptr[len]))
        len++;
    edit->name = span_first(text, len);
    rest = span_ltrim(span_skip(rest, len));
    if (mode != 'e') {
        if (!len || rest.len)
            return err_set(
                err, "-X or -# requires parameter names without value: \"%s\"", arg);
        return true;
    }
    if (!len)
        return err_set(err, "missing attribute name: \"%s\"", arg);
    if (!rest.len || rest.ptr[0] != '=')
        return err_set(err, "missing '=' after attribute name: \"%s\"", arg);
    edit->value = span_trim(span_skip(rest, 1));
    return true;
}

/* Of edits of one name the last counts. */
static struct edit *find_edit(struct editor *ed, struct span name)
{
    for (size_t i = ed->count; i > 0; i--)
        if (span_eq(ed->edits[i - 1].name, name))
            return &ed->edits[i - 1];
    return NULL;
}

static void put_setting(struct editor *ed, const struct edit *edit)
{
    strbuf_addf(ed->out, "%.*s = %.*s\n", SPAN_ARG(edit->name), SPAN_ARG(edit->value));
}

static void put_line(struct editor *ed, struct span line)
{
    strbuf_add_span(ed->out, line);
    strbuf_add_char(ed->out, '\n');
}

/* The first line of a setting that may be meant. */
static void begin_setting(struct editor *ed, struct span line)
{
    size_t len = 0;

    while (len < line.len && line.ptr[len] != '=' && !ascii_space(line.ptr[len]))
        len++;
    ed->active = find_edit(ed, span_first(line, len));
    if (!ed->active)
        return;
    if (ed->active->done)
        msg_warn("%s: multiple entries for \"%.*s\"", ed->path, (int)len, line.ptr);
    ed->active->done = true;
    if (ed->mode == 'e')
        put_setting(ed, ed->active);
}

static void edit_line(struct editor *ed, struct span line)
{
    struct span text = span_ltrim(line);

    if (!text.len || text.ptr[0] == '#') {
        put_line(ed, line);
        return;
    }
    if (!ascii_space(line.ptr[0]))
        begin_setting(ed, line);
    if (ed->active && ed->mode == '#')
        strbuf_add_char(ed->out, '#');
    if (!ed->active || ed->mode == '#')
        put_line(ed, line);
}

bool edit_text(struct strbuf *out, struct span text, const char *path, char mode,
               char **args, struct err *err)
{
    struct editor ed = {.out = out, .path = path, .mode = mode};
    size_t count = 0;
    bool ok = true;

    while (args[count])
        count++;
    ed.edits = xcalloc(count, sizeof *ed.edits);
    for (; ok && ed.count < count; ed.count++) {
        struct edit *edit = &ed.edits[ed.count], *earlier;

        ok = parse_edit(edit, args[ed.count], mode, err);
        earlier = find_edit(&ed, edit->name);
        if (ok && mode == 'e' && earlier)
            msg_warn("ignoring earlier request: '%.*s = %.*s'", SPAN_ARG(earlier->name),
                     SPAN_ARG(earlier->value));
    }
    while (ok && text.len)
        edit_line(&ed, span_cut(&text, '\n'));
    for (size_t i = 0; ok && mode == 'e' && i < count; i++) {
        struct edit *edit = find_edit(&ed, ed.edits[i].name);

        if (!edit->done)
            put_setting(&ed, edit);
        edit->done = true;
    }
    free(ed.edits);
    return ok;
}

bool edit_main_cf(const struct postconf *pc, char **args, struct err *err)
{
    struct config_source source = {.dir = pc->options.dir};
    struct config *cfg = config_new(&source);
    struct strbuf new = STRBUF_INIT;
    struct edit_file file;
    bool ok = edit_file_open(&file, cfg->store->path, err) &&
              edit_text(&new, strbuf_span(&file.text), cfg->store->path,
                        pc->options.mode, args, err) &&
              edit_file_replace(&file, strbuf_span(&new), err);

    edit_file_close(&file);
    strbuf_free(&new);
    config_free(cfg);
    return ok;
}
