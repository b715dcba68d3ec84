#include "util/offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#else
#include <fcntl.h>
#endif

#include "util/loop_internal.h"
#include "util/msg.h"

#define WORKER_STACK_SIZE (1024 * 1024)

/* On the stack of the fiber that waits for it. */
struct job {
    void (*fn)(void *arg);
    void *arg;
    struct fiber *fiber;
    struct job *next;
};

struct job_list {
    struct job *head, *tail;
    size_t count;
};

/* The part that workers share with the loop's thread. */
static struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job_list queued, done;
    size_t idle;
    int notify_fd; /* written when done becomes non-empty */
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
};

/* The part of the loop's thread. Jobs are handed over once a tick, so that many
 * cost one lock and few wake-ups. */
static struct submitter {
    struct job_list jobs;
    struct loop_task task;
    size_t threads;
    struct evfd done_ev;
    bool open;
} submitter;

static void job_list_append(struct job_list *list, struct job *job)
{
    job->next = NULL;
    if (list->tail)
        list->tail->next = job;
    else
        list->head = job;
    list->tail = job;
    list->count++;
}

static void job_list_join(struct job_list *list, struct job_list *from)
{
    if (!from->head)
        return;
    if (list->tail)
        list->tail->next = from->head;
    else
        list->head = from->head;
    list->tail = from->tail;
    list->count += from->count;
    memset(from, 0, sizeof *from);
}

static struct job *job_list_pop(struct job_list *list)
{
    struct job *job = list->head;

    list->head = job->next;
    if (!list->head)
        list->tail = NULL;
    list->count--;
    return job;
}

static void notify_loop(int fd)
{
    uint64_t one = 1;
    ssize_t unused = write(fd, &one, sizeof one);

    (void)unused;
}

static void *worker(UNUSED void *arg)
{
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        struct job *job;

        while (!pool.queued.head) {
            pool.idle++;
            pthread_cond_wait(&pool.work, &pool.lock);
            pool.idle--;
        }
        job = job_list_pop(&pool.queued);
        pthread_mutex_unlock(&pool.lock);
        job->fn(job->arg);
        pthread_mutex_lock(&pool.lock);
        job_list_append(&pool.done, job);
        if (pool.done.count == 1)
            notify_loop(pool.notify_fd);
    }
    return NULL;
}

static void resume_all(struct job_list *done)
{
    while (done->head) {
        /* Popped first: the job is gone once its fiber runs. */
        struct job *job = job_list_pop(done);

        fiber_unsuspend(job->fiber);
    }
}

static void on_done(struct evfd *ev, UNUSED void *arg)
{
    struct job_list done;

#ifdef __linux__
    /* Edge-triggered: each write to an eventfd is an edge, read or not. */
    evfd_read_blocked(ev);
#else
    char buf[512];

    while (read(ev->fd, buf, sizeof buf) > 0)
        ;
    evfd_read_blocked(ev);
#endif
    pthread_mutex_lock(&pool.lock);
    done = pool.done;
    memset(&pool.done, 0, sizeof pool.done);
    pthread_mutex_unlock(&pool.lock);
    resume_all(&done);
}

static void open_notify_fd(void)
{
    int fds[2];

    if (submitter.open)
        return;
#ifdef __linux__
    fds[0] = fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fds[0] < 0)
        msg_fatal("eventfd: %s", strerror(errno));
#else
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        msg_fatal("pipe: %s", strerror(errno));
#endif
    pool.notify_fd = fds[1];
    evfd_init(&submitter.done_ev, fds[0]);
    evfd_watch(&submitter.done_ev, on_done, NULL);
    submitter.open = true;
}

/* Workers inherit the mask of their creator: signals are for the loop's thread. */
static int start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, saved;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, WORKER_STACK_SIZE);
    error = pthread_create(&thread, &attr, worker, NULL);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return error;
}

static void grow_pool(size_t wanted)
{
    for (; wanted > 0 && submitter.threads < OFFLOAD_THREADS; wanted--) {
        int error = start_thread();

        if (error) {
            msg_warn("cannot start a worker thread: %s", strerror(error));
            return;
        }
        submitter.threads++;
    }
}

static void run_inline(void)
{
    while (submitter.jobs.head) {
        struct job *job = job_list_pop(&submitter.jobs);

        job->fn(job->arg);
        fiber_unsuspend(job->fiber);
    }
}

static void wake_workers(size_t jobs, size_t idle)
{
    if (jobs >= idle) {
        pthread_cond_broadcast(&pool.work);
        return;
    }
    while (jobs-- > 0)
        pthread_cond_signal(&pool.work);
}

static void submit_all(UNUSED void *arg)
{
    size_t added = submitter.jobs.count, queued, idle;

    open_notify_fd();
    if (submitter.threads == 0)
        grow_pool(added);
    if (submitter.threads == 0) {
        run_inline();
        return;
    }
    pthread_mutex_lock(&pool.lock);
    job_list_join(&pool.queued, &submitter.jobs);
    queued = pool.queued.count;
    idle = pool.idle;
    pthread_mutex_unlock(&pool.lock);
    if (idle > 0)
        wake_workers(added, idle);
    if (queued > idle)
        grow_pool(queued - idle);
}

void offload(void (*fn)(void *arg), void *arg)
{
    struct job job = {.fn = fn, .arg = arg, .fiber = fiber_self()};

    if (!job.fiber) {
        fn(arg);
        return;
    }
    job_list_append(&submitter.jobs, &job);
    loop_defer(&submitter.task, submit_all, NULL);
    fiber_suspend();
}

/* Threads do not survive fork(), and one may have held the lock. */
void offload_reinit_after_fork(void)
{
    bool was_open = submitter.open;
    int read_fd = submitter.done_ev.fd, write_fd = pool.notify_fd;

    memset(&submitter, 0, sizeof submitter);
    memset(&pool, 0, sizeof pool);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.work, NULL);
    if (!was_open)
        return;
    close(read_fd);
    if (write_fd != read_fd)
        close(write_fd);
}

struct fsync_call {
    int fd, error;
};

static void fsync_call_run(void *arg)
{
    struct fsync_call *call = arg;

    call->error = fsync(call->fd) < 0 ? errno : 0;
}

int offload_fsync(int fd)
{
    struct fsync_call call = {.fd = fd};

    offload(fsync_call_run, &call);
    return call.error;
}
