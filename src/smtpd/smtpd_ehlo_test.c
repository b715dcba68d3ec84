#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "smtpd/smtpd_ehlo.h"

static void check_names(unsigned mask, const char *expected)
{
    struct strbuf out = STRBUF_INIT;

    smtpd_ehlo_names(mask, &out);
    assert_string_equal(out.ptr, expected);
    strbuf_free(&out);
}

static void names_become_bits_in_any_case_and_order(void **state)
{
    (void)state;
    assert_int_equal(smtpd_ehlo_parse("size, ETRN\t8bitMIME", "test"),
                     SMTPD_EHLO_SIZE | SMTPD_EHLO_ETRN | SMTPD_EHLO_8BITMIME);
    assert_int_equal(smtpd_ehlo_parse("", "test"), 0);
    assert_int_equal(smtpd_ehlo_parse("silent-discard,xverp", "test"),
                     SMTPD_EHLO_SILENT | SMTPD_EHLO_XVERP);
}

static void unknown_names_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(smtpd_ehlo_parse("frob size", "test"), SMTPD_EHLO_SIZE);
}

static void bits_become_names(void **state)
{
    (void)state;
    check_names(0, "");
    check_names(SMTPD_EHLO_SIZE | SMTPD_EHLO_ETRN | SMTPD_EHLO_SILENT, "ETRN SIZE");
    check_names(SMTPD_EHLO_XVERP | SMTPD_EHLO_8BITMIME, "8BITMIME XVERP");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_bits_in_any_case_and_order),
        cmocka_unit_test(unknown_names_are_ignored),
        cmocka_unit_test(bits_become_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
