#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/fiber.h"

/* What happened, in order, one letter each. */
static char trace[256];

static void note(char c)
{
    size_t len = strlen(trace);

    assert_true(len + 1 < sizeof trace);
    trace[len] = c;
    trace[len + 1] = '\0';
}

static int setup(void **state)
{
    (void)state;
    trace[0] = '\0';
    loop_init();
    return 0;
}

static void note_arg(void *arg)
{
    note(*(const char *)arg);
}

static void stop(void *arg)
{
    (void)arg;
    loop_stop();
}

static void test_timers_fire_in_order(void **state)
{
    struct loop_timer a = {0}, b = {0}, c = {0}, d = {0}, end = {0};

    (void)state;
    loop_timer_set(&c, 30, note_arg, "c");
    loop_timer_set(&a, 5, note_arg, "a");
    loop_timer_set(&d, 10, note_arg, "d");
    loop_timer_set(&b, 40, note_arg, "b");
    loop_timer_set(&b, 15, note_arg, "b"); /* moved to the front */
    loop_timer_cancel(&d);
    loop_timer_cancel(&d);
    loop_timer_set(&end, 45, stop, NULL);
    loop_run();
    assert_string_equal(trace, "abc");
}

static void test_timer_waits_long_enough(void **state)
{
    struct loop_timer end = {0};
    int64_t start = loop_now_exact();

    (void)state;
    loop_timer_set(&end, 25, stop, NULL);
    loop_run();
    assert_in_range(loop_now_exact() - start, 25, 2000);
}

static struct loop_timer again_timer;
static int again_count;

static void set_again(void *arg)
{
    (void)arg;
    if (++again_count < 1000000)
        loop_timer_set(&again_timer, 0, set_again, NULL);
}

static void test_timer_without_delay_starves_nobody(void **state)
{
    struct loop_timer end = {0};

    (void)state;
    again_count = 0;
    loop_timer_set(&again_timer, 0, set_again, NULL);
    loop_timer_set(&end, 5, stop, NULL);
    loop_run();
    assert_in_range(again_count, 2, 999999);
    loop_timer_cancel(&again_timer);
}

static void test_deadlines(void **state)
{
    (void)state;
    assert_true(loop_deadline(0) == LOOP_NEVER);
    assert_true(loop_deadline(-5) == LOOP_NEVER);
    assert_true(loop_deadline(INT64_MAX) == LOOP_NEVER);
    assert_in_range(loop_deadline(1000) - loop_now_exact(), 900, 1000);
}

/* -- tasks -- */

static struct loop_task task_one, task_two;
static struct fiber *parked;

static void task_wakes_fiber(void *arg)
{
    note_arg(arg);
    fiber_wake(parked);
}

static void parking_fiber(void *arg)
{
    (void)arg;
    parked = fiber_self();
    note('p');
    loop_defer(&task_one, task_wakes_fiber, "1");
    loop_defer(&task_one, task_wakes_fiber, "1"); /* once only */
    assert_int_equal(fiber_park(LOOP_NEVER), WAIT_READY);
    note('w');
    loop_stop();
}

static void other_fiber(void *arg)
{
    (void)arg;
    note('o');
    loop_defer(&task_two, note_arg, "2");
}

static void test_tasks_run_after_ready_fibers(void **state)
{
    (void)state;
    fiber_spawn("parking", parking_fiber, NULL);
    fiber_spawn("other", other_fiber, NULL);
    loop_run();
    assert_string_equal(trace, "po12w");
}

static void endless_task(void *arg)
{
    int *count = arg;

    if (++*count < 10000000)
        loop_defer(&task_one, endless_task, arg);
}

static void test_task_that_queues_itself_starves_nobody(void **state)
{
    struct loop_timer end = {0};
    int count = 0;

    (void)state;
    loop_defer(&task_one, endless_task, &count);
    loop_timer_set(&end, 5, stop, NULL);
    loop_run();
    assert_in_range(count, 2, 9999999);
    list_remove(&task_one.link);
}

/* -- descriptors -- */

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void on_ready_note(struct evfd *ev, void *arg)
{
    (void)ev;
    note(*(const char *)arg);
    loop_stop();
}

