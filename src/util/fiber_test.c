#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/fiber.h"
#include "util/fiber_internal.h"

#define SMALL_STACK (16 * 1024)

static char trace[256];

static void note(char c)
{
    size_t len = strlen(trace);

    assert_true(len + 1 < sizeof trace);
    trace[len] = c;
    trace[len + 1] = '\0';
}

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* Until only the test's own fiber is left. */
static void wait_for_others(void)
{
    while (fiber_count() > 1)
        fiber_sleep(1);
}

/* Each test runs in a fiber. */
static int run_body(void *arg)
{
    void (*body)(void);

    memcpy(&body, arg, sizeof body);
    body();
    return (int)fiber_count();
}

static void in_fiber(void (*body)(void))
{
    trace[0] = '\0';
    assert_int_equal(fiber_main(run_body, &body), 1);
}

/* -- order -- */

static void yielding(void *arg)
{
    for (int i = 0; i < 3; i++) {
        note(*(const char *)arg);
        assert_int_equal(fiber_yield(), WAIT_READY);
    }
}

static void body_yield_alternates(void)
{
    fiber_spawn("a", yielding, "a");
    fiber_spawn("b", yielding, "b");
    assert_string_equal(trace, ""); /* spawning does not switch */
    wait_for_others();
    assert_string_equal(trace, "ababab");
}

static void sleeper(void *arg)
{
    const char *what = arg;

    assert_int_equal(fiber_sleep((what[0] - '0') * 8), WAIT_READY);
    note(what[0]);
}

static void body_sleep_orders(void)
{
    int64_t start = loop_now_exact();

    fiber_spawn("3", sleeper, "3");
    fiber_spawn("1", sleeper, "1");
    fiber_spawn("2", sleeper, "2");
    fiber_spawn("0", sleeper, "0");
    wait_for_others();
    assert_string_equal(trace, "0123");
    assert_in_range(loop_now_exact() - start, 24, 3000);
}

static void body_names(void)
{
    assert_string_equal(fiber_name(fiber_self()), "main");
    fiber_set_name("other");
    assert_string_equal(fiber_name(fiber_self()), "other");
    assert_false(fiber_cancelled());
}

/* -- park and wake -- */

static void parker(void *arg)
{
    (void)arg;
    assert_int_equal(fiber_park(LOOP_NEVER), WAIT_READY);
    note('1');
    assert_int_equal(fiber_park(loop_deadline(10)), WAIT_TIMEOUT);
    note('2');
}

static void body_wake_is_remembered_once(void)
{
    struct fiber *fiber = fiber_spawn("parker", parker, NULL);

    fiber_wake(fiber); /* before it first runs */
    fiber_wake(fiber);
    wait_for_others();
    assert_string_equal(trace, "12");
}

static void body_park_wakes(void)
{
    struct fiber *fiber = fiber_spawn("parker", parker, NULL);

    fiber_sleep(5);
    assert_string_equal(trace, "");
    fiber_wake(fiber);
    assert_string_equal(trace, ""); /* waking does not switch */
    fiber_yield();
    assert_string_equal(trace, "1");
    wait_for_others();
}

static void body_deadlines(void)
{
    struct evfd ev;
    int fds[2];
    struct fiber_queue queue;
    int64_t start = loop_now_exact();

    make_pair(fds);
    evfd_init(&ev, fds[0]);
    fiber_queue_init(&queue);
    assert_int_equal(fiber_park(start - 1), WAIT_TIMEOUT);
    assert_int_equal(fiber_wait_readable(&ev, start - 1), WAIT_TIMEOUT);
    assert_int_equal(fiber_queue_wait(&queue, start - 1), WAIT_TIMEOUT);
    assert_int_equal(fiber_park(start + 30), WAIT_TIMEOUT);
    assert_in_range(loop_now_exact() - start, 30, 3000);
    start = loop_now_exact();
    /* A later wait with an earlier deadline, with the timer still armed. */
    fiber_wake(fiber_self());
    assert_int_equal(fiber_park(loop_deadline(100000)), WAIT_READY);
    assert_int_equal(fiber_wait_readable(&ev, loop_deadline(20)), WAIT_TIMEOUT);
    assert_int_equal(fiber_queue_wait(&queue, loop_deadline(20)), WAIT_TIMEOUT);
    assert_in_range(loop_now_exact() - start, 40, 3000);
    assert_true(list_empty(&queue.waiters));
    evfd_forget(&ev);
    close(fds[0]);
    close(fds[1]);
}

