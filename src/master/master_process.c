#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master/master.h"
#include "util/msg.h"
#include "util/strbuf.h"

#define ARGS_FRAME    16 /* arguments that master itself gives */
#define FORK_PAUSE_MS 1000

extern char **environ;

static struct span pid_key(const struct master_process *process)
{
    return span_of((const char *)&process->pid, sizeof process->pid);
}

size_t process_count(const struct master *master)
{
    return master->by_pid.count;
}

/* -- orders and reports -- */

void process_order(struct master_process *process, uint32_t command, uint32_t value)
{
    struct service_order order = {command, value};

    if (send(process->status_ev.fd, &order, sizeof order, MSG_DONTWAIT | MSG_NOSIGNAL) <
            0 &&
        errno != EPIPE && errno != ECONNRESET)
        msg_warn("process %s pid %ld does not take orders: %s", process->program,
                 (long)process->pid, strerror(errno));
}

void process_retire(struct master_process *process)
{
    process->retiring = true;
    process_order(process, SERVICE_CMD_RETIRE, 0);
}

static void note_status(struct master_process *process,
                        const struct service_status *status)
{
    struct master_service *service = process->service;
    bool was_full = process->ready && process->free_slots == 0;

    process->ready = true;
    process->sessions = status->sessions;
    process->free_slots = status->free_slots;
    process->retiring = process->retiring || status->retiring;
    if (!service)
        return;
    service->used = service->used || status->sessions > 0;
    master_service_update(service);
    if (process->retiring || (status->free_slots == 0 && !was_full))
        master_service_nudge(service);
}

static void on_status(struct evfd *ev, void *arg)
{
    struct master_process *process = arg;
    struct service_status status;
    ssize_t len;

    do {
        len = recv(ev->fd, &status, sizeof status, MSG_DONTWAIT);
        if (len == (ssize_t)sizeof status)
            note_status(process, &status);
        /* A reset (it was killed with an order unread) comes before its reports. */
    } while (len > 0 || (len < 0 && (errno == EINTR || errno == ECONNRESET)));
    if (len < 0 && errno == EAGAIN)
        evfd_read_blocked(ev);
    else
        evfd_forget(ev); /* it is ending: SIGCHLD will tell how */
}

/* -- start -- */

static char **make_argv(const struct master_service *service, size_t quota,
                        struct arena *arena)
{
    const struct master_entry *entry = service->entry;
    char **argv = arena_alloc(arena, (ARGS_FRAME + entry->argc + 1) * sizeof *argv);
    const char *slash = strrchr(entry->command, '/');
    size_t n = 0;

    argv[n++] = arena_str(arena, slash ? slash + 1 : entry->command);
    argv[n++] = "-n";
    argv[n++] = arena_str(arena, entry->name);
    argv[n++] = "-t";
    argv[n++] = arena_str(arena, service_type_name(entry->type));
    argv[n++] = "-q";
    argv[n++] = arena_printf(arena, "%zu", quota);
    argv[n++] = "-s";
    argv[n++] = arena_printf(arena, "%zu", service->listener_count);
    if (entry->unprivileged)
        argv[n++] = "-u";
    if (entry->chroot)
        argv[n++] = "-c";
    if (!entry->is_private)
        argv[n++] = "-i";
    if (service->master->options.debug)
        argv[n++] = "-D";
    if (service->exposed) {
        argv[n++] = "-o";
        argv[n++] = service->stress ? "stress=yes" : "stress=";
    }
    for (size_t i = 0; i < entry->argc; i++)
        argv[n++] = arena_str(arena, entry->argv[i]);
    return argv;
}

static char **make_env(const struct master_service *service, struct arena *arena)
{
    const struct master *master = service->master;
    size_t count = 0;
    char **env;

    while (environ[count])
        count++;
    env = arena_alloc(arena, (count + 3) * sizeof *env);
    memcpy(env, environ, count * sizeof *env);
    env[count++] =
        arena_printf(arena, "GP_GENERATION=%u", (unsigned)master->generation);
    if (master->set->main_cf_fd >= 0)
        env[count] = arena_printf(arena, SERVICE_MAIN_CF_ENV "=%zu",
                                  SERVICE_LISTENER_FD + service->listener_count);
    return env;
}

static struct master_process *process_add(struct master_service *service, pid_t pid,
                                          int status_fd, size_t slot, size_t quota)
{
    struct master_process *process = xcalloc(1, sizeof *process);

    process->master = service->master;
    process->service = service;
    process->program = xstrdup(service->program);
    process->pid = pid;
    process->slot = slot;
    process->quota = quota;
    process->free_slots = (uint32_t)quota;
    list_append(&service->processes, &process->link);
    hash_insert(&service->master->by_pid, &process->node, pid_key(process));
    evfd_init(&process->status_ev, status_fd);
    evfd_watch(&process->status_ev, on_status, process);
    return process;
}

