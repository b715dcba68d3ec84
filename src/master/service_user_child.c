#include "master/service_user_child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "util/msg.h"

#define READ_SIZE 8192

static struct list children = {&children, &children};

static void child_free(struct user_child *child)
{
    list_remove(&child->link);
    free(child);
}

/* The fiber may be in a wait of the input callback's, which is not ours to end. */
static void notify(struct user_child *child)
{
    child->news = true;
    if (child->parked)
        fiber_wake(child->fiber);
}

static enum wait_result wait_for_news(struct user_child *child, int64_t deadline)
{
    enum wait_result wait = WAIT_READY;

    while (!child->news && wait == WAIT_READY) {
        child->parked = true;
        wait = fiber_park(deadline);
        child->parked = false;
    }
    child->news = false;
    return wait;
}

static void on_child(int signo)
{
    (void)signo;
    list_each_safe(link, &children)
    {
        struct user_child *child = list_entry(link, struct user_child, link);

        if (waitpid(child->pid, &child->wait_status, WNOHANG) != child->pid)
            continue;
        child->exited = true;
        if (child->fiber)
            notify(child);
        else
            child_free(child);
    }
}

static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int signo = 1; signo < NSIG; signo++)
        sigaction(signo, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void user_child_detach(void)
{
    struct service_frame *frame = frame_of_process();

    if (!frame)
        return;
    close(SERVICE_STATUS_FD);
    for (size_t i = 0; i < frame->listener_count; i++)
        close(SERVICE_LISTENER_FD + (int)i);
}

struct user_child *user_child_fork(void)
{
    struct user_child *child = xcalloc(1, sizeof *child);

    loop_on_signal(SIGCHLD, on_child);
    child->fiber = fiber_self();
    child->out.fd = child->in.fd = -1;
    msg_flush();
    child->pid = fork();
    if (child->pid < 0) {
        free(child);
        return NULL;
    }
    if (child->pid == 0) {
        reset_signals();
        setpgid(0, 0);
        msg_set_batching(false);
        return child;
    }
    setpgid(child->pid, child->pid); /* whoever comes first */
    list_append(&children, &child->link);
    return child;
}

static void close_pipe(struct evfd *ev)
{
    if (ev->fd < 0)
        return;
    evfd_forget(ev);
    close(ev->fd);
    ev->fd = -1;
}

/* Read what is there; output beyond the limit is read and dropped, so that the
 * child does not hang. */
static void read_output(struct user_child *child)
{
    char buf[READ_SIZE];

    while (child->out.fd >= 0) {
        ssize_t len = read(child->out.fd, buf, sizeof buf);
        size_t take;

        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN) {
            evfd_read_blocked(&child->out);
            return;
        }
        if (len <= 0) {
            close_pipe(&child->out);
            return;
        }
        take = (size_t)len < child->output_room ? (size_t)len : child->output_room;
        if (child->output)
            strbuf_add(child->output, buf, take);
        child->output_room -= take;
    }
}

/* A child that closes its input early has read all that it wants. */
static void write_input(struct user_child *child)
{
    while (child->in.fd >= 0) {
        ssize_t len;

        if (child->pending.len == 0)
            child->pending = child->more(child->more_arg);
        if (child->pending.len == 0) {
            close_pipe(&child->in);
            return;
        }
        len = write(child->in.fd, child->pending.ptr, child->pending.len);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN) {
            evfd_write_blocked(&child->in);
            return;
        }
        if (len < 0) {
            close_pipe(&child->in);
            return;
        }
        child->pending = span_skip(child->pending, (size_t)len);
    }
}

static void on_pipe_ready(struct evfd *ev, void *arg)
{
    struct user_child *child = arg;

    (void)ev;
    notify(child);
}

static enum user_outcome end_status(const struct user_child *child, int *status_out)
{
    if (WIFSIGNALED(child->wait_status)) {
        *status_out = WTERMSIG(child->wait_status);
        return USER_SIGNALLED;
    }
    *status_out = WEXITSTATUS(child->wait_status);
    return USER_EXITED;
}

enum user_outcome user_child_supervise(struct user_child *child, int64_t time_limit_s,
                                       int *status_out)
{
    int64_t deadline = loop_deadline(time_limit_s * 1000);
    enum wait_result wait = WAIT_READY;
    enum user_outcome outcome;

    *status_out = 0;
    if (child->out.fd >= 0)
        evfd_watch(&child->out, on_pipe_ready, child);
    if (child->in.fd >= 0)
        evfd_watch(&child->in, on_pipe_ready, child);
    for (;;) {
        bool exited = child->exited;

        write_input(child);
        read_output(child);
        if (exited)
            break;
        wait = wait_for_news(child, deadline);
        if (wait != WAIT_READY)
            break;
    }
    close_pipe(&child->in);
    close_pipe(&child->out);
    if (wait == WAIT_READY) {
        outcome = end_status(child, status_out);
        child_free(child);
        return outcome;
    }
    user_kill_group(child->pid);
    if (child->exited)
        child_free(child);
    else
        child->fiber = NULL;
    return wait == WAIT_TIMEOUT ? USER_TIMEOUT : USER_CANCELLED;
}