static void test_watch_reports_edges(void **state)
{
    struct loop_timer end = {0};
    struct evfd ev;
    int fds[2];
    char byte;

    (void)state;
    make_pair(fds);
    evfd_init(&ev, fds[0]);
    evfd_watch(&ev, on_ready_note, "r");
    loop_run();
    assert_true(ev.writable);
    assert_false(ev.readable);

    assert_int_equal(write(fds[1], "xy", 2), 2);
    loop_run();
    assert_true(ev.readable);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_true(ev.readable); /* sticky: there was no EAGAIN */

    trace[0] = '\0';
    loop_timer_set(&end, 10, stop, NULL);
    loop_run(); /* no new edge: only the timer ends this */
    assert_string_equal(trace, "");
    evfd_forget(&ev);
    close(fds[0]);
    close(fds[1]);
}

static void test_hangup_is_sticky(void **state)
{
    struct evfd ev;
    int fds[2];
    char byte;

    (void)state;
    make_pair(fds);
    evfd_init(&ev, fds[0]);
    evfd_watch(&ev, on_ready_note, "r");
    loop_run();
    assert_false(ev.hangup);
    close(fds[1]);
    loop_run();
    assert_true(ev.hangup);
    evfd_read_blocked(&ev);
    assert_true(ev.hangup);
    assert_int_equal(read(fds[0], &byte, 1), 0);
    evfd_forget(&ev);
    close(fds[0]);
}

static void test_half_close_leaves_writing_alone(void **state)
{
    struct evfd ev;
    int fds[2];

    (void)state;
    make_pair(fds);
    evfd_init(&ev, fds[0]);
    evfd_watch(&ev, on_ready_note, "r");
    loop_run();
    evfd_write_blocked(&ev);
    shutdown(fds[1], SHUT_WR);
    loop_run();
    assert_true(ev.hangup);
    assert_int_equal(write(fds[0], "x", 1), 1);
    evfd_forget(&ev);
    close(fds[0]);
    close(fds[1]);
}

/* Both get ready in one tick; whichever runs first takes the other down. */
static struct evfd both[2];

static void forget_the_other(struct evfd *ev, void *arg)
{
    struct evfd *other = ev == &both[0] ? &both[1] : &both[0];

    (void)arg;
    note('x');
    evfd_forget(other);
    memset(other, 0xff, sizeof *other); /* must not be touched again */
    loop_stop();
}

static void test_forgotten_descriptor_is_not_called(void **state)
{
    int one[2], two[2];

    (void)state;
    make_pair(one);
    make_pair(two);
    evfd_init(&both[0], one[0]);
    evfd_init(&both[1], two[0]);
    evfd_watch(&both[0], forget_the_other, NULL);
    evfd_watch(&both[1], forget_the_other, NULL);
    loop_run();
    assert_string_equal(trace, "x");
    close(one[0]); /* closing takes the survivor out of the poller */
    close(one[1]);
    close(two[0]);
    close(two[1]);
}

static void on_listener(struct evfd *ev, void *arg)
{
    int *calls = arg;

    assert_true(ev->readable);
    if (++*calls == 3)
        loop_stop();
}

static void test_listener_is_level_triggered(void **state)
{
    struct evfd ev;
    int fds[2], calls = 0;

    (void)state;
    make_pair(fds);
    assert_int_equal(write(fds[1], "x", 1), 1);
    evfd_init(&ev, fds[0]);
    evfd_watch_listener(&ev, on_listener, &calls);
    loop_run();
    assert_int_equal(calls, 3);
    evfd_forget(&ev);
    close(fds[0]);
    close(fds[1]);
}

static void regular_file_fiber(void *arg)
{
    struct evfd ev;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)arg;
    evfd_init(&ev, fd);
    assert_int_equal(fiber_wait_readable(&ev, loop_deadline(1000)), WAIT_READY);
    assert_int_equal(fiber_wait_writable(&ev, loop_deadline(1000)), WAIT_READY);
    evfd_forget(&ev);
    close(fd);
    note('f');
    loop_stop();
}