/* Both ends; the child's moved out of the way of the descriptors it will place. */
static bool status_channel(int *ours_out, int *theirs_out)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return false;
    *theirs_out = fcntl(fds[1], F_DUPFD_CLOEXEC, MASTER_FD_BASE);
    *ours_out = fds[0];
    close(fds[1]);
    if (*theirs_out >= 0) {
        net_set_nonblocking(*ours_out, true);
        return true;
    }
    close(*ours_out);
    return false;
}

static pid_t spawn_for(struct master_service *service, size_t quota, int status_fd,
                       int *exec_errno)
{
    struct arena *arena = arena_new();
    int fds[MASTER_LISTEN_MAX];
    struct spawn_request request = {
        .path = service->program,
        .argv = make_argv(service, quota, arena),
        .env = make_env(service, arena),
        .status_fd = status_fd,
        .listeners = fds,
        .listener_count = service->listener_count,
        .extra_fd = service->master->set->main_cf_fd,
        .stdout_fd =
            service->master->options.keep_stdout && master_service_is_postlog(service)
                ? STDOUT_FILENO
                : -1,
    };
    pid_t pid;

    for (size_t i = 0; i < service->listener_count; i++)
        fds[i] = service->listeners[i].socket->fd;
    pid = spawn_process(&request, exec_errno);
    arena_free(arena);
    return pid;
}

struct master_process *process_start(struct master_service *service, size_t slot,
                                     size_t quota)
{
    int ours, theirs, exec_errno = 0;
    pid_t pid = -1;

    if (status_channel(&ours, &theirs)) {
        pid = spawn_for(service, quota, theirs, &exec_errno);
        close(theirs);
        if (pid < 0)
            close(ours);
    }
    if (pid < 0) {
        msg_warn("cannot start a process for service %s: %s", service->entry->name,
                 strerror(errno));
        master_service_pause(service, FORK_PAUSE_MS);
        return NULL;
    }
    if (exec_errno)
        msg_warn("exec %s: %s", service->program, strerror(exec_errno));
    else
        msg_debug("started %s pid %ld, quota %zu", service->program, (long)pid, quota);
    return process_add(service, pid, ours, slot, quota);
}

/* -- end -- */

static bool log_status(const struct master_process *process, int status)
{
    if (WIFSIGNALED(status))
        msg_warn("process %s pid %ld killed by signal %d", process->program,
                 (long)process->pid, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        msg_warn("process %s pid %ld exit status %d", process->program,
                 (long)process->pid, WEXITSTATUS(status));
    else
        return false;
    return true;
}

/* A report sent just before the end must still count. */
static void read_last_reports(struct master_process *process)
{
    if (process->status_ev.registered)
        on_status(&process->status_ev, process);
}

static void process_ended(struct master_process *process, int status)
{
    struct master *master = process->master;
    struct master_service *service = process->service;
    bool failed, stopping = master->phase != MASTER_RUNNING;

    read_last_reports(process);
    failed = !(stopping && WIFSIGNALED(status)) && log_status(process, status);
    if (!failed && !process->ready && !process->retiring && !stopping) {
        msg_warn("process %s pid %ld ended before it was ready", process->program,
                 (long)process->pid);
        failed = true;
    }
    evfd_forget(&process->status_ev);
    close(process->status_ev.fd);
    hash_remove(&master->by_pid, &process->node);
    list_remove(&process->link);
    if (service && !stopping) {
        if (failed)
            master_service_failed(service, process->ready);
        master_service_update(service);
        master_service_nudge(service);
    }
    free(process->program);
    free(process);
    if (stopping)
        stop_progress(master);
}

void process_reap(struct master *master)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        struct hash_node *node =
            hash_find(&master->by_pid, span_of((const char *)&pid, sizeof pid));
        struct master_process *process;

        if (!node)
            continue; /* an orphan that we inherited as process 1 */
        process = hash_entry(node, struct master_process, node);
        if (WIFSTOPPED(status))
            msg_warn("process %s pid %ld stopped by signal %d", process->program,
                     (long)pid, WSTOPSIG(status));
        else
            process_ended(process, status);
    }
}

static bool is_spared(const struct master_process *process, bool postlog_too)
{
    return !postlog_too && process->service &&
           master_service_is_postlog(process->service);
}

void process_signal_all(struct master *master, int signo, bool postlog_too)
{
    for (struct hash_node *node = hash_next(&master->by_pid, NULL); node;
         node = hash_next(&master->by_pid, node)) {
        struct master_process *process = hash_entry(node, struct master_process, node);

        if (!is_spared(process, postlog_too))
            kill(process->pid, signo);
    }
}

void process_order_all(struct master *master, uint32_t command, bool postlog_too)
{
    for (struct hash_node *node = hash_next(&master->by_pid, NULL); node;
         node = hash_next(&master->by_pid, node)) {
        struct master_process *process = hash_entry(node, struct master_process, node);

        if (!is_spared(process, postlog_too))
            process_order(process, command, 0);
    }
}
