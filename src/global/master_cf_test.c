#include "global/master_cf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct master_cf *parse(const char *text)
{
    struct err err;
    struct master_cf *mcf = master_cf_parse(NULL, "master.cf", span_str(text), &err);

    if (!mcf)
        fail_msg("%s", err.text);
    return mcf;
}

static void expect_error(const char *text, const char *wanted)
{
    struct err err;
    struct master_cf *mcf = master_cf_parse(NULL, "master.cf", span_str(text), &err);

    if (mcf)
        fail_msg("%s: accepted", text);
    if (!strstr(err.text, wanted))
        fail_msg("%s: got \"%s\", not \"%s\"", text, err.text, wanted);
}

static void fields_and_defaults(void **state)
{
    struct master_cf *mcf = parse("# comment\n"
                                  "smtp inet n - n - 200 smtpd\n"
                                  "\n"
                                  "tlsmgr unix - - y 1000? 1 tlsmgr\n"
                                  "local unix - n n 60 - local\n");

    (void)state;
    assert_int_equal(mcf->count, 3);
    assert_string_equal(mcf->entries[0].name, "smtp");
    assert_int_equal(mcf->entries[0].type, SERVICE_INET);
    assert_false(mcf->entries[0].is_private);
    assert_true(mcf->entries[0].unprivileged);
    assert_false(mcf->entries[0].chroot);
    assert_int_equal(mcf->entries[0].process_limit, 200);
    assert_int_equal(mcf->entries[0].line, 2);
    assert_int_equal(mcf->entries[0].argc, 0);
    assert_null(mcf->entries[0].argv[0]);
    assert_true(mcf->entries[1].is_private);
    assert_true(mcf->entries[1].chroot);
    assert_int_equal(mcf->entries[1].wakeup_s, 1000);
    assert_true(mcf->entries[1].wakeup_if_used);
    assert_false(mcf->entries[2].unprivileged);
    assert_int_equal(mcf->entries[2].wakeup_s, 60);
    assert_false(mcf->entries[2].wakeup_if_used);
    assert_int_equal(mcf->entries[2].process_limit, 100);
    assert_string_equal(mcf->entries[2].command, "local");
    master_cf_free(mcf);
}

static void arguments_with_braces(void **state)
{
    struct master_cf *mcf = parse("x unix - n n - - pipe\n"
                                  "  -o { a = b  c } -o d=e -v\n"
                                  "# in between\n"
                                  "  flags=R argv=/bin/x { two words } ${nexthop}\n");
    const char *const wanted[] = {"-o",          "a=b  c",    "-o",
                                  "d=e",         "-v",        "flags=R",
                                  "argv=/bin/x", "two words", "${nexthop}"};

    (void)state;
    assert_int_equal(mcf->entries[0].argc, ARRAY_LEN(wanted));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        assert_string_equal(mcf->entries[0].argv[i], wanted[i]);
    assert_null(mcf->entries[0].argv[ARRAY_LEN(wanted)]);
    master_cf_free(mcf);
}

static void the_last_duplicate_wins(void **state)
{
    struct master_cf *mcf = parse("a unix - - n - - one\n"
                                  "b unix - - n - - two\n"
                                  "a inet n - n - - three\n"
                                  "a unix - - n - - four\n");

    (void)state;
    assert_int_equal(mcf->count, 3);
    assert_string_equal(mcf->entries[0].command, "four");
    assert_int_equal(mcf->entries[0].line, 4);
    assert_string_equal(mcf->entries[2].command, "three");
    master_cf_free(mcf);
}

static void errors_name_line_and_field(void **state)
{
    (void)state;
    expect_error("a unix - - n - -\n", "line 1: bad field count");
    expect_error("\n\na foo - - n - - x\n", "line 3: invalid type field \"foo\"");
    expect_error("a unix x - n - - x\n", "invalid private field \"x\"");
    expect_error("a unix - Y n - - x\n", "invalid unprivileged field \"Y\"");
    expect_error("a unix - - no - - x\n", "invalid chroot field \"no\"");
    expect_error("a unix - - n -5 - x\n", "invalid wakeup field \"-5\"");
    expect_error("a unix - - n ? - x\n", "invalid wakeup field \"?\"");
    expect_error("a unix - - n 99999999999 - x\n", "invalid wakeup field");
    expect_error("a unix - - n - -3 x\n", "invalid process_limit field \"-3\"");
    expect_error("a unix - - n - - ../x\n", "invalid command field \"../x\"");
    expect_error("../a unix - - n - - x\n", "invalid service field \"../a\"");
    expect_error("a inet y - n - - x\n", "an inet service cannot be private");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_and_defaults),
        cmocka_unit_test(arguments_with_braces),
        cmocka_unit_test(the_last_duplicate_wins),
        cmocka_unit_test(errors_name_line_and_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
