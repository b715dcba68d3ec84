#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "nbdb_reindexd/reindex.h"
#include "util/file.h"

/* A directory of our own, as if we were who root_prefixes is about. */
struct fixture {
    char top[64], dir[96], path[128], index[160];
    struct reindex_check check;
};

static void put(const char *path, time_t mtime)
{
    struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};
    struct err err;

    assert_true(file_replace(path, SPAN_LIT("key value\n"), 0644, &err));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);

    strcpy(f->top, "/tmp/reindex-test-XXXXXX");
    assert_non_null(mkdtemp(f->top));
    snprintf(f->dir, sizeof f->dir, "%s/dir", f->top);
    assert_int_equal(mkdir(f->dir, 0755), 0);
    snprintf(f->path, sizeof f->path, "%s/table", f->dir);
    snprintf(f->index, sizeof f->index, "%s.lmdb", f->path);
    put(f->path, 1000);
    f->check = (struct reindex_check){.path = f->path,
                                      .root_prefixes = f->top,
                                      .user_prefixes = "/nonexistent",
                                      .root = geteuid()};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->index);
    unlink(f->path);
    rmdir(f->dir);
    rmdir(f->top);
    free(f);
    return 0;
}

static void expect(struct fixture *f, enum reindex_verdict verdict, const char *text)
{
    f->check.err.text[0] = '\0';
    assert_int_equal(reindex_check(&f->check), verdict);
    if (!strstr(f->check.err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, f->check.err.text);
    free(f->check.real_path);
}

static void test_clean_paths(void **state)
{
    static const char *const good[] = {"/a", "/etc/aliases", "/a/..b/.c",
                                       "/a b/c\xc3\xa4"};
    static const char *const bad[] = {"",      "/",     "a",     "etc/a",
                                      "/a/",   "//a",   "/a//b", "/a/./b",
                                      "/../a", "/a/..", "/a\nb", "/."};
    char longest[5000];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(reindex_path_is_clean(span_str(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (reindex_path_is_clean(span_str(bad[i])))
            fail_msg("%s", bad[i]);
    memset(longest, 'a', sizeof longest);
    longest[0] = '/';
    assert_false(reindex_path_is_clean(span_of(longest, sizeof longest)));
}

static void test_prefixes(void **state)
{
    (void)state;
    assert_true(reindex_path_is_below("/nox/a", "/nox"));
    assert_true(reindex_path_is_below("/nox/a/b", "/foo, /nox/"));
    assert_false(reindex_path_is_below("/noxa/b", "/nox"));
    assert_false(reindex_path_is_below("/nox", "/nox"));
    assert_false(reindex_path_is_below("/nox/a", ""));
    assert_false(reindex_path_is_below("/nox/a", "nox ./nox"));
    assert_true(reindex_path_is_below("/nox/a", "/"));
}

static void test_index_age(void **state)
{
    struct fixture *f = *state;

    expect(f, REINDEX_NEEDED, "");
    assert_true(f->check.is_missing);
    put(f->index, 999);
    expect(f, REINDEX_NEEDED, "");
    assert_false(f->check.is_missing);
    put(f->index, 1000);
    expect(f, REINDEX_FRESH, "");
}

static void test_place(void **state)
{
    struct fixture *f = *state;

    f->check.root_prefixes = "/nonexistent";
    f->check.user_prefixes = f->top;
    expect(f, REINDEX_REFUSED, "non_bdb_migration_allow_root_prefixes");
    /* The same directory belongs to a user when root is somebody else. */
    if (geteuid() != 0) {
        f->check.root = 0;
        expect(f, REINDEX_NEEDED, "");
        f->check.user_prefixes = "/nonexistent";
        expect(f, REINDEX_REFUSED, "non_bdb_migration_allow_user_prefixes");
    }
    f->check.path = "/nonexistent/a";
    expect(f, REINDEX_REFUSED, "directory /nonexistent: ");
}

static void test_writable_by_others(void **state)
{
    struct fixture *f = *state;

    chmod(f->dir, 0775);
    expect(f, REINDEX_REFUSED, "dir is writable by its group");
    chmod(f->dir, 01777);
    expect(f, REINDEX_REFUSED, "dir is writable by everyone");
    chmod(f->dir, 0755);
    chmod(f->top, 0777);
    expect(f, REINDEX_REFUSED, "is writable by everyone");
    chmod(f->top, 01777);
    expect(f, REINDEX_NEEDED, "");
    chmod(f->path, 0646);
    expect(f, REINDEX_REFUSED, "table is writable by everyone");
    chmod(f->path, 0600);
    expect(f, REINDEX_NEEDED, "");
}

static void test_links(void **state)
{
    struct fixture *f = *state;
    char link[128], path[160];

    snprintf(link, sizeof link, "%s/link", f->top);
    assert_int_equal(symlink(f->path, link), 0);
    f->check.path = link;
    expect(f, REINDEX_REFUSED, "is not a regular file");
    unlink(link);
    /* A link on the way counts as the place it leads to. */
    assert_int_equal(symlink("/dev", link), 0);
    snprintf(path, sizeof path, "%s/null", link);
    f->check.path = path;
    f->check.root = 0;
    expect(f, REINDEX_REFUSED, "/dev/null is owned by root and is not below");
    unlink(link);
}

static void test_aliases(void **state)
{
    struct config cfg = {.alias_maps =
                             "lmdb:/a unionmap:{proxy:hash:/b, btree:/c} nis:x",
                         .alias_database = "hash:/d"};

    (void)state;
    assert_true(reindex_is_alias(&cfg, span_str("/a")));
    assert_true(reindex_is_alias(&cfg, span_str("/b")));
    assert_true(reindex_is_alias(&cfg, span_str("/c")));
    assert_true(reindex_is_alias(&cfg, span_str("/d")));
    assert_false(reindex_is_alias(&cfg, span_str("/e")));
    assert_false(reindex_is_alias(&cfg, span_str("/")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_paths),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test_setup_teardown(test_index_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writable_by_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test(test_aliases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
