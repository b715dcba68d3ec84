#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/fiber.h"
#include "util/offload.h"

struct call {
    int input, output;
    pthread_t thread;
};

static void square(void *arg)
{
    struct call *call = arg;

    call->output = call->input * call->input;
    call->thread = pthread_self();
}

static void wait_for_others(void)
{
    while (fiber_count() > 1)
        fiber_sleep(1);
}

static int result_body(void *arg)
{
    struct call call = {.input = 7};

    (void)arg;
    offload(square, &call);
    assert_int_equal(call.output, 49);
    return pthread_equal(call.thread, pthread_self()) != 0;
}

static void test_runs_in_another_thread(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(result_body, NULL), 0);
}

static bool released;

static void wait_for_release(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE))
        usleep(1000);
}

static void slow_fiber(void *arg)
{
    offload_wait(wait_for_release, arg);
}

static int slow_server_body(void *arg)
{
    struct call call = {.input = 5};

    for (int i = 0; i < 2 * OFFLOAD_WAIT_THREADS; i++)
        fiber_spawn("slow", slow_fiber, arg);
    fiber_sleep(20);
    offload(square, &call);
    __atomic_store_n(&released, true, __ATOMIC_RELEASE);
    wait_for_others();
    return call.output;
}

static void test_slow_servers_hold_up_no_sync(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(slow_server_body, NULL), 25);
}

static void test_runs_inline_outside_fibers(void **state)
{
    struct call call = {.input = 3};

    (void)state;
    offload(square, &call);
    assert_int_equal(call.output, 9);
    assert_true(pthread_equal(call.thread, pthread_self()));
}

static void nap(void *arg)
{
    (void)arg;
    usleep(20000);
}

static void napping_fiber(void *arg)
{
    offload(nap, NULL);
    ++*(int *)arg;
}

static int parallel_body(void *arg)
{
    int64_t start = loop_now_exact();
    int done = 0, ticks = 0;

    (void)arg;
    for (int i = 0; i < 4 * OFFLOAD_THREADS; i++)
        fiber_spawn("nap", napping_fiber, &done);
    while (done < 4 * OFFLOAD_THREADS) {
        fiber_sleep(1);
        ticks++;
    }
    assert_true(ticks > 5); /* others went on meanwhile */
    return (int)(loop_now_exact() - start);
}

static void test_calls_run_in_parallel(void **state)
{
    (void)state;
    /* One after the other: 64 times 20 ms. */
    assert_in_range(fiber_main(parallel_body, NULL), 20, 640);
}

enum { MANY = 3000 };
static long sum;

static void one_of_many(void *arg)
{
    for (int round = 0; round < 3; round++) {
        struct call call = {.input = (int)(intptr_t)arg};

        offload(square, &call);
        sum += call.output;
    }
}

static int many_body(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < MANY; i++)
        fiber_spawn_stack("many", 16 * 1024, one_of_many, (void *)i);
    wait_for_others();
    return 0;
}

static void test_many_calls(void **state)
{
    long want = 0;

    (void)state;
    sum = 0;
    fiber_main(many_body, NULL);
    for (long i = 0; i < MANY; i++)
        want += 3 * i * i;
    assert_int_equal(sum, want);
}

static bool napped, next_wait_failed;

static void cancelled_fiber(void *arg)
{
    (void)arg;
    offload(nap, NULL);
    napped = true;
    next_wait_failed = fiber_sleep(1000) == WAIT_CANCELLED;
}

static int cancel_body(void *arg)
{
    struct fiber *fiber = fiber_spawn("cancelled", cancelled_fiber, NULL);

    (void)arg;
    fiber_sleep(5);
    fiber_cancel(fiber);
    fiber_wake(fiber);
    fiber_sleep(5);
    assert_false(napped); /* neither shortens the call */
    wait_for_others();
    assert_true(napped && next_wait_failed);
    return 0;
}

static void test_cancellation_waits_for_the_call(void **state)
{
    (void)state;
    fiber_main(cancel_body, NULL);
}

static int fsync_body(void *arg)
{
    char name[] = "/tmp/offload_test_XXXXXX";
    int fd = mkstemp(name);

    (void)arg;
    assert_int_equal(offload_fsync(fd), 0);
    close(fd);
    unlink(name);
    return offload_fsync(fd);
}

static void test_fsync(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(fsync_body, NULL), EBADF);
}

static void look_at_mask(void *arg)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    *(bool *)arg = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD);
}

static int mask_body(void *arg)
{
    bool blocked = false;
    sigset_t mask;

    (void)arg;
    offload(look_at_mask, &blocked);
    assert_true(blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM));
    return 0;
}

static void test_workers_block_signals(void **state)
{
    (void)state;
    fiber_main(mask_body, NULL);
}

static void test_child_gets_its_own_threads(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        loop_reinit_after_fork();
        _exit(fiber_main(result_body, NULL) == 0 ? 42 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_inline_outside_fibers),
        cmocka_unit_test(test_runs_in_another_thread),
        cmocka_unit_test(test_slow_servers_hold_up_no_sync),
        cmocka_unit_test(test_calls_run_in_parallel),
        cmocka_unit_test(test_many_calls),
        cmocka_unit_test(test_cancellation_waits_for_the_call),
        cmocka_unit_test(test_fsync),
        cmocka_unit_test(test_workers_block_signals),
        cmocka_unit_test(test_child_gets_its_own_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
