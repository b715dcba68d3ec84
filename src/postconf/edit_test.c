#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "postconf/postconf.h"
#include "util/strbuf.h"

static const char main_cf[] = "# head\n"
                              "myhostname = a.b\n"
                              "mydestination = x,\n"
                              "    y,\n"
                              "# inside\n"
                              "    z\n"
                              "#relayhost = old\n"
                              "\n"
                              "soft_bounce=no\n";

#define EDIT(mode, wanted, ...)                                                        \
    check_edit(main_cf, mode, wanted, (char *[]){__VA_ARGS__, NULL})

static void check_edit(const char *text, char mode, const char *wanted, char **args)
{
    struct strbuf out = STRBUF_INIT;
    struct err err = {.text = ""};

    if (!edit_text(&out, span_str(text), "main.cf", mode, args, &err))
        fail_msg("%s", err.text);
    assert_string_equal(out.ptr, wanted);
    strbuf_free(&out);
}

static void expect_error(char mode, char *arg, const char *wanted)
{
    struct strbuf out = STRBUF_INIT;
    struct err err = {.text = ""};

    assert_false(edit_text(&out, SPAN_LIT(main_cf), "main.cf", mode,
                           (char *[]){arg, NULL}, &err));
    assert_non_null(strstr(err.text, wanted));
    strbuf_free(&out);
}

static void settings_change_in_place(void **state)
{
    (void)state;
    EDIT('e',
         "# head\nmyhostname = a.b\nmydestination = new  one\n# inside\n"
         "#relayhost = old\n\nsoft_bounce=no\n",
         "mydestination=  new  one ");
    EDIT('e',
         "# head\nmyhostname = \nmydestination = x,\n    y,\n# inside\n    z\n"
         "#relayhost = old\n\nsoft_bounce=no\nrelayhost = h\n",
         "relayhost = h", "myhostname =");
}

static void the_last_edit_of_a_name_counts(void **state)
{
    (void)state;
    check_edit("a = 1\n", 'e', "a = 3\nb = 5\n",
               (char *[]){"a=2", "b=4", "a=3", "b=5", NULL});
}

static void settings_are_removed(void **state)
{
    (void)state;
    EDIT('X', "# head\nmyhostname = a.b\n# inside\n#relayhost = old\n\n",
         "mydestination", "soft_bounce", "nosuch");
}

static void settings_become_comments(void **state)
{
    (void)state;
    EDIT('#',
         "# head\nmyhostname = a.b\n#mydestination = x,\n#    y,\n# inside\n#    z\n"
         "#relayhost = old\n\nsoft_bounce=no\n",
         "mydestination");
}

static void every_entry_of_a_name_is_meant(void **state)
{
    (void)state;
    check_edit("a = 1\nb = 2\na = 3\n  4\n\n  5\nlast = 9", 'e',
               "a = 7\nb = 2\na = 7\n\nlast = 9\n", (char *[]){"a=7", NULL});
}

static void bad_requests_change_nothing(void **state)
{
    (void)state;
    expect_error('e', "foo", "missing '=' after attribute name: \"foo\"");
    expect_error('e', "=x", "missing attribute name: \"=x\"");
    expect_error('e', "a b = c", "missing '=' after attribute name");
    expect_error('e', "a = b\nc = d", "no multi-line input");
    expect_error('e', " #a = b", "no comment input");
    expect_error('X', "a=b", "without value");
    expect_error('#', "a b", "without value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_change_in_place),
        cmocka_unit_test(the_last_edit_of_a_name_counts),
        cmocka_unit_test(settings_are_removed),
        cmocka_unit_test(settings_become_comments),
        cmocka_unit_test(every_entry_of_a_name_is_meant),
        cmocka_unit_test(bad_requests_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
