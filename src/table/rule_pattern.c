#include "table/rule_pattern.h"

static bool pattern_end(struct span text, char delimiter, size_t *end_out)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '\\' && i + 1 < text.len) {
            i++;
        } else if (text.ptr[i] == delimiter) {
            *end_out = i;
            return true;
        }
    }
    return false;
}

/* "\/" stands for the delimiter; other escapes are the pattern's own. */
static char *copy_pattern(struct span raw, char delimiter)
{
    char *text = xmalloc(raw.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\' && i + 1 < raw.len) {
            if (raw.ptr[i + 1] != delimiter)
                text[len++] = raw.ptr[i];
            i++;
        }
        text[len++] = raw.ptr[i];
    }
    text[len] = '\0';
    return text;
}

bool rule_pattern_cut(struct span *rest, char **pattern_out, struct span *flags_out,
                      struct err *err, bool *unknown_out)
{
    size_t end, flags_end;

    *unknown_out = rest->len == 0 || ascii_alnum(rest->ptr[0]) ||
                   ascii_space(rest->ptr[0]) || rest->ptr[0] == '\\';
    if (*unknown_out)
        return false;
    char delimiter = rest->ptr[0];
    if (!pattern_end(*rest, delimiter, &end))
        return err_set(err, "no closing regexp delimiter \"%c\"", delimiter);
    for (flags_end = end + 1; flags_end < rest->len; flags_end++)
        if (ascii_space(rest->ptr[flags_end]))
            break;
    *flags_out = span_of(rest->ptr + end + 1, flags_end - end - 1);
    *pattern_out = copy_pattern(span_of(rest->ptr + 1, end - 1), delimiter);
    *rest = span_skip(*rest, flags_end);
    return true;
}
