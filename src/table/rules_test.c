/* Tables of random rules answer as one does who tries rule after rule. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <pcre2.h>
#include <regex.h>
#include <unistd.h>

#include "table/table.h"
#include "util/net.h"

#define RULES_MAX 60

static struct arena *arena;
static char path[] = "/tmp/rules_test.XXXXXX";
static uint64_t state = 7;

static unsigned pick(unsigned below)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

/* What a kind of table adds: how patterns look, and whether one matches a key. */
struct kind {
    const char *name;
    char *(*pattern)(void); /* with delimiters and flags, where the kind has them */
    bool (*compile)(const char *pattern, void **compiled_out);
    bool (*match)(const void *compiled, const char *key, bool *applies_out);
    void (*discard)(void *compiled);
    const char *(*key)(void);
};

struct random_rule {
    enum { RESULT, IF, ENDIF } what;
    bool negated;
    char *pattern;
    void *compiled;
};

struct random_table {
    const struct kind *kind;
    struct random_rule list[RULES_MAX];
    size_t count;
};

static void make_rules(struct random_table *rt)
{
    size_t depth = 0, wanted = pick(RULES_MAX - 12);

    rt->count = 0;
    while (rt->count < wanted || depth > 0) {
        struct random_rule *rule = &rt->list[rt->count];
        unsigned die = pick(10);
        rule->what = depth > 0 && (die < 2 || rt->count >= wanted) ? ENDIF
                     : die == 9 && depth < 5                       ? IF
                                                                   : RESULT;
        rule->negated = pick(8) == 0;
        rule->pattern = NULL;
        depth += rule->what == IF;
        depth -= rule->what == ENDIF;
        while (rule->what != ENDIF && !rule->pattern) {
            char *pattern = rt->kind->pattern();
            if (rt->kind->compile(pattern, &rule->compiled))
                rule->pattern = pattern;
            else
                free(pattern);
        }
        rt->count++;
    }
}

static const char *write_rules(const struct random_table *rt)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    for (size_t i = 0; i < rt->count; i++) {
        const struct random_rule *rule = &rt->list[i];
        if (rule->what == ENDIF)
            fputs("endif\n", f);
        else if (rule->what == IF)
            fprintf(f, "if %s%s\n", rule->negated ? "!" : "", rule->pattern);
        else
            fprintf(f, "%s%s r%zu\n", rule->negated ? "!" : "", rule->pattern, i);
    }
    fclose(f);
    return arena_printf(arena, "%s:%s", rt->kind->name, path);
}

static bool rule_holds(const struct random_table *rt, size_t number, const char *key)
{
    const struct random_rule *rule = &rt->list[number];
    bool applies = true;
    bool match = rt->kind->match(rule->compiled, key, &applies);

    return applies && match != rule->negated;
}

/* One rule after another. SIZE_MAX: none. */
static size_t find_rule(const struct random_table *rt, const char *key)
{
    size_t skipping = 0; /* depth of IFs since one was false */

    for (size_t i = 0; i < rt->count; i++) {
        const struct random_rule *rule = &rt->list[i];
        if (rule->what == ENDIF)
            skipping -= skipping > 0;
        else if (rule->what == IF && (skipping > 0 || !rule_holds(rt, i, key)))
            skipping++;
        else if (rule->what == RESULT && skipping == 0 && rule_holds(rt, i, key))
            return i;
    }
    return SIZE_MAX;
}

static void check_key(const struct random_table *rt, struct table *table,
                      const char *key)
{
    struct err err;
    const char *value;
    size_t expected = find_rule(rt, key);
    const char *text =
        expected == SIZE_MAX ? NULL : arena_printf(arena, "r%zu", expected);
    enum table_status status = table_lookup(table, span_str(key), arena, &value, &err);

    if (status == (text ? TABLE_FOUND : TABLE_NOT_FOUND) &&
        (!text || strcmp(text, value) == 0))
        return;
    for (size_t i = 0; i < rt->count; i++)
        fprintf(stderr, "%zu: %d %s%s\n", i, rt->list[i].what,
                rt->list[i].negated ? "!" : "",
                rt->list[i].pattern ? rt->list[i].pattern : "");
    fail_msg("%s: \"%s\": %s instead of %s", rt->kind->name, key,
             value ? value : "nothing", text ? text : "nothing");
}

