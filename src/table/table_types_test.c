#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <unistd.h>

#include "table/table.h"

static struct arena *arena;
static char path[] = "/tmp/table_types_test.XXXXXX";

struct pair {
    const char *key, *value; /* NULL: not found */
};

static void check(const char *name, const struct pair *pairs, size_t count)
{
    struct err err;
    struct table *table = table_open(NULL, name, TABLE_READ, 0, &err);

    if (!table)
        fail_msg("%s: %s", name, err.text);
    for (size_t i = 0; i < count; i++) {
        const char *value;
        enum table_status status =
            table_lookup(table, span_str(pairs[i].key), arena, &value, &err);
        if (status != (pairs[i].value ? TABLE_FOUND : TABLE_NOT_FOUND) ||
            (value && strcmp(value, pairs[i].value) != 0))
            fail_msg("%s: %s: %d %s", name, pairs[i].key, status,
                     value ? value : "none");
    }
    table_close(table);
}

static const char *source_file(const char *type, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return arena_printf(arena, "%s:%s", type, path);
}

static const char patterns[] = "# comment\n"
                               "/^a(.)(.*)c/  x$1-${2}-$(1) $$ y\n"
                               "   continued\n"
                               "/^B/  upper-default\n"
                               "/^C/i toggled\n"
                               "!/^[a-z]/ notlower\n"
                               "if /^q/\n"
                               "/qq/ double\n"
                               "if !/x$/\n"
                               "/./ q-notx\n"
                               "endif\n"
                               "/y/ q-y\n"
                               "endif\n"
                               "/(un)?d/ [$1]\n"
                               "bad line\n"
                               "/unterminated\n"
                               "/^e/x flagged\n"
                               "/^f/ $9\n"
                               "/^h/ix two\n"
                               "/z\\/w/ slash\n"
                               "endif\n";

/* As the peer answers. */
static const struct pair pattern_results[] = {
    {"abbc", "xb-b-b $ y   continued"},
    {"B", "upper-default"},
    {"bx", "upper-default"},
    {"Cx", "toggled"},
    {"cx", NULL},
    {"1x", "notlower"},
    {"qq", "double"},
    {"qz", "q-notx"},
    {"qx", NULL},
    {"d", "[]"},
    {"e", "flagged"},
    {"f", NULL},
    {"h", "two"},
    {"z/w", "slash"},
};

static void regular_expressions(void **state)
{
    (void)state;
    check(source_file("regexp", patterns), pattern_results, ARRAY_LEN(pattern_results));
    check(source_file("pcre", patterns), pattern_results, ARRAY_LEN(pattern_results));
}

