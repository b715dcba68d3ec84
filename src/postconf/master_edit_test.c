#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "postconf/postconf.h"

static const char master_cf[] = "# head\n"
                                "smtp   inet  n - y - - smtpd\n"
                                "  -o a=b\n"
                                "# between\n"
                                "smtp unix - - y - - smtp\n"
                                "    # inside\n"
                                "  -o { c = d e }\n";

static void check(char subject, char mode, const char *wanted, char **args)
{
    struct strbuf out = STRBUF_INIT;
    struct err err = {.text = ""};

    if (!master_edit_text(&out, SPAN_LIT(master_cf), "master.cf", subject, mode, args,
                          &err))
        fail_msg("%s", err.text);
    assert_string_equal(out.ptr, wanted);
    strbuf_free(&out);
}

static void refuse(char subject, char mode, char *arg)
{
    struct strbuf out = STRBUF_INIT;
    struct err err = {.text = ""};

    assert_false(master_edit_text(&out, SPAN_LIT(master_cf), "master.cf", subject, mode,
                                  (char *[]){arg, NULL}, &err));
    assert_true(err.text[0]);
    strbuf_free(&out);
}

static void entries_are_removed_and_commented_out(void **state)
{
    (void)state;
    check('M', 'X',
          "# head\n# between\nsmtp unix - - y - - smtp\n    # inside\n"
          "  -o { c = d e }\n",
          (char *[]){"smtp/inet", "nosuch/unix", NULL});
    check('M', '#',
          "# head\nsmtp   inet  n - y - - smtpd\n  -o a=b\n# between\n"
          "#smtp unix - - y - - smtp\n    # inside\n#  -o { c = d e }\n",
          (char *[]){"*/unix", NULL});
}

static void only_the_entries_meant_change(void **state)
{
    (void)state;
    check('F', 'e',
          "# head\nsmtp       inet  n       -       n       -       -       smtpd\n"
          "    -o a=b\n# between\nsmtp unix - - y - - smtp\n    # inside\n"
          "  -o { c = d e }\n",
          (char *[]){"smtp/inet/chroot = n", NULL});
    check('P', 'e',
          "# head\nsmtp   inet  n - y - - smtpd\n  -o a=b\n# between\n    # inside\n"
          "smtp       unix  -       -       y       -       -       smtp\n"
          "    -o {c=d e}\n    -o x=1\n",
          (char *[]){"smtp/unix/x=1", NULL});
    check('P', 'X',
          "# head\nsmtp       inet  n       -       y       -       -       smtpd\n"
          "# between\nsmtp unix - - y - - smtp\n    # inside\n  -o { c = d e }\n",
          (char *[]){"smtp/inet/a", NULL});
}

static void bad_requests_change_nothing(void **state)
{
    (void)state;
    refuse('M', 'e', "a/inet = a inet n - n -");
    refuse('M', 'X', "smtp");
    refuse('F', 'e', "smtp/inet/private=y");
    refuse('F', 'e', "smtp/inet/chroot=");
    refuse('F', 'e', "smtp/inet/nosuch=y");
    refuse('P', 'e', "smtp/inet/x=a b");
    refuse('P', 'X', "smtp/inet/*");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_removed_and_commented_out),
        cmocka_unit_test(only_the_entries_meant_change),
        cmocka_unit_test(bad_requests_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