static void compare(const struct kind *kind, int tables, int keys)
{
    struct random_table rt = {.kind = kind};
    struct err err;
    size_t found = 0;

    for (int i = 0; i < tables; i++) {
        make_rules(&rt);
        struct table *table = table_open(NULL, write_rules(&rt), TABLE_READ, 0, &err);
        assert_non_null(table);
        for (int k = 0; k < keys; k++) {
            const char *key = kind->key();
            found += find_rule(&rt, key) != SIZE_MAX;
            check_key(&rt, table, key);
        }
        table_close(table);
        for (size_t k = 0; k < rt.count; k++) {
            if (rt.list[k].pattern)
                kind->discard(rt.list[k].compiled);
            free(rt.list[k].pattern);
        }
        arena_reset(arena);
    }
    /* Both answers are common, or the test says little. */
    assert_in_range(found, (size_t)(tables * keys / 20),
                    (size_t)(tables * keys / 20 * 19));
}

/* -- cidr -- */

static char *cidr_pattern(void)
{
    static char text[100];

    if (pick(3) == 0) {
        static const unsigned lens[] = {0, 16, 32, 47, 64, 65, 96, 127, 128};
        unsigned len = lens[pick(ARRAY_LEN(lens))];
        snprintf(text, sizeof(text), "%s:%s/%u", len ? "2001" : "",
                 len >= 127 ? ":2" : ":", len);
    } else {
        unsigned len = pick(4) == 0 ? pick(33) : 22 + pick(11);
        uint32_t addr = 0x0A000000u | pick(4) << 16 | pick(4) << 8 | pick(4) << 1;
        addr &= len == 0 ? 0 : UINT32_MAX << (32 - len);
        snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", addr >> 24, addr >> 16 & 255,
                 addr >> 8 & 255, addr & 255, len);
    }
    return xstrdup(text);
}

static bool cidr_compile(const char *pattern, void **compiled_out)
{
    struct net_block *block = xcalloc(1, sizeof(*block));
    struct err err;

    *compiled_out = block;
    if (net_block_parse(span_str(pattern), block, &err))
        return true;
    free(block);
    return false;
}

static bool cidr_match(const void *compiled, const char *key, bool *applies_out)
{
    const struct net_block *block = compiled;
    struct net_addr addr;

    *applies_out =
        net_addr_parse(span_str(key), 0, &addr) && addr.sa.sa_family == block->family;
    return *applies_out && net_block_match(block, &addr);
}

static const char *cidr_key(void)
{
    if (pick(4) == 0)
        return arena_printf(arena, "200%u:%s%u", pick(2) + 1,
                            pick(2) ? ":" : ":1::", pick(4));
    if (pick(20) == 0)
        return "10.0.0";
    return arena_printf(arena, "%u.%u.%u.%u", pick(5) ? 10 : pick(256), pick(4),
                        pick(4), pick(8));
}

/* -- regexp and pcre -- */

struct writer {
    bool pcre;
    unsigned depth;
    struct strbuf text;
};

static void write_alternatives(struct writer *w);

static void write_atom(struct writer *w)
{
    static const char *const shared[] = {
        ".",   "[ab]", "[^a]", "[[:alpha:]]", "\\.", "\\w",  "[b-d]",  "[]a]",
        "\\b", "^",    "$",    "\\\\",        "\\-", "[.x]", "[a-c1]", " ",
    };
    static const char *const pcre[] = {
        "\\d", "\\s", "\\x61", "\\t",  "[\\w-]", "[\\]a]", "\\Qa.\\E",     "(?i)",
        "\\K", "\\A", "\\z",   "[^1]", "\\h",    "(?-i)",  "[[:^alpha:]]",
    };
    unsigned die = pick(w->depth < 3 ? 10 : 8);

    if (die < 5) {
        for (unsigned i = pick(4) + 1; i > 0; i--)
            strbuf_add_char(&w->text, "abcdABC1@x"[pick(10)]);
    } else if (die < 8) {
        strbuf_add_str(&w->text, w->pcre && pick(3) == 0
                                     ? pcre[pick(ARRAY_LEN(pcre))]
                                     : shared[pick(ARRAY_LEN(shared))]);
    } else {
        static const char *const openings[] = {"(?:",  "(?=",  "(?!", "(?>",
                                               "(?<=", "(?<!", "(?i:"};
        strbuf_add_str(&w->text,
                       w->pcre && pick(2) ? openings[pick(ARRAY_LEN(openings))] : "(");
        w->depth++;
        write_alternatives(w);
        w->depth--;
        strbuf_add_char(&w->text, ')');
    }
}

static void write_sequence(struct writer *w)
{
    static const char *const quantifiers[] = {"*",   "+",    "?",    "{2}",
                                              "{1}", "{1,}", "{0,2}"};

    for (unsigned i = pick(4) + (w->depth == 0); i > 0; i--) {
        write_atom(w);
        if (pick(4) == 0)
            strbuf_add_str(&w->text, quantifiers[pick(ARRAY_LEN(quantifiers))]);
        if (w->pcre && pick(12) == 0)
            strbuf_add_char(&w->text, "?+"[pick(2)]);
    }
}

