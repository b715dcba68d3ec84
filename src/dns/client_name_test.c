#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "dns/client_name.h"
#include "util/loop.h"

/* What this process sees as the system's name service: these take the place of the
 * C library's functions of the same name. */
static struct {
    int reverse_error, forward_error;
    const char *name, *addr;
    int calls;
} nss;

int getnameinfo(const struct sockaddr *sa UNUSED, socklen_t sa_len UNUSED, char *host,
                socklen_t host_len, char *serv UNUSED, socklen_t serv_len UNUSED,
                int flags UNUSED)
{
    nss.calls++;
    if (!nss.reverse_error)
        snprintf(host, host_len, "%s", nss.name);
    return nss.reverse_error;
}

int getaddrinfo(const char *restrict name UNUSED, const char *restrict service UNUSED,
                const struct addrinfo *restrict hints UNUSED,
                struct addrinfo **restrict list_out)
{
    struct {
        struct addrinfo info;
        struct net_addr addr;
    } * one;

    if (nss.forward_error)
        return nss.forward_error;
    one = calloc(1, sizeof *one);
    net_addr_parse(span_str(nss.addr), 0, &one->addr);
    one->info.ai_family = one->addr.sa.sa_family;
    one->info.ai_addr = &one->addr.sa;
    one->info.ai_addrlen = one->addr.len;
    *list_out = &one->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static struct client_name look_up(const char *addr)
{
    struct net_addr parsed;
    struct client_name result;

    assert_true(net_addr_parse(span_str(addr), 25, &parsed));
    client_name_lookup(&parsed, &result);
    return result;
}

static void world(int reverse_error, const char *name, int forward_error,
                  const char *addr)
{
    client_name_forget();
    memset(&nss, 0, sizeof nss);
    nss.reverse_error = reverse_error;
    nss.forward_error = forward_error;
    nss.name = name;
    nss.addr = addr;
}

static void assert_names(const struct client_name *result, const char *name,
                         enum client_name_status name_status, const char *reverse_name,
                         enum client_name_status reverse_status)
{
    assert_string_equal(result->name, name);
    assert_int_equal(result->name_status, name_status);
    assert_string_equal(result->reverse_name, reverse_name);
    assert_int_equal(result->reverse_name_status, reverse_status);
}

static void a_confirmed_name_is_used(void)
{
    struct client_name result;

    world(0, "mail.example", 0, "192.0.2.1");
    result = look_up("192.0.2.1");
    assert_names(&result, "mail.example", CLIENT_NAME_OK, "mail.example",
                 CLIENT_NAME_OK);
    assert_string_equal(result.warning, "");
    world(0, "mail.example", 0, "2001:db8::1");
    result = look_up("2001:db8::1");
    assert_names(&result, "mail.example", CLIENT_NAME_OK, "mail.example",
                 CLIENT_NAME_OK);
}

static void an_unconfirmed_name_is_not(void)
{
    struct client_name result;

    world(0, "bank.example", 0, "192.0.2.99");
    result = look_up("192.0.2.1");
    assert_names(&result, "unknown", CLIENT_NAME_FORGED, "bank.example",
                 CLIENT_NAME_OK);
    assert_string_equal(result.warning,
                        "hostname bank.example does not resolve to address 192.0.2.1");
    world(0, "gone.example", EAI_NONAME, NULL);
    result = look_up("192.0.2.1");
    assert_names(&result, "unknown", CLIENT_NAME_PERM, "gone.example", CLIENT_NAME_OK);
    assert_string_equal(result.warning,
                        "hostname gone.example does not resolve to address 192.0.2.1: "
                        "Name or service not known");
    world(0, "slow.example", EAI_AGAIN, NULL);
    result = look_up("192.0.2.1");
    assert_names(&result, "unknown", CLIENT_NAME_TEMP, "slow.example", CLIENT_NAME_OK);
}

static void an_address_without_a_valid_name_is_unknown(void)
{
    static const char *const bad[] = {"192.0.2.1", "a b.example", "x\n.example", "-a.b",
                                      ""};
    struct client_name result;

    world(EAI_NONAME, NULL, 0, NULL);
    result = look_up("192.0.2.1");
    assert_names(&result, "unknown", CLIENT_NAME_PERM, "unknown", CLIENT_NAME_PERM);
    assert_string_equal(result.warning, "");
    world(EAI_AGAIN, NULL, 0, NULL);
    result = look_up("192.0.2.1");
    assert_names(&result, "unknown", CLIENT_NAME_TEMP, "unknown", CLIENT_NAME_TEMP);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        world(0, bad[i], 0, "192.0.2.1");
        result = look_up("192.0.2.1");
        assert_names(&result, "unknown", CLIENT_NAME_PERM, "unknown", CLIENT_NAME_PERM);
    }
}

static void results_are_kept_but_not_temporary_failures(void)
{
    world(0, "mail.example", 0, "192.0.2.1");
    for (int i = 0; i < 5; i++)
        look_up("192.0.2.1");
    assert_int_equal(nss.calls, 1);
    world(EAI_AGAIN, NULL, 0, NULL);
    for (int i = 0; i < 5; i++)
        look_up("192.0.2.1");
    assert_int_equal(nss.calls, 5);
}

static void what_is_kept_is_bounded(void)
{
    char addr[32];

    world(0, "mail.example", 0, "192.0.2.1");
    for (int i = 0; i < 1100; i++) {
        snprintf(addr, sizeof addr, "192.0.%d.%d", i / 250, i % 250);
        look_up(addr);
    }
    assert_int_equal(nss.calls, 1100);
    look_up("192.0.4.99");
    assert_int_equal(nss.calls, 1100);
    look_up("192.0.0.0");
    assert_int_equal(nss.calls, 1101);
}

static void look_up_in_fiber(void *arg)
{
    struct client_name *result = arg;

    *result = look_up("192.0.2.1");
}

static void fibers_share_a_look_up(void)
{
    struct client_name results[20];

    world(0, "mail.example", 0, "192.0.2.1");
    for (size_t i = 0; i < ARRAY_LEN(results); i++)
        fiber_spawn("look up", look_up_in_fiber, &results[i]);
    while (fiber_count() > 1)
        fiber_sleep(1);
    for (size_t i = 0; i < ARRAY_LEN(results); i++)
        assert_string_equal(results[i].name, "mail.example");
    assert_int_equal(nss.calls, 1);
}

static void other_sockets_are_local(void)
{
    struct net_addr addr;
    struct client_name result;

    net_addr_unix("/tmp/x", &addr);
    client_name_lookup(&addr, &result);
    assert_names(&result, "localhost", CLIENT_NAME_OK, "localhost", CLIENT_NAME_OK);
}

typedef void test_fn(void);

static int test_main(void *arg)
{
    test_fn *const *test = arg;

    (*test)();
    client_name_forget();
    return 0;
}

static void in_fiber(void **state)
{
    fiber_main(test_main, *state);
}
#define TEST(fn)                                                                       \
    {                                                                                  \
#fn, in_fiber, NULL, NULL, &(test_fn *[1])                                     \
        {                                                                              \
            fn                                                                         \
        }                                                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_confirmed_name_is_used),
        TEST(an_unconfirmed_name_is_not),
        TEST(an_address_without_a_valid_name_is_unknown),
        TEST(results_are_kept_but_not_temporary_failures),
        TEST(what_is_kept_is_bounded),
        TEST(fibers_share_a_look_up),
        TEST(other_sockets_are_local),
    };

    loop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
