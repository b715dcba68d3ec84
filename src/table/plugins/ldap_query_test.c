#include "table/plugins/ldap_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* Its includes come first. */
#include <cmocka.h>

static void expect(bool (*quote)(void *, struct strbuf *, struct span),
                   struct span text, const char *quoted)
{
    struct strbuf out = STRBUF_INIT;

    assert_true(quote(NULL, &out, text));
    assert_string_equal(out.ptr ? out.ptr : "", quoted);
    strbuf_free(&out);
}

/* RFC 4515, section 3. */
static void test_filter(void **state UNUSED)
{
    expect(ldap_quote_filter, SPAN_LIT("alice@x.test"), "alice@x.test");
    expect(ldap_quote_filter, SPAN_LIT("*)(uid=*"), "\\2a\\29\\28uid=\\2a");
    expect(ldap_quote_filter, SPAN_LIT("\\2a"), "\\5c2a");
    expect(ldap_quote_filter, SPAN_LIT("a\0b\n"), "a\\00b\\0a");
    expect(ldap_quote_filter, SPAN_LIT("&|!=~<>,+\" #"), "&|!=~<>,+\" #");
    expect(ldap_quote_filter, SPAN_LIT("\303\251"), "\303\251");
    expect(ldap_quote_filter, SPAN_EMPTY, "");
}

/* RFC 4514, section 2.4. */
static void test_dn(void **state UNUSED)
{
    expect(ldap_quote_dn, SPAN_LIT("example.com"), "example.com");
    expect(ldap_quote_dn, SPAN_LIT("x,dc=y"), "x\\2cdc\\3dy");
    expect(ldap_quote_dn, SPAN_LIT("a+b;c<d>e\"f\\g"),
           "a\\2bb\\3bc\\3cd\\3ee\\22f\\5cg");
    expect(ldap_quote_dn, SPAN_LIT("#a#"), "\\23a#");
    expect(ldap_quote_dn, SPAN_LIT(" a b "), "\\20a b\\20");
    expect(ldap_quote_dn, SPAN_LIT(" "), "\\20");
    expect(ldap_quote_dn, SPAN_LIT("\0"), "\\00");
    expect(ldap_quote_dn, SPAN_LIT("\303\251*()"), "\303\251*()");
}

/* The library takes it apart again. */
static void test_dn_comes_back(void **state UNUSED)
{
    char text[3] = {0};
    LDAPDN dn;

    for (int c = 0; c < 0x80 * 4; c++) {
        text[0] = (char)(c % 0x80);
        text[1] = " #,x"[c / 0x80];
        struct strbuf out = STRBUF_INIT;
        strbuf_add_str(&out, "cn=");
        ldap_quote_dn(NULL, &out, span_of(text, 2));
        strbuf_add_str(&out, ",dc=test");
        assert_int_equal(ldap_str2dn(out.ptr, &dn, LDAP_DN_FORMAT_LDAPV3),
                         LDAP_SUCCESS);
        assert_non_null(dn[1]);
        assert_null(dn[2]);
        assert_null(dn[0][1]);
        assert_int_equal(dn[0][0]->la_value.bv_len, 2);
        assert_memory_equal(dn[0][0]->la_value.bv_val, text, 2);
        ldap_dnfree(dn);
        strbuf_free(&out);
    }
}

static void expect_uri(const char *server, const char *uri)
{
    struct strbuf out = STRBUF_INIT;

    assert_int_equal(ldap_server_uri(span_str(server), 389, &out), uri != NULL);
    if (uri)
        assert_string_equal(out.ptr, uri);
    else
        assert_int_equal(out.len, 0);
    strbuf_free(&out);
}

static void test_servers(void **state UNUSED)
{
    expect_uri("ldap.example.com", "ldap://ldap.example.com:389");
    expect_uri("ldap.example.com:1389", "ldap://ldap.example.com:1389");
    expect_uri("192.0.2.1", "ldap://192.0.2.1:389");
    expect_uri("[2001:db8::1]", "ldap://[2001:db8::1]:389");
    expect_uri("[2001:db8::1]:1389", "ldap://[2001:db8::1]:1389");
    expect_uri("2001:db8::1", "ldap://[2001:db8::1]:389");
    expect_uri("ldaps://a.test/", "ldaps://a.test/");
    expect_uri("LDAP://a.test:3389", "LDAP://a.test:3389");
    expect_uri("ldapi://%2Frun%2Fldapi", "ldapi://%2Frun%2Fldapi");
    static const char *const bad[] = {
        "",       ":",        ":389", "a:",   "a:0", "a:65536",   "a:-1",      "a:b",
        "a:389x", "http://a", "a/b",  "a?b",  "a b", "a@b",       "[::1",      "[::1]x",
        "[::1]:", "::1]",     "[]",   "a[b]", "a%b", "[::1]:1:1", "[a]b]:389", "ldap:a",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_uri(bad[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_dn),
        cmocka_unit_test(test_dn_comes_back),
        cmocka_unit_test(test_servers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
