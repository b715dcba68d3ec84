#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postmap/content.h"
#include "util/strbuf.h"

static const char message[] = "From: a\n"
                              "X-Y : b\n"
                              " c\n"
                              "Content-Type: multipart/digest; boundary=\"q\\\"r\"\n"
                              "\n"
                              "--q\"r\n"
                              "\n"
                              "Subject: inner\n"
                              "\n"
                              "text\n"
                              "--q\"r--\n"
                              "--q\"r\n"
                              "No: header\n";

static void collect(void *arg, struct span text)
{
    strbuf_add_span(arg, text);
    strbuf_add_char(arg, '$');
}

static void check(const char *text, struct content_want want, const char *expect)
{
    struct strbuf found = STRBUF_INIT;

    content_scan(span_str(text), &want, collect, &found);
    assert_string_equal(found.ptr, expect);
    strbuf_free(&found);
}

static void headers_are_whole_fields(void **state UNUSED)
{
    check(message, (struct content_want){.headers = true},
          "From: a$X-Y: b\n c$Content-Type: multipart/digest; boundary=\"q\\\"r\"$");
    check("", (struct content_want){.headers = true}, "");
    check(" x\nA: b\n", (struct content_want){.headers = true}, "");
}

static void body_is_lines(void **state UNUSED)
{
    check("A: b\n\nc\n d\n", (struct content_want){.body = true}, "$c$ d$");
    check("A: b\nc\n", (struct content_want){.body = true}, "$c$");
    check("A: b", (struct content_want){.body = true}, "");
}

static void attached_messages_have_headers(void **state UNUSED)
{
    check(message, (struct content_want){.headers = true, .mime = true},
          "From: a$X-Y: b\n c$Content-Type: multipart/digest; boundary=\"q\\\"r\"$"
          "Subject: inner$");
    check(message, (struct content_want){.body = true, .mime = true},
          "$--q\"r$$$text$--q\"r--$--q\"r$No: header$");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_whole_fields),
        cmocka_unit_test(body_is_lines),
        cmocka_unit_test(attached_messages_have_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
