/* regexp: POSIX extended regular expressions. */
#include <regex.h>
#include <stdlib.h>

#include "table/rule_pattern.h"
#include "table/rules.h"

struct regexp {
    struct table table;
    struct rules rules;
};

static bool parse_flags(struct span text, int *flags_out, struct err *err)
{
    *flags_out = REG_EXTENDED | REG_ICASE;
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case 'i':
            *flags_out ^= REG_ICASE;
            break;
        case 'm':
            *flags_out ^= REG_NEWLINE;
            break;
        case 'x':
            *flags_out ^= REG_EXTENDED;
            break;
        default:
            return err_set(err, "unknown regexp option \"%c\"", text.ptr[i]);
        }
    }
    return true;
}

static void *regexp_compile(struct span *rest, struct err *err, bool *unknown_out)
{
    struct span flag_text;
    char *text;
    int flags;

    if (!rule_pattern_cut(rest, &text, &flag_text, err, unknown_out))
        return NULL;
    regex_t *regex = xcalloc(1, sizeof(*regex));
    int rc = 0;
    if (!parse_flags(flag_text, &flags, err) ||
        (rc = regcomp(regex, text, flags)) != 0) {
        if (rc != 0)
            regerror(rc, regex, err->text, sizeof(err->text));
        free(regex);
        regex = NULL;
    }
    free(text);
    return regex;
}

static void regexp_discard(void *pattern)
{
    regfree(pattern);
    free(pattern);
}

static size_t regexp_group_count(const void *pattern)
{
    return ((const regex_t *)pattern)->re_nsub;
}

static enum rule_match regexp_match(struct table *table UNUSED, void *pattern,
                                    struct span key, struct rule_groups *groups,
                                    struct err *err)
{
    regmatch_t match[RULES_MAX_GROUPS];
    size_t wanted = regexp_group_count(pattern) + 1;
    char *text = xstrndup(key.ptr ? key.ptr : "", key.len);

    if (wanted > RULES_MAX_GROUPS)
        wanted = RULES_MAX_GROUPS;
    int rc = regexec(pattern, text, wanted, match, 0);
    free(text);
    if (rc == REG_NOMATCH)
        return RULE_MATCH_NO;
    if (rc != 0) {
        regerror(rc, pattern, err->text, sizeof(err->text));
        return RULE_MATCH_ERROR;
    }
    groups->count = wanted;
    for (size_t i = 0; i < wanted; i++)
        groups->group[i] = match[i].rm_so < 0
                               ? SPAN_EMPTY
                               : span_of(key.ptr + match[i].rm_so,
                                         (size_t)(match[i].rm_eo - match[i].rm_so));
    return RULE_MATCH_YES;
}

static const struct rule_syntax syntax = {
    .kind = "regexp",
    .substitutes = true,
    .compile = regexp_compile,
    .discard = regexp_discard,
    .group_count = regexp_group_count,
    .match = regexp_match,
};

static bool regexp_open(struct table *table, struct err *err)
{
    return rules_open(&((struct regexp *)table)->rules, &syntax, table, err);
}

static void regexp_close(struct table *table)
{
    rules_close(&((struct regexp *)table)->rules);
}

static enum table_status regexp_lookup(struct table *table, struct span key,
                                       struct strbuf *value, struct err *err UNUSED)
{
    return rules_lookup(&((struct regexp *)table)->rules, table, key, value);
}

extern const struct table_type table_type_regexp;
const struct table_type table_type_regexp = {
    .name = "regexp",
    .size = sizeof(struct regexp),
    .flags = TABLE_PATTERN,
    .open = regexp_open,
    .close = regexp_close,
    .lookup = regexp_lookup,
};
