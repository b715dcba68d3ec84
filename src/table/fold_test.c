#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "table/fold.h"

static struct strbuf buf;

static void check(const char *key, bool utf8, const char *expect)
{
    struct span folded = fold_key(span_str(key), utf8, &buf);

    if (!span_eq_str(folded, expect))
        fail_msg("%s: %.*s, not %s", key, SPAN_ARG(folded), expect);
}

static void ascii_letters_fold(void **state UNUSED)
{
    struct span plain = SPAN_LIT("user@example.com");

    check("User@EXAMPLE.com", false, "user@example.com");
    check("\xC3\x9C"
          "A\xFF",
          false,
          "\xC3\x9C"
          "a\xFF");
    check("", true, "");
    check("0123456Z", false, "0123456z");
    check("@[`{\x80\xC1z0", false, "@[`{\x80\xC1z0");
    check("0123456789Abcdefghi", false, "0123456789abcdefghi");
    check("aaaaaaaaaaaaaaaaaaaA", true, "aaaaaaaaaaaaaaaaaaaa");
    assert_ptr_equal(fold_key(plain, true, &buf).ptr, plain.ptr);
}

/* As the peer stores them. */
static void unicode_folds_in_full(void **state UNUSED)
{
    check("\xC3\x9C"
          "B",
          true,
          "\xC3\xBC"
          "b");
    check("Stra\xC3\x9F"
          "e",
          true, "strasse");
    check("\xE1\xBA\x9E", true, "ss");
    check("\xC4\xB0x", true, "i\xCC\x87x");
    check("\xCF\x82", true, "\xCF\x83");
    check("\xEF\xAC\x80", true, "ff");
    check("\xF0\x90\x90\x80", true, "\xF0\x90\x90\xA8");
    check("\xE1\xBE\x88", true, "\xE1\xBC\x80\xCE\xB9");
    check("A\xCC\x8A", true, "a\xCC\x8A"); /* nothing is composed */
}

static void broken_text_folds_as_ascii(void **state UNUSED)
{
    check("A\xC3\x9C\xFF", true, "a\xC3\x9C\xFF");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ascii_letters_fold),
        cmocka_unit_test(unicode_folds_in_full),
        cmocka_unit_test(broken_text_folds_as_ascii),
    };
    strbuf_init(&buf);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    strbuf_free(&buf);
    return failed;
}
