#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dns/dns_name.h"

static void host_names_are_checked(void **state UNUSED)
{
    static const struct {
        const char *name;
        enum dns_name_check check;
    } rows[] = {
        {"example.com", DNS_NAME_OK},
        {"localhost", DNS_NAME_OK},
        {"3com.example", DNS_NAME_OK},
        {"_25._tcp.mx-1.example", DNS_NAME_OK},
        {"xn--bcher-kva.example", DNS_NAME_OK},
        {"", DNS_NAME_EMPTY},
        {".", DNS_NAME_BAD_LABEL},
        {"example.com.", DNS_NAME_BAD_LABEL},
        {".example.com", DNS_NAME_BAD_LABEL},
        {"a..b", DNS_NAME_BAD_LABEL},
        {"-a.example", DNS_NAME_BAD_LABEL},
        {"a-.example", DNS_NAME_BAD_LABEL},
        {"a b.example", DNS_NAME_BAD_CHARACTER},
        {"a+b.example", DNS_NAME_BAD_CHARACTER},
        {"b\xc3\xbc.example", DNS_NAME_BAD_CHARACTER},
        {"192.0.2.1", DNS_NAME_NUMERIC},
        {"12345", DNS_NAME_NUMERIC},
        {"192.0.2.1a", DNS_NAME_OK},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(dns_hostname_check(span_str(rows[i].name)), rows[i].check);
    assert_int_equal(dns_hostname_check(span_of("a\0b", 3)), DNS_NAME_BAD_CHARACTER);
    assert_true(dns_domain_valid(SPAN_LIT("1.2.0.192")));
    assert_false(dns_domain_valid(SPAN_LIT("1..2")));
}

static void lengths_are_bounded(void **state UNUSED)
{
    char name[256];

    memset(name, 'a', sizeof name);
    assert_true(dns_hostname_valid(span_of(name, 63)));
    assert_false(dns_hostname_valid(span_of(name, 64)));
    for (size_t i = 50; i < sizeof name; i += 50)
        name[i] = '.';
    assert_true(dns_hostname_valid(span_of(name, DNS_NAME_MAX)));
    assert_int_equal(dns_hostname_check(span_of(name, DNS_NAME_MAX + 1)),
                     DNS_NAME_TOO_LONG);
}

static void address_literals_are_checked(void **state UNUSED)
{
    assert_true(dns_ipv4_valid(SPAN_LIT("192.0.2.1")));
    assert_false(dns_ipv4_valid(SPAN_LIT("192.0.2")));
    assert_false(dns_ipv4_valid(SPAN_LIT("192.0.2.256")));
    assert_false(dns_ipv4_valid(SPAN_LIT("192.0.2.01")));
    assert_false(dns_ipv4_valid(SPAN_EMPTY));
    assert_true(dns_ipv6_valid(SPAN_LIT("2001:db8::1")));
    assert_true(dns_ipv6_valid(SPAN_LIT("::ffff:192.0.2.1")));
    assert_false(dns_ipv6_valid(SPAN_LIT("2001:db8::1::")));
    assert_false(dns_ipv6_valid(SPAN_LIT("fe80::1%eth0")));
    assert_false(dns_ipv6_valid(SPAN_LIT("IPv6:::1")));
    assert_true(dns_literal_valid(SPAN_LIT("[192.0.2.1]")));
    assert_true(dns_literal_valid(SPAN_LIT("[ipv6:2001:db8::1]")));
    assert_false(dns_literal_valid(SPAN_LIT("[2001:db8::1]")));
    assert_false(dns_literal_valid(SPAN_LIT("192.0.2.1")));
    assert_false(dns_literal_valid(SPAN_LIT("[]")));
    assert_false(dns_literal_valid(SPAN_LIT("[")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_names_are_checked),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(address_literals_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
