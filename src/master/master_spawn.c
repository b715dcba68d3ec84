#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "master/master.h"

/* In the child: parent and child share memory until exec, so only system calls
 * and locals from here on. */
static void place_descriptors(const struct spawn_request *request, int null_fd)
{
    dup2(null_fd, STDIN_FILENO);
    dup2(request->stdout_fd >= 0 ? request->stdout_fd : null_fd, STDOUT_FILENO);
    dup2(null_fd, STDERR_FILENO);
    dup2(request->status_fd, SERVICE_STATUS_FD);
    for (size_t i = 0; i < request->listener_count; i++)
        dup2(request->listeners[i], SERVICE_LISTENER_FD + (int)i);
    if (request->extra_fd >= 0)
        dup2(request->extra_fd, SERVICE_LISTENER_FD + (int)request->listener_count);
}

static int null_device(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC), high;

    if (fd < 0)
        return -1;
    high = fcntl(fd, F_DUPFD_CLOEXEC, MASTER_FD_BASE);
    close(fd);
    return high;
}

/* vfork: no copy of page tables, and exec's failure is known at once. Signals are
 * blocked so that no handler of ours runs in the child. */
__attribute__((noinline)) static pid_t fork_exec(const struct spawn_request *request,
                                                 int null_fd, volatile int *exec_errno)
{
    sigset_t all, old, none;
    pid_t pid;

    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_BLOCK, &all, &old);
    pid = vfork();
    if (pid == 0) {
        struct sigaction ignore = {.sa_handler = SIG_DFL};

        place_descriptors(request, null_fd);
        for (int signo = 1; signo < NSIG; signo++)
            sigaction(signo, &ignore, NULL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(request->path, request->argv, request->env);
        *exec_errno = errno;
        _exit(1);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    return pid;
}

pid_t spawn_process(const struct spawn_request *request, int *exec_errno_out)
{
    volatile int exec_errno = 0;
    int null_fd = null_device();
    pid_t pid = -1;
    int saved_errno;

    if (null_fd >= 0)
        pid = fork_exec(request, null_fd, &exec_errno);
    saved_errno = errno;
    if (null_fd >= 0)
        close(null_fd);
    errno = saved_errno;
    *exec_errno_out = exec_errno;
    return pid;
}
