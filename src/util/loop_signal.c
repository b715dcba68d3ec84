#include "util/loop_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "util/msg.h"

#define SIGNAL_MAX 64

/* A self-pipe rather than signalfd: signals stay unblocked, so that programs we
 * execute need no clean-up, and it works everywhere. */
static struct loop_signals {
    struct evfd ev; /* read end */
    int write_fd;
    bool open;
    volatile sig_atomic_t pending[SIGNAL_MAX + 1];
    void (*fn[SIGNAL_MAX + 1])(int signo);
} signals;

static void on_signal(int signo)
{
    int saved_errno = errno;
    ssize_t unused;

    signals.pending[signo] = 1;
    unused = write(signals.write_fd, "", 1);
    (void)unused;
    errno = saved_errno;
}

static void on_pipe_ready(struct evfd *ev, void *arg)
{
    char buf[64];

    (void)arg;
    while (read(ev->fd, buf, sizeof buf) > 0)
        ;
    evfd_read_blocked(ev);
    for (int signo = 1; signo <= SIGNAL_MAX; signo++) {
        if (!signals.pending[signo])
            continue;
        signals.pending[signo] = 0;
        if (signals.fn[signo])
            signals.fn[signo](signo);
    }
}

static void open_pipe(void)
{
    int fds[2];

    if (signals.open)
        return;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        msg_fatal("pipe: %s", strerror(errno));
    signals.write_fd = fds[1];
    signals.open = true;
    evfd_init(&signals.ev, fds[0]);
    evfd_watch(&signals.ev, on_pipe_ready, NULL);
}

void loop_on_signal(int signo, void (*fn)(int signo))
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (signo < 1 || signo > SIGNAL_MAX)
        panic("loop_on_signal: bad signal %d", signo);
    open_pipe();
    signals.fn[signo] = fn;
    sigemptyset(&action.sa_mask);
    if (sigaction(signo, &action, NULL) < 0)
        panic("sigaction %d: %s", signo, strerror(errno));
}

void loop_signal_reinit_after_fork(void)
{
    int old_read = signals.ev.fd, old_write = signals.write_fd;

    if (!signals.open)
        return;
    signals.open = false;
    open_pipe();
    close(old_read);
    close(old_write);
    for (int signo = 1; signo <= SIGNAL_MAX; signo++)
        signals.pending[signo] = 0;
}