/* The timer of an ended wait must not end a later one. */
static void body_stale_timer(void)
{
    struct fiber *self = fiber_self();
    int64_t start = loop_now_exact();
    struct evfd ev;
    int fds[2];

    make_pair(fds);
    evfd_init(&ev, fds[0]);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(fiber_wait_readable(&ev, loop_deadline(15)), WAIT_READY);
    assert_int_equal(fiber_park(loop_deadline(60)), WAIT_TIMEOUT);
    assert_in_range(loop_now_exact() - start, 60, 3000);
    fiber_wake(self);
    assert_int_equal(fiber_park(LOOP_NEVER), WAIT_READY);
    evfd_forget(&ev);
    close(fds[0]);
    close(fds[1]);
}

/* -- queues -- */

static struct fiber_queue line;

static void queuer(void *arg)
{
    const char *what = arg;
    int64_t deadline = what[1] ? loop_deadline(5) : LOOP_NEVER;

    switch (fiber_queue_wait(&line, deadline)) {
    case WAIT_READY:
        note(what[0]);
        break;
    case WAIT_TIMEOUT:
        note('T');
        break;
    case WAIT_CANCELLED:
        note('C');
        break;
    }
}

static void body_queue_is_fair(void)
{
    struct fiber *cancelled;

    fiber_queue_init(&line);
    fiber_spawn("a", queuer, "a");
    fiber_spawn("t", queuer, "t!"); /* leaves the line by its deadline */
    cancelled = fiber_spawn("c", queuer, "c");
    fiber_spawn("b", queuer, "b");
    fiber_spawn("d", queuer, "d");
    fiber_spawn("e", queuer, "e");
    fiber_sleep(10);
    assert_string_equal(trace, "T");
    fiber_cancel(cancelled);
    fiber_yield();
    fiber_queue_wake_one(&line);
    fiber_queue_wake_one(&line);
    fiber_yield();
    assert_string_equal(trace, "TCab");
    fiber_queue_wake_all(&line);
    fiber_queue_wake_one(&line); /* nobody left: no-op, not remembered */
    wait_for_others();
    assert_string_equal(trace, "TCabde");
}

static void body_wake_is_not_lost_by_cancel(void)
{
    struct fiber *first;

    fiber_queue_init(&line);
    first = fiber_spawn("a", queuer, "a");
    fiber_yield();
    fiber_queue_wake_one(&line);
    fiber_cancel(first); /* it was served already */
    wait_for_others();
    assert_string_equal(trace, "a");
}

/* -- cancellation -- */

static int pair_a[2];
static struct evfd ev_a;

static enum wait_result wait_in(char how)
{
    switch (how) {
    case 'r':
        return fiber_wait_readable(&ev_a, LOOP_NEVER);
    case 'w':
        return fiber_wait_writable(&ev_a, LOOP_NEVER);
    case 's':
        return fiber_sleep(100000);
    case 'p':
        return fiber_park(LOOP_NEVER);
    case 'q':
        return fiber_queue_wait(&line, LOOP_NEVER);
    default:
        return fiber_yield();
    }
}

static void cancellee(void *arg)
{
    if (wait_in(*(const char *)arg) == WAIT_CANCELLED && fiber_cancelled())
        note(*(const char *)arg);
    for (const char *how = "rwspqy"; *how; how++)
        assert_int_equal(wait_in(*how), WAIT_CANCELLED);
}

static void fill_pipe(int fd)
{
    static const char block[4096];

    while (write(fd, block, sizeof block) > 0)
        ;
}

static void body_cancel_in_every_wait(void)
{
    static const char *const hows[] = {"r", "w", "s", "p", "q"};

    make_pair(pair_a);
    fill_pipe(pair_a[0]);
    evfd_init(&ev_a, pair_a[0]);
    fiber_queue_init(&line);
    for (size_t i = 0; i < ARRAY_LEN(hows); i++) {
        struct fiber *fiber = fiber_spawn("cancellee", cancellee, (void *)hows[i]);

        fiber_sleep(2);
        fiber_cancel(fiber);
        fiber_cancel(fiber);
        wait_for_others();
        assert_null(ev_a.reader);
        assert_null(ev_a.writer);
        assert_true(list_empty(&line.waiters));
    }
    assert_string_equal(trace, "rwspq");
    fiber_cancel(fiber_spawn("early", cancellee, "y")); /* before it first runs */
    wait_for_others();
    assert_string_equal(trace, "rwspqy");
    evfd_forget(&ev_a);
    close(pair_a[0]);
    close(pair_a[1]);
}

