/* main.cf as text: logical lines, names and values. */
#include "global/config_internal.h"
#include "table/source.h"
#include "util/msg.h"

bool config_split_line(struct span line, struct span *name_out, struct span *value_out,
                       const char **why_out)
{
    size_t len = 0;
    struct span value;

    while (len < line.len && line.ptr[len] != '=' && !ascii_space(line.ptr[len]))
        len++;
    *why_out = "missing attribute name";
    if (!len)
        return false;
    *why_out = "missing '=' after attribute name";
    value = span_ltrim(span_skip(line, len));
    if (!value.len || value.ptr[0] != '=')
        return false;
    *name_out = span_first(line, len);
    *value_out = span_trim(span_skip(value, 1));
    return true;
}

static bool parse_line(struct config *cfg, const char *file, struct span line,
                       int number, struct err *err)
{
    struct span name, value;
    const char *why;

    if (!config_split_line(line, &name, &value, &why))
        return err_set(err, "%s, line %d: %s: \"%.*s\"", file, number, why,
                       SPAN_ARG(line));
    config_set(cfg, name, value, number);
    return true;
}

bool config_parse(struct config *cfg, const char *file, struct span text,
                  struct err *err)
{
    struct source lines;
    struct span line;
    bool ok = true;

    if (memchr(text.len ? text.ptr : "", '\0', text.len))
        return err_set(err, "%s: the file holds a NUL byte", file);
    source_init(&lines, file, text);
    while (ok && source_line(&lines, &line)) {
        if (ascii_space(line.ptr[0]))
            msg_warn(
                "%s, line %d: logical line must not start with whitespace: \"%.*s\"",
                file, lines.line, SPAN_ARG(line));
        else
            ok = parse_line(cfg, file, line, lines.line, err);
    }
    source_free(&lines);
    return ok;
}
