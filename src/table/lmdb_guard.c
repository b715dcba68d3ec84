#include "table/lmdb_guard.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

#define NULL_AREA 65536 /* members of a structure at address 0 */

struct guard {
    sigjmp_buf back;
    uintptr_t base, size; /* 0: the library */
};

static _Thread_local struct guard *volatile armed;
static struct sigaction old_bus, old_segv; /* what our handlers stand in for */
/* Reachable, so that leak checkers know that these are kept on purpose. */
static struct abandoned {
    MDB_env *env;
    struct abandoned *next;
} * abandoned_list;
static pthread_mutex_t abandoned_lock = PTHREAD_MUTEX_INITIALIZER;

static bool concerns(const struct guard *guard, int signo, const siginfo_t *info)
{
    uintptr_t at = (uintptr_t)info->si_addr;

    if (!guard || info->si_code <= 0) /* sent by a process */
        return false;
    if (guard->size == 0)
        return signo == SIGBUS || at < NULL_AREA;
    return at >= guard->base && at - guard->base < guard->size;
}

static void on_fault(int signo, siginfo_t *info, void *context UNUSED)
{
    struct guard *guard = armed;

    if (concerns(guard, signo, info))
        siglongjmp(guard->back, GUARD_FAULT);
    /* Not ours: the instruction runs again under the action before. */
    sigaction(signo, signo == SIGBUS ? &old_bus : &old_segv, NULL);
    if (info->si_code <= 0)
        raise(signo);
}

static void install(int signo, struct sigaction *old)
{
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct sigaction now;

    if (sigaction(signo, NULL, &now) < 0 ||
        ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault))
        return;
    *old = now;
    sigaction(signo, &action, NULL);
}

void lmdb_guard_install(void)
{
    struct sigaction now;

    install(SIGBUS, &old_bus);
    install(SIGSEGV, &old_segv);
    /* A file size limit is an error like a full disk, not the end. */
    if (sigaction(SIGXFSZ, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGXFSZ, SIG_IGN);
}

enum guard_result lmdb_guard(void (*fn)(void *arg), void *arg, const void *base,
                             size_t size)
{
    struct guard guard = {.base = (uintptr_t)base, .size = size};
    int result;

    /* Without the signal mask: SA_NODEFER left it alone, and a system call saved. */
    result = sigsetjmp(guard.back, 0);
    if (result == 0) {
        armed = &guard;
        fn(arg);
    }
    armed = NULL;
    return (enum guard_result)result;
}

void lmdb_guard_on_assert(MDB_env *env UNUSED, const char *text UNUSED)
{
    if (armed)
        siglongjmp(armed->back, GUARD_ASSERTION);
}

void lmdb_guard_abandon(MDB_env *env)
{
    struct abandoned *node = xmalloc(sizeof(*node));

    pthread_mutex_lock(&abandoned_lock);
    *node = (struct abandoned){env, abandoned_list};
    abandoned_list = node;
    pthread_mutex_unlock(&abandoned_lock);
}