static void body_cancel_all_spares_the_caller(void)
{
    fiber_queue_init(&line);
    for (int i = 0; i < 5; i++)
        fiber_spawn("q", queuer, "q");
    fiber_yield();
    fiber_cancel_all();
    wait_for_others();
    assert_string_equal(trace, "CCCCC");
    assert_false(fiber_cancelled());
    assert_int_equal(fiber_yield(), WAIT_READY);
}

/* -- descriptors -- */

static void reader(void *arg)
{
    (void)arg;
    note(fiber_wait_readable(&ev_a, LOOP_NEVER) == WAIT_READY ? 'r' : 'C');
}

static void writer(void *arg)
{
    (void)arg;
    note(fiber_wait_writable(&ev_a, LOOP_NEVER) == WAIT_READY ? 'w' : 'C');
}

static void body_one_fiber_each_direction(void)
{
    char block[4096];

    make_pair(pair_a);
    fill_pipe(pair_a[0]);
    evfd_init(&ev_a, pair_a[0]);
    fiber_spawn("reader", reader, NULL);
    fiber_spawn("writer", writer, NULL);
    fiber_sleep(5);
    assert_string_equal(trace, "");
    assert_int_equal(write(pair_a[1], "x", 1), 1);
    fiber_sleep(5);
    assert_string_equal(trace, "r");
    while (read(pair_a[1], block, sizeof block) > 0)
        ;
    wait_for_others();
    assert_string_equal(trace, "rw");
    evfd_forget(&ev_a);
    close(pair_a[0]);
    close(pair_a[1]);
}

static void body_forget_ends_waits(void)
{
    make_pair(pair_a);
    fill_pipe(pair_a[0]);
    evfd_init(&ev_a, pair_a[0]);
    fiber_spawn("reader", reader, NULL);
    fiber_spawn("writer", writer, NULL);
    fiber_sleep(2);
    evfd_forget(&ev_a);
    close(pair_a[0]);
    memset(&ev_a, 0xff, sizeof ev_a);
    wait_for_others();
    assert_string_equal(trace, "CC");
    close(pair_a[1]);
}

static void body_peer_gone_stays_readable(void)
{
    char byte;

    make_pair(pair_a);
    evfd_init(&ev_a, pair_a[0]);
    fiber_spawn("reader", reader, NULL);
    fiber_sleep(2);
    close(pair_a[1]);
    wait_for_others();
    assert_int_equal(read(pair_a[0], &byte, 1), 0);
    for (int i = 0; i < 3; i++) {
        evfd_read_blocked(&ev_a);
        assert_int_equal(fiber_wait_readable(&ev_a, loop_deadline(1000)), WAIT_READY);
    }
    evfd_forget(&ev_a);
    close(pair_a[0]);
}

/* -- stacks and switches -- */

/* Values that the compiler likes to keep in callee-saved registers. */
static void computing(void *arg)
{
    uint64_t a = (uintptr_t)arg, b = a * 3, c = a * 5, d = a * 7, e = a * 11,
             f = a * 13;
    double x = (double)a;

    for (int i = 0; i < 50; i++) {
        fiber_yield();
        a += 1, b += 3, c += 5, d += 7, e += 11, f += 13;
        x += 1.0;
    }
    assert_true(b == a * 3 && c == a * 5 && d == a * 7 && e == a * 11 && f == a * 13);
    assert_true(x == (double)a);
    note('k');
}

static void body_registers_survive(void)
{
    for (uintptr_t i = 1; i <= 10; i++)
        fiber_spawn("computing", computing, (void *)(i * 1000003));
    wait_for_others();
    assert_string_equal(trace, "kkkkkkkkkk");
}

static int deep(int depth)
{
    volatile char frame[1024];

    frame[0] = (char)depth;
    frame[1023] = 1;
    return depth == 0 ? 0 : deep(depth - 1) + frame[1023];
}

static void deep_fiber(void *arg)
{
    (void)arg;
    assert_int_equal(deep(180), 180); /* 180 KiB and more of 256 */
    fiber_yield();
    note('d');
}

static void body_deep_stacks_are_reused(void)
{
    for (int i = 0; i < 200; i++) {
        fiber_spawn("deep", deep_fiber, NULL);
        if (i % 50 == 49) {
            wait_for_others();
            assert_int_equal(strlen(trace), 50);
            trace[0] = '\0';
        }
    }
}