static void write_alternatives(struct writer *w)
{
    write_sequence(w);
    while (pick(4) == 0) {
        strbuf_add_char(&w->text, '|');
        write_sequence(w);
    }
}

static char *write_pattern(bool pcre, const char *flags)
{
    struct writer w = {.pcre = pcre};

    strbuf_init(&w.text);
    strbuf_add_char(&w.text, '/');
    write_alternatives(&w);
    strbuf_add_char(&w.text, '/');
    if (pick(4) == 0)
        strbuf_add_char(&w.text, flags[pick((unsigned)strlen(flags))]);
    return strbuf_detach(&w.text);
}

static const char *text_key(void)
{
    char *key = arena_alloc(arena, 24);

    for (unsigned i = pick(23); i > 0; i--)
        key[i - 1] = "abcdabcdABC1@x.- \\\n]"[pick(20)];
    return key;
}

static char *regexp_pattern(void)
{
    return write_pattern(false, "imx");
}

static bool regexp_compile(const char *pattern, void **compiled_out)
{
    const char *end = strrchr(pattern, '/');
    char *text = xstrndup(pattern + 1, (size_t)(end - pattern - 1));
    regex_t *regex = xcalloc(1, sizeof(*regex));
    int flags = REG_EXTENDED | REG_ICASE | REG_NOSUB;

    flags ^= end[1] == 'i'   ? REG_ICASE
             : end[1] == 'm' ? REG_NEWLINE
             : end[1] == 'x' ? REG_EXTENDED
                             : 0;
    int rc = regcomp(regex, text, flags);
    free(text);
    *compiled_out = regex;
    if (rc != 0)
        free(regex);
    return rc == 0;
}

static bool regexp_match(const void *compiled, const char *key,
                         bool *applies_out UNUSED)
{
    regmatch_t match[1];

    return regexec(compiled, key, 1, match, 0) == 0;
}

static void regexp_discard(void *compiled)
{
    regfree(compiled);
    free(compiled);
}

static char *pcre_pattern(void)
{
    return write_pattern(true, "imsxAEU");
}

static bool pcre_compile(const char *pattern, void **compiled_out)
{
    static const char letters[] = "imsxAEU";
    static const uint32_t values[] = {
        PCRE2_CASELESS, PCRE2_MULTILINE,      PCRE2_DOTALL,  PCRE2_EXTENDED,
        PCRE2_ANCHORED, PCRE2_DOLLAR_ENDONLY, PCRE2_UNGREEDY};
    const char *end = strrchr(pattern, '/');
    uint32_t flags = PCRE2_CASELESS | PCRE2_DOTALL;
    int number;
    PCRE2_SIZE offset;

    if (end[1])
        flags ^= values[strchr(letters, end[1]) - letters];
    *compiled_out = pcre2_compile((PCRE2_SPTR)pattern + 1, (size_t)(end - pattern - 1),
                                  flags, &number, &offset, NULL);
    return *compiled_out != NULL;
}

static bool pcre_match(const void *compiled, const char *key, bool *applies_out)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int rc = pcre2_match(compiled, (PCRE2_SPTR)key, strlen(key), 0, PCRE2_NO_JIT, data,
                         NULL);

    pcre2_match_data_free(data);
    *applies_out = rc >= 0 || rc == PCRE2_ERROR_NOMATCH; /* some take too long */
    return rc >= 0;
}

static void pcre_discard(void *compiled)
{
    pcre2_code_free(compiled);
}

static void random_cidr_tables(void **unused)
{
    static const struct kind kind = {"cidr",     cidr_pattern, cidr_compile,
                                     cidr_match, free,         cidr_key};

    (void)unused;
    compare(&kind, 300, 100);
}

static void random_regexp_tables(void **unused)
{
    static const struct kind kind = {"regexp",     regexp_pattern, regexp_compile,
                                     regexp_match, regexp_discard, text_key};

    (void)unused;
    compare(&kind, 300, 60);
}

static void random_pcre_tables(void **unused)
{
    static const struct kind kind = {"pcre",     pcre_pattern, pcre_compile,
                                     pcre_match, pcre_discard, text_key};

    (void)unused;
    compare(&kind, 300, 60);
}

static int setup(void **unused)
{
    (void)unused;
    arena = arena_new();
    int fd = mkstemp(path);
    close(fd);
    return fd < 0;
}

static int teardown(void **unused)
{
    (void)unused;
    arena_free(arena);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_cidr_tables),
        cmocka_unit_test(random_regexp_tables),
        cmocka_unit_test(random_pcre_tables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
