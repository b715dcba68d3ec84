#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/maps.h"
#include "table/table.h"
#include "util/file.h"

static struct arena *arena;

static struct table *open_ok(const char *name, enum table_mode mode, unsigned flags)
{
    struct err err;
    struct table *table = table_open(NULL, name, mode, flags, &err);

    if (!table)
        fail_msg("%s: %s", name, err.text);
    return table;
}

static void expect_error(const char *name, const char *text)
{
    struct err err;

    assert_null(table_open(NULL, name, TABLE_READ, 0, &err));
    if (!strstr(err.text, text))
        fail_msg("%s: %s", name, err.text);
}

static const char *get(struct table *table, const char *key)
{
    struct err err;
    const char *value;
    enum table_status status = table_lookup(table, span_str(key), arena, &value, &err);

    assert_true(status == TABLE_FOUND || status == TABLE_NOT_FOUND);
    return status == TABLE_FOUND ? value : NULL;
}

static void put(struct table *table, const char *key, const char *value,
                enum table_status expect)
{
    struct err err;
    enum table_status status =
        table_update(table, span_str(key), span_str(value), &err);

    if (status != expect)
        fail_msg("update %s: %d %s", key, status, err.text);
}

static char dir[] = "/tmp/table_test.XXXXXX";

static char *path_in(const char *name)
{
    return arena_printf(arena, "%s/%s", dir, name);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void names_must_be_type_and_name(void **state)
{
    (void)state;
    expect_error("/etc/aliases", "expecting \"type:name\" form instead of");
    expect_error("nosuch:x", "unsupported dictionary type: nosuch");
    expect_error("static:", "expecting \"type:name\"");
    expect_error("inline:{}", "bad syntax: \"inline:{}\"; need");
    expect_error("inline:{a}", "missing '='");
    expect_error("lmdb:/nonexistent/x", "/nonexistent/x.lmdb: No such file");
}

static void inline_and_static_answer(void **state)
{
    struct table *in = open_ok("inline:{a=b, {C = d e} f=g}", TABLE_READ, 0);
    struct table *st = open_ok("static:{ two words }", TABLE_READ, 0);

    (void)state;
    assert_string_equal(get(in, "A"), "b");
    assert_string_equal(get(in, "c"), "d e");
    assert_string_equal(get(in, "f"), "g");
    assert_null(get(in, "x"));
    assert_string_equal(get(st, "anything"), "two words");
    table_close(in);
    table_close(st);
}

static void texthash_reads_source_text(void **state)
{
    char *path = path_in("source");

    (void)state;
    write_file(path, "# c\nKey1 one\n two\n\n\"a b\"@x  v \nbad\nlast last");
    struct table *table =
        open_ok(arena_printf(arena, "texthash:%s", path), TABLE_READ, 0);
    assert_string_equal(get(table, "kEY1"), "one two");
    assert_string_equal(get(table, "\"A b\"@x"), "v");
    assert_string_equal(get(table, "last"), "last");
    assert_null(get(table, "bad"));
    struct span key, value;
    struct err err;
    int count = 0;
    while (table_next(table, count == 0, &key, &value, &err) == TABLE_FOUND)
        count++;
    assert_int_equal(count, 3);
    table_close(table);
}

static void lmdb_is_built_beside_and_renamed(void **state)
{
    char *name = arena_printf(arena, "lmdb:%s", path_in("db"));
    struct err err;

    (void)state;
    struct table *build = open_ok(name, TABLE_CREATE, TABLE_WARN_DUP);
    put(build, "Key", "value", TABLE_FOUND);
    put(build, "key", "other", TABLE_NOT_FOUND);
    for (int i = 0; i < 5000; i++)
        put(build, arena_printf(arena, "k%d", i), "some text", TABLE_FOUND);
    expect_error(name, "No such file");
    assert_true(table_commit(build, &err));
    table_close(build);

    struct table *table = open_ok(name, TABLE_READ, 0);
    assert_string_equal(get(table, "KEY"), "value");
    assert_string_equal(get(table, "k4999"), "some text");
    assert_null(get(table, "k5000"));
    assert_null(get(table, ""));
    char *longkey = arena_printf(arena, "%01000d", 1);
    assert_null(get(table, longkey));
    assert_false(table_changed(table));

    build = open_ok(name, TABLE_CREATE, 0);
    put(build, "key", "new", TABLE_FOUND);
    assert_true(table_commit(build, &err));
    table_close(build);
    usleep(20000);
    assert_false(table_changed(table));
    assert_string_equal(get(table, "key"), "new"); /* opened again by itself */
    table_close(table);
}

static void lmdb_changes_in_place_are_seen(void **state)
{
    char *name = arena_printf(arena, "lmdb:%s", path_in("cache"));
    struct table *writer = open_ok(name, TABLE_WRITE, TABLE_REPLACE_DUP);
    struct table *reader = open_ok(name, TABLE_READ, 0);
    struct err err;

    (void)state;
    assert_null(get(reader, "a"));
    put(writer, "a", "1", TABLE_FOUND);
    put(writer, "a", "2", TABLE_FOUND);
    assert_string_equal(get(reader, "a"), "2");
    assert_true(table_lock(writer, &err));
    assert_string_equal(get(writer, "a"), "2");
    put(writer, "a", "3", TABLE_FOUND);
    assert_true(table_unlock(writer, &err));
    assert_string_equal(get(reader, "a"), "3");
    assert_int_equal(table_delete(writer, SPAN_LIT("A"), &err), TABLE_FOUND);
    assert_int_equal(table_delete(writer, SPAN_LIT("a"), &err), TABLE_NOT_FOUND);
    assert_null(get(reader, "a"));
    assert_int_equal(table_update(reader, SPAN_LIT("a"), SPAN_LIT("x"), &err),
                     TABLE_BROKEN);
    table_close(writer);
    table_close(reader);
}

static const char *small_map(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "lmdb_map_size") == 0 ? "65536" : NULL;
}