static void pcre_survives_costly_patterns(void **state)
{
    static const struct pair pairs[] = {
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", NULL}};

    (void)state;
    check("pcre:{{/^(a+)+$/ x}}", pairs, ARRAY_LEN(pairs));
}

static void inline_rules(void **state)
{
    static const struct pair pairs[] = {{"ab", "x"}, {"b", NULL}};

    (void)state;
    check("regexp:{{if /a/} {/b/ x} {endif}}", pairs, ARRAY_LEN(pairs));
}

static void networks(void **state)
{
    static const struct pair pairs[] = {
        {"1.2.3.4", "net"},       {"1.2.4.5", "two"},      {"1.2.9.9", "host"},
        {"1.2.8.1", "x9"},        {"2.2.2.2", "notone"},   {"1.3.3.3", NULL},
        {"2001:DB8::1", "six"},   {"2001:db9::1", "six2"}, {"[2001:db8::1]", NULL},
        {"::ffff:1.2.3.4", NULL}, {"host", NULL},          {"", NULL},
    };

    (void)state;
    check(source_file("cidr", "1.2.3.0/24 net\n1.2.4.4/31 two\n1.2.5.1/24 bad\n"
                              "!1.0.0.0/8 notone\nif 1.2.0.0/16\n1.2.9.9 host\n"
                              "!1.2.9.0/24 x9\nendif\n2001:db8::/32 six\n"
                              "[2001:db9::]/32 six2\n1.2.3.4\nfoo bar\n"),
          pairs, ARRAY_LEN(pairs));
}

static void users_and_groups(void **state)
{
    static const struct pair none[] = {{"no-such-user-here", NULL}};
    struct err err;
    const char *value;

    (void)state;
    check("unix:passwd.byname", none, 1);
    check("unix:group.byname", none, 1);
    struct table *table = table_open(NULL, "unix:passwd.byname", TABLE_READ, 0, &err);
    assert_int_equal(table_lookup(table, SPAN_LIT("root"), arena, &value, &err),
                     TABLE_FOUND);
    assert_int_equal(strncmp(value, "root:", 5), 0);
    assert_non_null(strstr(value, ":0:0:"));
    table_close(table);
    assert_null(table_open(NULL, "unix:other", TABLE_READ, 0, &err));
}

static void tables_of_tables(void **state)
{
    static const struct pair joined[] = {{"a", "1,2"}, {"b", "3"}, {"c", NULL}};
    static const struct pair piped[] = {{"A", "2"}, {"b", NULL}};
    static const struct pair mixed[] = {{"KEY", "K,low"}};
    struct err err;

    (void)state;
    check("unionmap:{inline:{a=1}, inline:{a=2 b=3}}", joined, ARRAY_LEN(joined));
    check("pipemap:{inline:{a=X}, inline:{x=2}}", piped, ARRAY_LEN(piped));
    check("unionmap:{ regexp:{{/(^K)EY/ $1}} inline:{key=low}}", mixed,
          ARRAY_LEN(mixed));
    struct table *table =
        table_open(NULL, "pipemap:{static:x, fail:y}", TABLE_READ, 0, &err);
    const char *value;
    assert_int_equal(table_lookup(table, SPAN_LIT("a"), arena, &value, &err),
                     TABLE_RETRY);
    table_close(table);
    assert_null(table_open(NULL, "unionmap:{}", TABLE_READ, 0, &err));
    assert_null(table_open(NULL, "unionmap:{nosuch:x}", TABLE_READ, 0, &err));
}

static void random_values(void **state)
{
    struct err err;
    const char *value;
    bool seen[2] = {false, false};

    (void)state;
    struct table *table = table_open(NULL, "randmap:{one, two}", TABLE_READ, 0, &err);
    assert_non_null(table);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(table_lookup(table, SPAN_LIT("k"), arena, &value, &err),
                         TABLE_FOUND);
        assert_true(strcmp(value, "one") == 0 || strcmp(value, "two") == 0);
        seen[value[0] == 't'] = true;
    }
    assert_true(seen[0] && seen[1]);
    table_close(table);
    assert_null(table_open(NULL, "randmap:{}", TABLE_READ, 0, &err));
}

static void debug_answers_as_its_table(void **state)
{
    static const struct pair pairs[] = {{"A", "1"}, {"b", NULL}};
    struct err err;

    (void)state;
    check("debug:inline:{a=1}", pairs, ARRAY_LEN(pairs));
    assert_null(table_open(NULL, "debug:nosuch:x", TABLE_READ, 0, &err));
}

static void kinds_say_how_they_match(void **state)
{
    static const struct {
        const char *name;
        unsigned kind;
    } kinds[] = {
        {"inline:{a=b}", TABLE_FIXED},
        {"regexp:{{/a/ b}}", TABLE_PATTERN},
        {"unionmap:{inline:{a=b}, regexp:{{/a/ b}}}", TABLE_PATTERN},
        {"unionmap:{inline:{a=b}}", TABLE_FIXED},
        {"proxy:inline:{a=b}", TABLE_FIXED},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct table *table = table_open(NULL, kinds[i].name, TABLE_READ, 0, &err);
        assert_non_null(table);
        assert_int_equal(table_flags(table) & (TABLE_FIXED | TABLE_PATTERN),
                         kinds[i].kind);
        table_close(table);
    }
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    int fd = mkstemp(path);
    close(fd);
    return fd < 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regular_expressions),
        cmocka_unit_test(pcre_survives_costly_patterns),
        cmocka_unit_test(inline_rules),
        cmocka_unit_test(networks),
        cmocka_unit_test(users_and_groups),
        cmocka_unit_test(tables_of_tables),
        cmocka_unit_test(random_values),
        cmocka_unit_test(debug_answers_as_its_table),
        cmocka_unit_test(kinds_say_how_they_match),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
