/* regexp: POSIX regular expressions. */
#include <regex.h>
#include <stdlib.h>

#include "table/rule_pattern.h"

static bool toggle(const struct rules *rules UNUSED, char letter, unsigned *flags)
{
    switch (letter) {
    case 'i':
        *flags ^= REG_ICASE;
        return true;
    case 'm':
        *flags ^= REG_NEWLINE;
        return true;
    case 'x':
        *flags ^= REG_EXTENDED;
        return true;
    default:
        return false;
    }
}

/* REG_NOSUB is faster, and the C library takes some odd patterns differently with it.
 */
static void *compile(const char *text, unsigned flags, bool wants_groups,
                     size_t *groups_out, struct err *err)
{
    regex_t *regex = xcalloc(1, sizeof(*regex));
    int rc = regcomp(regex, text, (int)flags | (wants_groups ? 0 : REG_NOSUB));

    if (rc == 0) {
        *groups_out = regex->re_nsub;
        return regex;
    }
    regerror(rc, regex, err->text, sizeof(err->text));
    free(regex);
    return NULL;
}

static void discard(void *pattern)
{
    regfree(pattern);
    free(pattern);
}

static bool is_readable(unsigned flags)
{
    return (flags & REG_EXTENDED) != 0;
}

static void keep_groups(struct rule_groups *groups, struct span key,
                        const regmatch_t *match, size_t count)
{
    rule_groups_reset(groups, count);
    for (size_t i = 0; i < count; i++)
        if (match[i].rm_so >= 0)
            groups->group[i] = span_of(key.ptr + match[i].rm_so,
                                       (size_t)(match[i].rm_eo - match[i].rm_so));
}

static enum pattern_match match(struct table *table UNUSED, void *pattern,
                                struct span key, struct rule_groups *groups,
                                struct err *err)
{
    const regex_t *regex = pattern;
    size_t count = groups ? regex->re_nsub + 1 : 0;
    regmatch_t *found = groups ? xcalloc(count, sizeof(*found)) : NULL;
    enum pattern_match result = PATTERN_NO;
    int rc = regexec(regex, key.ptr, count, found, 0);

    if (rc == 0) {
        result = PATTERN_YES;
        if (groups)
            keep_groups(groups, key, found, count);
    } else if (rc != REG_NOMATCH) {
        result = PATTERN_ERROR;
        regerror(rc, regex, err->text, sizeof(err->text));
    }
    free(found);
    return result;
}

static const struct pattern_kind kind = {
    .name = "regexp",
    .unclosed = "skipping",
    .zero_index = "out-of-range",
    .has_second = true,
    .default_flags = REG_EXTENDED | REG_ICASE,
    .toggle = toggle,
    .compile = compile,
    .discard = discard,
    .syntax = PATTERN_POSIX,
    .is_readable = is_readable,
    .match = match,
};

static bool regexp_open(struct table *table, struct err *err)
{
    return pattern_table_open((struct pattern_table *)table, &kind, err);
}

static void regexp_close(struct table *table)
{
    pattern_table_close((struct pattern_table *)table);
}

extern const struct table_type table_type_regexp;
const struct table_type table_type_regexp = {
    .name = "regexp",
    .size = sizeof(struct pattern_table),
    .flags = TABLE_PATTERN,
    .open = regexp_open,
    .close = regexp_close,
    .lookup = pattern_table_lookup,
};