static void lmdb_map_grows_by_itself(void **state)
{
    static const struct table_env env = {.param = small_map};
    char *name = arena_printf(arena, "lmdb:%s", path_in("grow"));
    char value[2000];
    struct err err;
    struct table *a = table_open(&env, name, TABLE_WRITE, 0, &err);
    struct table *b = table_open(&env, name, TABLE_READ, 0, &err);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < 200; i++)
        put(a, arena_printf(arena, "k%d", i), value, TABLE_FOUND);
    assert_string_equal(get(b, "k199"), value);
    table_close(a);
    table_close(b);
}

static void a_file_that_is_no_database_is_an_error(void **state)
{
    char *path = path_in("junk.lmdb");

    (void)state;
    write_file(path, "this is not a database, but long enough to look at");
    expect_error(arena_printf(arena, "lmdb:%s", path_in("junk")), "open database");
}

static void hash_without_index_reads_the_source(void **state)
{
    char *path = path_in("aliases");
    char *name = arena_printf(arena, "hash:%s", path);
    struct err err;

    (void)state;
    write_file(path, "root: admin\n\"two words\": x, y\n");
    struct table *text = open_ok(name, TABLE_READ, 0);
    assert_string_equal(get(text, "root"), "admin");
    assert_string_equal(get(text, "Two Words"), "x, y");
    struct table *build = open_ok(name, TABLE_CREATE, 0);
    put(build, "root", "indexed", TABLE_FOUND);
    assert_true(table_commit(build, &err));
    table_close(build);
    usleep(20000);
    assert_false(table_changed(text));
    assert_string_equal(get(text, "root"), "indexed");
    table_close(text);
    text = open_ok(name, TABLE_READ, 0);
    assert_string_equal(get(text, "root"), "indexed");
    table_close(text);
}

static void maps_search_in_order(void **state)
{
    struct maps *maps = maps_open(
        NULL, "test_maps", "inline:{a=1}, inline:{ {a = 2} b=3 }\n static:all", 0);
    const char *value;

    (void)state;
    assert_int_equal(maps_find(maps, SPAN_LIT("a"), 0, arena, &value), TABLE_FOUND);
    assert_string_equal(value, "1");
    assert_string_equal(maps_last(maps), "inline:{a=1}");
    assert_int_equal(maps_find(maps, SPAN_LIT("b"), 0, arena, &value), TABLE_FOUND);
    assert_string_equal(value, "3");
    assert_int_equal(maps_find(maps, SPAN_LIT("c"), 0, arena, &value), TABLE_FOUND);
    assert_string_equal(value, "all");
    assert_int_equal(maps_find(maps, SPAN_LIT("c"), TABLE_PATTERN, arena, &value),
                     TABLE_NOT_FOUND);
    maps_close(maps);
}

static void a_missing_table_means_retry(void **state)
{
    struct maps *maps =
        maps_open(NULL, "test_maps", "inline:{a=1} lmdb:/nonexistent/x", 0);
    const char *value;

    (void)state;
    assert_int_equal(maps_find(maps, SPAN_LIT("a"), 0, arena, &value), TABLE_FOUND);
    assert_int_equal(maps_find(maps, SPAN_LIT("b"), 0, arena, &value), TABLE_RETRY);
    assert_string_equal(maps_last(maps), "lmdb:/nonexistent/x");
    maps_close(maps);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[100];

    (void)state;
    arena_free(arena);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_must_be_type_and_name),
        cmocka_unit_test(inline_and_static_answer),
        cmocka_unit_test(texthash_reads_source_text),
        cmocka_unit_test(lmdb_is_built_beside_and_renamed),
        cmocka_unit_test(lmdb_changes_in_place_are_seen),
        cmocka_unit_test(lmdb_map_grows_by_itself),
        cmocka_unit_test(a_file_that_is_no_database_is_an_error),
        cmocka_unit_test(hash_without_index_reads_the_source),
        cmocka_unit_test(maps_search_in_order),
        cmocka_unit_test(a_missing_table_means_retry),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
