#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/net.h"

static struct net_addr loopback(uint16_t port)
{
    struct net_addr addr;

    net_addr_parse(SPAN_LIT("127.0.0.1"), port, &addr);
    return addr;
}

static struct net_addr bound_addr(int fd)
{
    struct net_addr addr = {.len = sizeof addr.ss};

    getsockname(fd, &addr.sa, &addr.len);
    return addr;
}

static int listen_somewhere(struct net_addr *addr_out)
{
    struct net_addr any = loopback(0);
    struct err err;
    int fd = net_listen(&any, 5, &err);

    assert_true(fd >= 0);
    *addr_out = bound_addr(fd);
    return fd;
}

static void a_connection_is_made(void)
{
    struct net_addr addr, from = loopback(0), peer = {.len = sizeof peer.ss};
    int server = listen_somewhere(&addr), fd, accepted;

    net_addr_parse(SPAN_LIT("127.0.0.9"), 0, &from);
    assert_int_equal(net_connect(&addr, &from, loop_deadline(1000), &fd),
                     NET_CONNECTED);
    accepted = accept(server, &peer.sa, &peer.len);
    assert_true(accepted >= 0);
    assert_true(net_addr_equal_host(&peer, &from));
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    close(accepted);
    close(server);
}

static void a_closed_port_is_refused(void)
{
    struct net_addr addr;
    int fd = listen_somewhere(&addr);

    close(fd);
    assert_int_equal(net_connect(&addr, NULL, loop_deadline(1000), &fd), NET_FAILED);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(fd, -1);
}

/* A full backlog leaves further connections unanswered. */
static void silence_times_out(void)
{
    struct net_addr any = loopback(0), addr;
    struct err err;
    int server = net_listen(&any, 0, &err), fds[8];
    enum net_connect result = NET_CONNECTED;
    size_t count = 0;

    addr = bound_addr(server);
    while (count < ARRAY_LEN(fds) && result == NET_CONNECTED)
        result = net_connect(&addr, NULL, loop_now() + 50, &fds[count++]);
    assert_int_equal(result, NET_TIMEOUT);
    while (count > 1)
        close(fds[--count - 1]);
    close(server);
}

static void connect_fiber(void *arg)
{
    struct net_addr *addr = arg;
    int fd;

    addr->len = (socklen_t)net_connect(addr, NULL, LOOP_NEVER, &fd);
    if (fd >= 0)
        close(fd);
}

static void connecting_can_be_cancelled(void)
{
    struct net_addr any = loopback(0), addrs[6];
    struct err err;
    int server = net_listen(&any, 0, &err);
    struct fiber *fibers[6];

    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        addrs[i] = bound_addr(server);
        fibers[i] = fiber_spawn("connect", connect_fiber, &addrs[i]);
    }
    fiber_sleep(30);
    assert_true(fiber_count() > 1);
    fiber_cancel(fibers[5]);
    fiber_sleep(1);
    assert_int_equal(addrs[5].len, NET_CANCELLED);
    fiber_cancel_all();
    close(server);
    while (fiber_count() > 1)
        fiber_sleep(1);
}

static const char *socket_path(void)
{
    static char path[64];

    snprintf(path, sizeof path, "/tmp/net_connect_test.%d", (int)getpid());
    return path;
}

static void a_missing_unix_socket_fails_at_once(void)
{
    char longer[200];
    int fd;

    assert_int_equal(net_connect_unix("/tmp/no-such-socket", LOOP_NEVER, &fd),
                     NET_FAILED);
    assert_int_equal(errno, ENOENT);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(net_connect_unix(longer, LOOP_NEVER, &fd), NET_FAILED);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(net_connect_unix_blocking("/tmp/no-such-socket", 1), -1);
}

static void accept_later(void *arg)
{
    int server = *(int *)arg, fd;

    fiber_sleep(40);
    while ((fd = accept(server, NULL, NULL)) >= 0)
        close(fd);
}

static void a_full_unix_backlog_is_waited_out(void)
{
    struct err err;
    int server = net_listen_unix(socket_path(), 0600, SOCK_STREAM, &err), fds[6];
    enum net_connect result = NET_CONNECTED;
    size_t count = 0;

    assert_true(server >= 0);
    listen(server, 1);
    while (count < ARRAY_LEN(fds) && result == NET_CONNECTED)
        result = net_connect_unix(socket_path(), loop_now() + 20, &fds[count++]);
    assert_int_equal(result, NET_TIMEOUT);
    fiber_spawn("accept", accept_later, &server);
    result = net_connect_unix(socket_path(), loop_now() + 2000, &fds[count - 1]);
    assert_int_equal(result, NET_CONNECTED);
    while (count > 0)
        close(fds[--count]);
    while (fiber_count() > 1)
        fiber_sleep(1);
    close(server);
    unlink(socket_path());
}

static void a_taken_port_is_an_error_with_its_name(void)
{
    struct net_addr addr;
    struct err err;
    int fd = listen_somewhere(&addr);

    assert_int_equal(net_listen(&addr, 5, &err), -1);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    assert_non_null(strstr(err.text, strerror(EADDRINUSE)));
    close(fd);
}

static void names_are_resolved(void)
{
    struct net_addr *list;
    size_t count;

    assert_int_equal(net_name_to_addrs("localhost", AF_INET, &list, &count), 0);
    assert_int_equal(count, 1);
    assert_true(net_addr_is_loopback(&list[0]));
    free(list);
    assert_int_not_equal(net_name_to_addrs("no such name", AF_INET, &list, &count), 0);
    assert_int_equal(count, 0);
    assert_null(list);
}

typedef void test_fn(void);

static int test_main(void *arg)
{
    test_fn *const *test = arg;

    (*test)();
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
        TEST(a_connection_is_made),
        TEST(a_closed_port_is_refused),
        TEST(silence_times_out),
        TEST(connecting_can_be_cancelled),
        TEST(a_missing_unix_socket_fails_at_once),
        TEST(a_full_unix_backlog_is_waited_out),
        TEST(a_taken_port_is_an_error_with_its_name),
        TEST(names_are_resolved),
    };

    loop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