static void test_what_cannot_be_polled_is_ready(void **state)
{
    (void)state;
    fiber_spawn("file", regular_file_fiber, NULL);
    loop_run();
    assert_string_equal(trace, "f");
}

/* -- signals and fork -- */

static void on_signal(int signo)
{
    note(signo == SIGUSR1 ? '1' : '2');
    if (signo == SIGUSR2)
        loop_stop();
}

static void raise_in_loop(void *arg)
{
    (void)arg;
    raise(SIGUSR1);
    raise(SIGUSR1); /* merged, as pending signals are */
    note('-');
    raise(SIGUSR2);
}

static void test_signals_run_in_the_loop(void **state)
{
    struct loop_timer timer = {0};

    (void)state;
    loop_on_signal(SIGUSR1, on_signal);
    loop_on_signal(SIGUSR2, on_signal);
    loop_timer_set(&timer, 0, raise_in_loop, NULL);
    loop_run();
    assert_string_equal(trace, "-12");
}

static int child_main(void *arg)
{
    int fd = *(int *)arg;
    struct evfd ev;
    char byte = 0;

    evfd_init(&ev, fd);
    if (fiber_wait_readable(&ev, loop_deadline(5000)) != WAIT_READY)
        return 3;
    if (read(fd, &byte, 1) != 1 || fiber_count() != 1)
        return 4;
    raise(SIGUSR1); /* the kept handler works on the child's own pipe */
    fiber_sleep(20);
    return trace[0] == '1' && !trace[1] ? byte : 5;
}

static void never_in_child(void *arg)
{
    (void)arg;
    note('!');
}

static void test_child_gets_its_own_loop(void **state)
{
    struct loop_timer parents = {0};
    int fds[2], status;
    pid_t child;

    (void)state;
    make_pair(fds);
    loop_timer_set(&parents, 1, never_in_child, NULL);
    child = fork();
    if (child == 0) {
        loop_reinit_after_fork();
        _exit(fiber_main(child_main, &fds[0]));
    }
    assert_true(child > 0);
    assert_int_equal(write(fds[1], "\x2a", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    loop_timer_cancel(&parents);
    close(fds[0]);
    close(fds[1]);
}

static int forking_main(void *arg)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        loop_reinit_after_fork(); /* on a fiber's stack */
        _exit(fiber_main(child_main, arg));
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_child_of_a_fiber_gets_its_own_loop(void **state)
{
    int fds[2];

    (void)state;
    make_pair(fds);
    assert_int_equal(write(fds[1], "\x2b", 1), 1);
    assert_int_equal(fiber_main(forking_main, &fds[0]), 43);
    close(fds[0]);
    close(fds[1]);
}

static void test_sigpipe_is_harmless_and_not_inherited(void **state)
{
    struct sigaction action;

    (void)state;
    sigaction(SIGPIPE, NULL, &action);
    assert_true(action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL);
    raise(SIGPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_timers_fire_in_order, setup),
        cmocka_unit_test_setup(test_timer_waits_long_enough, setup),
        cmocka_unit_test_setup(test_timer_without_delay_starves_nobody, setup),
        cmocka_unit_test_setup(test_deadlines, setup),
        cmocka_unit_test_setup(test_tasks_run_after_ready_fibers, setup),
        cmocka_unit_test_setup(test_task_that_queues_itself_starves_nobody, setup),
        cmocka_unit_test_setup(test_watch_reports_edges, setup),
        cmocka_unit_test_setup(test_hangup_is_sticky, setup),
        cmocka_unit_test_setup(test_half_close_leaves_writing_alone, setup),
        cmocka_unit_test_setup(test_forgotten_descriptor_is_not_called, setup),
        cmocka_unit_test_setup(test_listener_is_level_triggered, setup),
        cmocka_unit_test_setup(test_what_cannot_be_polled_is_ready, setup),
        cmocka_unit_test_setup(test_signals_run_in_the_loop, setup),
        cmocka_unit_test_setup(test_child_gets_its_own_loop, setup),
        cmocka_unit_test_setup(test_child_of_a_fiber_gets_its_own_loop, setup),
        cmocka_unit_test_setup(test_sigpipe_is_harmless_and_not_inherited, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
