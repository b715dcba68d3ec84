/* pcre: Perl-compatible regular expressions (pcre2). Patterns that are used more than a
 * few times are compiled to machine code where that is possible. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "table/rule_pattern.h"

/* Enough for sane patterns; a hostile subject runs into these, not into the CPU and
 * the memory. The library's own limit of matching is the same. */
#define MATCH_LIMIT    10000000
#define HEAP_LIMIT_KIB (64 * 1024)
#define JIT_STACK_MIN  (32 * 1024)
#define JIT_STACK_MAX  (1024 * 1024)
#define JIT_AFTER      4 /* runs: less would not repay the compilation */

struct pcre {
    struct pattern_table patterns;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_match_data *data; /* for a plain yes or no */
};

struct pcre_pattern {
    pcre2_code *code;
    unsigned runs;
    bool is_jit;
};

static const struct {
    char letter;
    uint32_t option;
} options[] = {
    {'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE},       {'s', PCRE2_DOTALL},
    {'x', PCRE2_EXTENDED}, {'A', PCRE2_ANCHORED},        {'E', PCRE2_DOLLAR_ENDONLY},
    {'U', PCRE2_UNGREEDY}, {'X', 0 /* always so now */},
};

static bool toggle(const struct rules *rules, char letter, unsigned *flags)
{
    size_t i = 0;

    while (i < ARRAY_LEN(options) && options[i].letter != letter)
        i++;
    if (i == ARRAY_LEN(options))
        return false;
    if (options[i].option == 0)
        rules_warn(rules, "ignoring obsolete regexp option \"%c\"", letter);
    *flags ^= options[i].option;
    return true;
}

static void *compile(const char *text, unsigned flags, bool wants_groups UNUSED,
                     size_t *groups_out, struct err *err)
{
    int number;
    uint32_t groups = 0;
    PCRE2_SIZE offset;
    PCRE2_UCHAR message[128];
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, flags,
                                     &number, &offset, NULL);

    if (!code) {
        pcre2_get_error_message(number, message, sizeof(message));
        err_set(err, "error in regex at offset %zu: %s", (size_t)offset,
                (const char *)message);
        return NULL;
    }
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    *groups_out = groups;
    struct pcre_pattern *pattern = xcalloc(1, sizeof(*pattern));
    pattern->code = code;
    return pattern;
}

static void discard(void *arg)
{
    struct pcre_pattern *pattern = arg;

    pcre2_code_free(pattern->code);
    free(pattern);
}

static bool is_readable(unsigned flags)
{
    return (flags & PCRE2_EXTENDED) == 0;
}

/* The fast entry trusts that the subject is well-formed, so it is not for UTF. */
static void compile_to_machine_code(struct pcre_pattern *pattern)
{
    uint32_t flags = 0;
    size_t size = 0;

    pcre2_pattern_info(pattern->code, PCRE2_INFO_ALLOPTIONS, &flags);
    pattern->is_jit =
        (flags & PCRE2_UTF) == 0 &&
        pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0 &&
        pcre2_pattern_info(pattern->code, PCRE2_INFO_JITSIZE, &size) == 0 && size > 0;
}

static int run(struct pcre *pcre, struct pcre_pattern *pattern, struct span key,
               pcre2_match_data *data)
{
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;

    if (pattern->runs <= JIT_AFTER && pattern->runs++ == JIT_AFTER)
        compile_to_machine_code(pattern);
    if (pattern->is_jit)
        rc = pcre2_jit_match(pattern->code, (PCRE2_SPTR)key.ptr, key.len, 0, 0, data,
                             pcre->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(pattern->code, (PCRE2_SPTR)key.ptr, key.len, 0, PCRE2_NO_JIT,
                         data, pcre->context);
    return rc;
}

static void keep_groups(struct rule_groups *groups, struct span key,
                        pcre2_match_data *data)
{
    size_t count = pcre2_get_ovector_count(data);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);

    rule_groups_reset(groups, count);
    for (size_t i = 0; i < count; i++)
        if (ends[2 * i] != PCRE2_UNSET && ends[2 * i] <= ends[2 * i + 1])
            groups->group[i] =
                span_of(key.ptr + ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
}

static enum pattern_match match(struct table *table, void *arg, struct span key,
                                struct rule_groups *groups, struct err *err)
{
    struct pcre *pcre = (struct pcre *)table;
    struct pcre_pattern *pattern = arg;
    pcre2_match_data *data =
        groups ? pcre2_match_data_create_from_pattern(pattern->code, NULL) : NULL;
    if (groups)
        rule_groups_reset(groups, 0);
    int rc = run(pcre, pattern, key, data ? data : pcre->data);
    enum pattern_match result = rc >= 0 ? PATTERN_YES : PATTERN_NO;

    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
        result = PATTERN_ERROR;
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)err->text, sizeof(err->text));
    } else if (rc >= 0 && data) {
        keep_groups(groups, key, data);
    }
    pcre2_match_data_free(data);
    return result;
}

static const struct pattern_kind kind = {
    .name = "pcre",
    .unclosed = "ignoring",
    .zero_index = "out of range",
    .default_flags = PCRE2_CASELESS | PCRE2_DOTALL,
    .toggle = toggle,
    .compile = compile,
    .discard = discard,
    .syntax = PATTERN_PCRE,
    .is_readable = is_readable,
    .match = match,
};

static bool pcre_open(struct table *table, struct err *err)
{
    struct pcre *pcre = (struct pcre *)table;

    pcre->context = pcre2_match_context_create(NULL);
    pcre->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    pcre->data = pcre2_match_data_create(1, NULL);
    if (!pcre->context || !pcre->data)
        return err_set(err, "pcre map %s: out of memory", table->name);
    pcre2_set_match_limit(pcre->context, MATCH_LIMIT);
    pcre2_set_heap_limit(pcre->context, HEAP_LIMIT_KIB);
    if (pcre->stack)
        pcre2_jit_stack_assign(pcre->context, NULL, pcre->stack);
    return pattern_table_open(&pcre->patterns, &kind, err);
}

static void pcre_close(struct table *table)
{
    struct pcre *pcre = (struct pcre *)table;

    pattern_table_close(&pcre->patterns);
    pcre2_match_data_free(pcre->data);
    pcre2_jit_stack_free(pcre->stack);
    pcre2_match_context_free(pcre->context);
}

extern const struct table_type table_type_pcre;
const struct table_type table_type_pcre = {
    .name = "pcre",
    .size = sizeof(struct pcre),
    .flags = TABLE_PATTERN,
    .open = pcre_open,
    .close = pcre_close,
    .lookup = pattern_table_lookup,
};
