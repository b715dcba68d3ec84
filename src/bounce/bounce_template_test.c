#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bounce/bounce.h"
#include "util/file.h"
#include "util/msg.h"

static char dir[] = "/tmp/bounce_template_test.XXXXXX";
static struct arena *arena;

static struct config *config(void)
{
    struct config_override overrides[] = {
        {"bounce_template_file", "$config_directory/bounce.cf"},
        {"myhostname", "mx.x.test"},
        {"delay_warning_time", "4h"},
        {"maximal_queue_lifetime", "5d"}};
    struct config_source source = {.dir = dir,
                                   .program = "bounce",
                                   .service = "bounce",
                                   .main_cf = SPAN_LIT("mydomain = x.test\n"),
                                   .overrides = overrides,
                                   .override_count = ARRAY_LEN(overrides)};
    struct err err;
    struct config *cfg = config_load(&source, &err);

    if (!cfg)
        fail_msg("%s", err.text);
    return cfg;
}

/* The templates as read from a file with this text. */
static struct bounce_service read_templates(const char *text)
{
    struct bounce_service bs = {.cfg = config(), .arena = arena};
    char path[80];
    struct err err;

    snprintf(path, sizeof path, "%s/bounce.cf", dir);
    assert_true(file_replace(path, span_str(text), 0644, &err));
    bounce_templates_init(&bs);
    unlink(path);
    return bs;
}

static void check_built_in(const struct bounce_service *bs, enum bounce_kind kind)
{
    assert_non_null(strstr(bs->templates[kind].body, "The mail system"));
    assert_string_equal(bs->templates[kind].charset, "us-ascii");
}

static void test_file(void **state)
{
    struct bounce_service bs =
        read_templates("# comment\n\n"
                       "failure_template = <<EOF\n"
                       "Charset: utf-8\nFrom: F <f@x.test>\nSubject: S: t\n"
                       "Postmaster-Subject: P\n\n"
                       "Hello $myhostname, ${mydomain}.\n\n"
                       "$delay_warning_time_hours $maximal_queue_lifetime_days "
                       "$maximal_queue_lifetime_hours\n"
                       "EOF\n"
                       "success_template=<<X\n\nyes\nX\n");

    (void)state;
    assert_string_equal(bs.templates[KIND_FAILURE].charset, "utf-8");
    assert_string_equal(bs.templates[KIND_FAILURE].from, "F <f@x.test>");
    assert_string_equal(bs.templates[KIND_FAILURE].subject, "S: t");
    assert_string_equal(bs.templates[KIND_FAILURE].postmaster_subject, "P");
    assert_string_equal(bounce_template_body(&bs, KIND_FAILURE, arena),
                        "Hello mx.x.test, x.test.\n\n4 5 120\n");
    assert_string_equal(bounce_template_body(&bs, KIND_SUCCESS, arena), "yes\n");
    check_built_in(&bs, KIND_DELAY);
    check_built_in(&bs, KIND_VERIFY);
    config_free((struct config *)bs.cfg);
}

static void test_odd_files(void **state)
{
    static const char *const texts[] = {
        "",
        "nonsense\n",
        "failure_template\n",
        "failure_template = text\n",
        "other_template = <<E\nSubject: x\n\nbody\nE\n",
        "= <<\n\n\n",
        "\xff\xfe\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct bounce_service bs = read_templates(texts[i]);

        for (int kind = 0; kind < KIND_COUNT; kind++)
            check_built_in(&bs, kind);
        config_free((struct config *)bs.cfg);
    }
}

static void test_file_without_end(void **state)
{
    struct bounce_service bs = read_templates(
        "delay_template = <<EOF\nSubject: x\nX-Other: y\n\nbody $$ and more\n");

    (void)state;
    assert_string_equal(bs.templates[KIND_DELAY].subject, "x");
    assert_string_equal(bounce_template_body(&bs, KIND_DELAY, arena),
                        "body $ and more\n");
    config_free((struct config *)bs.cfg);
}

static void test_built_in_bodies_expand(void **state)
{
    struct bounce_service bs = read_templates("");

    (void)state;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        const char *body = bounce_template_body(&bs, kind, arena);

        assert_non_null(strstr(body, "mx.x.test"));
        assert_null(strchr(body, '$'));
    }
    assert_non_null(strstr(bounce_template_body(&bs, KIND_DELAY, arena), "5 day(s)"));
    config_free((struct config *)bs.cfg);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return !mkdtemp(dir);
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_file),
                                       cmocka_unit_test(test_odd_files),
                                       cmocka_unit_test(test_file_without_end),
                                       cmocka_unit_test(test_built_in_bodies_expand)};

    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    return cmocka_run_group_tests(tests, setup, teardown);
}
