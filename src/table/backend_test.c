#include "table/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* Its includes come first. */
#include <cmocka.h>

static const char *param(void *arg UNUSED, const char *name)
{
    static const char *const values[][2] = {
        {"t_query", "q"},       {"t_timeout", "5m"},        {"t_idle", "12x"},
        {"t_count", "7"},       {"t_bind", "YES"},          {"t_odd", "maybe"},
        {"t_domain", "a.test"}, {"t_expansion_limit", "2"}, {"t_result_format", "<%s>"},
    };

    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (strcmp(name, values[i][0]) == 0)
            return values[i][1];
    return NULL;
}

static const struct table_env env = {.param = param};
static struct table fake = {.env = &env, .full_name = "mysql:t", .name = "t"};

static void settings_of_main_cf(void **state UNUSED)
{
    struct err err;
    struct backend_conf *conf = backend_conf_open(&fake, &err);

    assert_non_null(conf);
    assert_string_equal(backend_conf_str(conf, "query", ""), "q");
    assert_string_equal(backend_conf_str(conf, "nosuch", "else"), "else");
    assert_int_equal(backend_conf_time(conf, "timeout", 1, 1, 600), 300);
    assert_int_equal(backend_conf_num(conf, "count", 1, 1, 10), 7);
    assert_int_equal(backend_conf_num(conf, "nosuch", 3, 1, 10), 3);
    assert_true(backend_conf_bool(conf, "bind", false));
    assert_true(backend_conf_ok(conf, &err));
    assert_string_equal(err.text, "");
    backend_conf_time(conf, "idle", 60, 1, 600);
    backend_conf_bool(conf, "odd", false); /* the first error stays */
    assert_false(backend_conf_ok(conf, &err));
    assert_string_equal(err.text, "bad time configuration: t_idle = 12x");
    backend_conf_free(conf);
}

static void bounds_are_kept(void **state UNUSED)
{
    struct err err;
    struct backend_conf *conf = backend_conf_open(&fake, &err);

    backend_conf_num(conf, "count", 1, 1, 6);
    assert_false(backend_conf_ok(conf, &err));
    assert_string_equal(err.text,
                        "bad numerical configuration: t_count = 7 (allowed: 1 "
                        "to 6)");
    backend_conf_free(conf);
}

static bool refuse_x(void *arg UNUSED, struct strbuf *out, struct span text)
{
    strbuf_add_char(out, '_');
    strbuf_add_span(out, text);
    return span_chr(text, 'x') < 0;
}

static void check(const char *template, const char *value, const char *key,
                  const char *expected)
{
    const struct backend_quote quote = {.add = refuse_x};
    struct strbuf out = STRBUF_INIT;

    strbuf_add_str(&out, "[");
    assert_int_equal(
        backend_expand(template, span_str(value), span_str(key), &quote, &out),
        expected != NULL);
    assert_string_equal(out.ptr, expected ? expected : "[");
    strbuf_free(&out);
}

static void templates(void **state UNUSED)
{
    check("%s %u %d", "a@b.c", "k@l.m", "[_a@b.c _a _b.c");
    check("%S %U %D %1 %2", "a@b.c", "k@l.m", "[_k@l.m _k _l.m _m _l");
    check("100%% %s", "v", "k", "[100% _v");
    check("%d", "v", "k@l", NULL);
    check("%3", "v", "k@l.m", NULL);
    check("const %s", "vx", "k", NULL); /* cannot be quoted */
    check("%u", "@b", "k", NULL);
}

static void wrong_templates(void **state UNUSED)
{
    static const char *const wrong[] = {"%", "%x", "%0", "a%s%", "% s"};
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(backend_template_ok(wrong[i], &err));
    assert_true(backend_template_ok("%s%u%d%S%U%D%1%9%%", &err));
}

static void queries_and_results(void **state UNUSED)
{
    struct strbuf out = STRBUF_INIT, value = STRBUF_INIT;
    struct err err = {0};
    struct backend_conf *conf = backend_conf_open(&fake, &err);
    struct backend *backend = backend_new(&fake, conf);
    struct span key = SPAN_LIT("k@A.test");

    assert_true(backend_conf_ok(conf, &err));
    backend_conf_free(conf);
    assert_int_equal(backend_query(backend, "%s", key, NULL, &out, &err), TABLE_FOUND);
    assert_string_equal(out.ptr, "k@A.test");
    assert_int_equal(backend_wanted(backend, SPAN_LIT("k@b.test"), &err),
                     TABLE_NOT_FOUND);
    assert_int_equal(backend_wanted(backend, SPAN_LIT("a.test"), &err),
                     TABLE_NOT_FOUND);
    assert_int_equal(backend_wanted(backend, SPAN_LIT("\xe9@a.test"), &err),
                     TABLE_NOT_FOUND);
    assert_int_equal(backend_wanted(backend, SPAN_LIT("k\0@a.test"), &err),
                     TABLE_NOT_FOUND);

    struct backend_result result = backend_result_start(backend, key, &value);
    assert_int_equal(backend_result_status(&result), TABLE_NOT_FOUND);
    assert_true(backend_result_add(&result, SPAN_LIT("1"), &err));
    assert_true(backend_result_add(&result, SPAN_LIT("2"), &err));
    assert_int_equal(backend_result_status(&result), TABLE_FOUND);
    assert_string_equal(value.ptr, "<1>,<2>");
    assert_false(backend_result_add(&result, SPAN_LIT("3"), &err));
    assert_string_equal(err.text, "t: Expansion limit exceeded for key 'k@A.test'");
    backend_free(backend);
    strbuf_free(&out);
    strbuf_free(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_of_main_cf), cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(templates),           cmocka_unit_test(wrong_templates),
        cmocka_unit_test(queries_and_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
