#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "util/net.h"

static void numeric_addresses_are_parsed_and_printed(void **state UNUSED)
{
    static const struct {
        const char *text, *host;
        int family;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", AF_INET},
        {"[192.0.2.1]", "192.0.2.1", AF_INET},
        {"2001:DB8::1", "2001:db8::1", AF_INET6},
        {"[2001:db8::1]", "2001:db8::1", AF_INET6},
        {"IPv6:2001:db8::1", "2001:db8::1", AF_INET6},
        {"[ipv6:::1]", "::1", AF_INET6},
    };
    static const char *const bad[] = {
        "",
        "[]",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1.",
        "example.com",
        "IPv6:192.0.2.1",
        "2001:db8::1::",
        "[192.0.2.1",
        "fe80::1%",
        "1",
        "192.0.2.1 ",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:"
        "0000",
    };
    struct net_addr addr;
    char host[NET_ADDR_STRLEN];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(net_addr_parse(span_str(rows[i].text), 25, &addr));
        assert_int_equal(addr.sa.sa_family, rows[i].family);
        assert_int_equal(net_addr_port(&addr), 25);
        net_addr_host(&addr, host);
        assert_string_equal(host, rows[i].host);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(net_addr_parse(span_str(bad[i]), 25, &addr));
    assert_false(net_addr_parse(span_of("127.0.0.1\0x", 11), 25, &addr));
}

static struct net_addr addr_of(const char *text)
{
    struct net_addr addr;

    assert_true(net_addr_parse(span_str(text), 0, &addr));
    return addr;
}

static void mapped_addresses_become_ipv4(void **state UNUSED)
{
    struct net_addr addr = addr_of("::ffff:192.0.2.7");
    struct net_addr v4 = addr_of("192.0.2.7");

    net_addr_set_port(&addr, 4711);
    assert_false(net_addr_equal_host(&addr, &v4));
    net_addr_unmap(&addr);
    assert_true(net_addr_equal_host(&addr, &v4));
    assert_int_equal(net_addr_port(&addr), 4711);
}

static void loopback_is_recognised(void **state UNUSED)
{
    struct net_addr yes[] = {addr_of("127.0.0.1"), addr_of("127.9.9.9"), addr_of("::1"),
                             addr_of("::ffff:127.0.0.1")};
    struct net_addr no[] = {addr_of("128.0.0.1"), addr_of("::2"), {.len = 0}};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_true(net_addr_is_loopback(&yes[i]));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_false(net_addr_is_loopback(&no[i]));
}

static void host_and_port_are_split(void **state UNUSED)
{
    static const struct {
        const char *text, *host, *port;
        bool ok;
    } rows[] = {
        {"mail.example:25", "mail.example", "25", true},
        {"mail.example", "mail.example", "", true},
        {"2525", "", "2525", true},
        {":smtp", "", "smtp", true},
        {"[2001:db8::1]:25", "[2001:db8::1]", "25", true},
        {"[mail.example]", "[mail.example]", "", true},
        {"[mail.example]x", "", "", false},
        {"[mail.example]:", "", "", false},
        {"[mail.example", "", "", false},
        {"2001:db8::1", "", "", false},
        {"mail.example:", "", "", false},
        {"", "", "", false},
    };
    struct span host, port;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool ok = net_split_hostport(span_str(rows[i].text), &host, &port);

        assert_int_equal(ok, rows[i].ok);
        if (ok) {
            assert_true(span_eq_str(host, rows[i].host));
            assert_true(span_eq_str(port, rows[i].port));
        }
    }
}

static void ports_are_numbers_or_service_names(void **state UNUSED)
{
    uint16_t port;

    assert_true(net_port_lookup(SPAN_LIT("65535"), &port));
    assert_int_equal(port, 65535);
    assert_false(net_port_lookup(SPAN_LIT("65536"), &port));
    assert_false(net_port_lookup(SPAN_LIT(""), &port));
    assert_false(net_port_lookup(SPAN_LIT("no-such-service"), &port));
    assert_true(net_port_lookup(SPAN_LIT("smtp"), &port));
    assert_int_equal(port, 25);
}

static void blocks_match_by_prefix(void **state UNUSED)
{
    static const struct {
        const char *block, *addr;
        bool match;
    } rows[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "::1", false},
        {"[2001:db8::]/33", "2001:db8:7fff::1", true},
        {"[2001:db8::]/33", "2001:db8:8000::1", false},
        {"2001:db8::/32", "2001:db8:8000::1", true},
        {"[::1]", "::1", true},
    };
    static const char *const bad[] = {
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2.0/",
        "192.0.2.0/-1",
        "2001:db8::/129",
        "[2001:db8::1]/64",
        "example.com/8",
        "/8",
        "",
        "fe80::1%lo/128",
    };
    struct net_block block;
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_addr addr = addr_of(rows[i].addr);

        assert_true(net_block_parse(span_str(rows[i].block), &block, &err));
        assert_int_equal(net_block_match(&block, &addr), rows[i].match);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(net_block_parse(span_str(bad[i]), &block, &err));
}

static void the_loopback_interface_is_listed(void **state UNUSED)
{
    struct net_interface *list;
    size_t count = net_interfaces(&list);
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        if (list[i].addr.sa.sa_family == AF_INET && net_addr_is_loopback(&list[i].addr))
            found = list[i].prefix_len == 8;
    }
    free(list);
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numeric_addresses_are_parsed_and_printed),
        cmocka_unit_test(mapped_addresses_become_ipv4),
        cmocka_unit_test(loopback_is_recognised),
        cmocka_unit_test(host_and_port_are_split),
        cmocka_unit_test(ports_are_numbers_or_service_names),
        cmocka_unit_test(blocks_match_by_prefix),
        cmocka_unit_test(the_loopback_interface_is_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
