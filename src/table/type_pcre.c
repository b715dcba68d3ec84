/* pcre: Perl-compatible regular expressions (pcre2, compiled to machine code where
 * that is possible). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "table/rule_pattern.h"
#include "table/rules.h"

/* Enough for sane patterns; a hostile subject runs into these, not into the CPU. */
#define MATCH_LIMIT   1000000
#define JIT_STACK_MIN (32 * 1024)
#define JIT_STACK_MAX (512 * 1024)

struct pcre {
    struct table table;
    struct rules rules;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_match_data *data;
};

static const struct {
    char letter;
    uint32_t option;
} options[] = {
    {'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE},
    {'s', PCRE2_DOTALL},   {'x', PCRE2_EXTENDED},
    {'A', PCRE2_ANCHORED}, {'E', PCRE2_DOLLAR_ENDONLY},
    {'U', PCRE2_UNGREEDY}, {'X', 0}, /* always so in pcre2 */
};

static bool parse_flags(struct span text, uint32_t *flags_out, struct err *err)
{
    *flags_out = PCRE2_CASELESS | PCRE2_DOTALL;
    for (size_t i = 0; i < text.len; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(options) && options[k].letter != text.ptr[i])
            k++;
        if (k == ARRAY_LEN(options))
            return err_set(err, "unknown PCRE option \"%c\"", text.ptr[i]);
        *flags_out ^= options[k].option;
    }
    return true;
}

static void *compile_text(const char *text, uint32_t flags, struct err *err)
{
    int code;
    PCRE2_SIZE offset;
    PCRE2_UCHAR message[128];
    pcre2_code *pattern = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, flags,
                                        &code, &offset, NULL);

    if (!pattern) {
        pcre2_get_error_message(code, message, sizeof(message));
        err_set(err, "error in regex at offset %zu: %s", (size_t)offset,
                (const char *)message);
        return NULL;
    }
    pcre2_jit_compile(pattern, PCRE2_JIT_COMPLETE); /* works without, too */
    return pattern;
}

static void *pcre_compile(struct span *rest, struct err *err, bool *unknown_out)
{
    struct span flag_text;
    char *text;
    uint32_t flags;
    void *pattern = NULL;

    if (!rule_pattern_cut(rest, &text, &flag_text, err, unknown_out))
        return NULL;
    if (parse_flags(flag_text, &flags, err))
        pattern = compile_text(text, flags, err);
    free(text);
    return pattern;
}

static void pcre_discard(void *pattern)
{
    pcre2_code_free(pattern);
}

static size_t pcre_group_count(const void *pattern)
{
    uint32_t count = 0;

    pcre2_pattern_info(pattern, PCRE2_INFO_CAPTURECOUNT, &count);
    return count;
}

static enum rule_match pcre_match(struct table *table, void *pattern, struct span key,
                                  struct rule_groups *groups, struct err *err)
{
    struct pcre *pcre = (struct pcre *)table;
    int rc = pcre2_match(pattern, (PCRE2_SPTR)(key.ptr ? key.ptr : ""), key.len, 0, 0,
                         pcre->data, pcre->context);

    if (rc == PCRE2_ERROR_NOMATCH)
        return RULE_MATCH_NO;
    if (rc < 0) {
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)err->text, sizeof(err->text));
        return RULE_MATCH_ERROR;
    }
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(pcre->data);
    /* 0: more groups than fit; those that fit are there. */
    groups->count = rc == 0 ? RULES_MAX_GROUPS : (size_t)rc;
    for (size_t i = 0; i < groups->count; i++)
        groups->group[i] =
            ends[2 * i] == PCRE2_UNSET || ends[2 * i + 1] < ends[2 * i]
                ? SPAN_EMPTY
                : span_of(key.ptr + ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
    return RULE_MATCH_YES;
}

static const struct rule_syntax syntax = {
    .kind = "pcre",
    .substitutes = true,
    .compile = pcre_compile,
    .discard = pcre_discard,
    .group_count = pcre_group_count,
    .match = pcre_match,
};

static bool pcre_open(struct table *table, struct err *err)
{
    struct pcre *pcre = (struct pcre *)table;

    pcre->context = pcre2_match_context_create(NULL);
    pcre->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    pcre->data = pcre2_match_data_create(RULES_MAX_GROUPS, NULL);
    if (!pcre->context || !pcre->data)
        return err_set(err, "pcre map %s: out of memory", table->name);
    pcre2_set_match_limit(pcre->context, MATCH_LIMIT);
    if (pcre->stack)
        pcre2_jit_stack_assign(pcre->context, NULL, pcre->stack);
    return rules_open(&pcre->rules, &syntax, table, err);
}

static void pcre_close(struct table *table)
{
    struct pcre *pcre = (struct pcre *)table;

    rules_close(&pcre->rules);
    pcre2_match_data_free(pcre->data);
    pcre2_jit_stack_free(pcre->stack);
    pcre2_match_context_free(pcre->context);
}

static enum table_status pcre_lookup(struct table *table, struct span key,
                                     struct strbuf *value, struct err *err UNUSED)
{
    return rules_lookup(&((struct pcre *)table)->rules, table, key, value);
}

extern const struct table_type table_type_pcre;
const struct table_type table_type_pcre = {
    .name = "pcre",
    .size = sizeof(struct pcre),
    .flags = TABLE_PATTERN,
    .open = pcre_open,
    .close = pcre_close,
    .lookup = pcre_lookup,
};