#ifndef FIBER_ASAN
static volatile int endless_depth = 1 << 30;

static void overflowing(void *arg)
{
    (void)arg;
    deep(endless_depth);
}

static void body_overflow_hits_the_guard(void)
{
    struct rlimit none = {0, 0};
    int status;
    pid_t child = fork();

    if (child == 0) {
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        overflowing(NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static long resident_kib(void)
{
    long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}
#endif

/* -- many -- */

enum { MANY = 10000 };
static int woken;

static void one_of_many(void *arg)
{
    (void)arg;
    while (fiber_park(loop_deadline(300 * 1000)) == WAIT_READY)
        woken++;
}

static struct fiber **spawn_many(void)
{
    struct fiber **fibers = malloc(MANY * sizeof *fibers);

    for (int i = 0; i < MANY; i++)
        fibers[i] = fiber_spawn_stack("many", SMALL_STACK, one_of_many, NULL);
    fiber_yield();
    while (fiber_count() < MANY + 1)
        fiber_yield();
    return fibers;
}

static void body_ten_thousand(void)
{
    struct fiber **fibers = spawn_many();

    woken = 0;
    for (int i = 0; i < MANY; i++)
        fiber_wake(fibers[i]);
    while (woken < MANY)
        assert_int_equal(fiber_yield(), WAIT_READY);
    assert_int_equal(fiber_count(), MANY + 1);
    fiber_cancel_all();
    wait_for_others();
    free(fibers);
}

#ifndef FIBER_ASAN
static void idle_session(void *arg)
{
    (void)arg;
    fiber_sleep(3600 * 1000);
}

static void body_idle_fibers_are_small(void)
{
    long before = resident_kib(), used;

    for (int i = 0; i < MANY; i++)
        fiber_spawn("idle", idle_session, NULL);
    fiber_sleep(1);
    while (fiber_yield() == WAIT_READY && fiber_count() < MANY + 1)
        ;
    used = resident_kib() - before;
    print_message("idle fibers: %.1f KiB each\n", (double)used / MANY);
    if (!getenv("VALGRIND_TEST")) /* shadow memory counts */
        assert_in_range(used, 0, MANY * 9L);
    fiber_cancel_all();
    wait_for_others();
}
#endif

static int seven(void *arg)
{
    return *(int *)arg;
}

static void test_main_returns_the_result(void **state)
{
    int value = 7;

    (void)state;
    assert_null(fiber_self());
    assert_int_equal(fiber_main(seven, &value), 7);
    assert_int_equal(fiber_count(), 0);
    assert_null(fiber_self());
}

#define TEST(body)                                                                     \
    static void test_##body(void **state)                                              \
    {                                                                                  \
        (void)state;                                                                   \
        in_fiber(body_##body);                                                         \
    }
TEST(yield_alternates)
TEST(sleep_orders)
TEST(names)
TEST(wake_is_remembered_once)
TEST(park_wakes)
TEST(deadlines)
TEST(stale_timer)
TEST(queue_is_fair)
TEST(wake_is_not_lost_by_cancel)
TEST(cancel_in_every_wait)
TEST(cancel_all_spares_the_caller)
TEST(one_fiber_each_direction)
TEST(forget_ends_waits)
TEST(peer_gone_stays_readable)
TEST(registers_survive)
TEST(deep_stacks_are_reused)
TEST(ten_thousand)
#ifndef FIBER_ASAN
TEST(overflow_hits_the_guard)
TEST(idle_fibers_are_small)
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_main_returns_the_result),
        cmocka_unit_test(test_yield_alternates),
        cmocka_unit_test(test_sleep_orders),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_wake_is_remembered_once),
        cmocka_unit_test(test_park_wakes),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_stale_timer),
        cmocka_unit_test(test_queue_is_fair),
        cmocka_unit_test(test_wake_is_not_lost_by_cancel),
        cmocka_unit_test(test_cancel_in_every_wait),
        cmocka_unit_test(test_cancel_all_spares_the_caller),
        cmocka_unit_test(test_one_fiber_each_direction),
        cmocka_unit_test(test_forget_ends_waits),
        cmocka_unit_test(test_peer_gone_stays_readable),
        cmocka_unit_test(test_registers_survive),
        cmocka_unit_test(test_deep_stacks_are_reused),
        cmocka_unit_test(test_ten_thousand),
#ifndef FIBER_ASAN
        cmocka_unit_test(test_overflow_hits_the_guard),
        cmocka_unit_test(test_idle_fibers_are_small),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
