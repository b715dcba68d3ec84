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

enum { POOL_SHORT, POOL_WAIT, POOL_COUNT };

static const size_t pool_limits[POOL_COUNT] = {OFFLOAD_THREADS, OFFLOAD_WAIT_THREADS};

/* What workers share with the loop's thread. */
static struct shared {
    pthread_mutex_t lock;
    struct pool {
        pthread_cond_t work;
        struct job_list queued;
        size_t idle;
    } pools[POOL_COUNT];
    struct job_list done;
    int notify_fd; /* written when done becomes non-empty */
} shared = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .pools = {{.work = PTHREAD_COND_INITIALIZER}, {.work = PTHREAD_COND_INITIALIZER}},
};

/* The part of the loop's thread. Jobs are handed over once a tick, so that many
 * cost one lock and few wake-ups. */
static struct submitter {
    struct job_list jobs[POOL_COUNT];
    struct loop_task task;
    size_t threads[POOL_COUNT];
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

static void *worker(void *arg)
{
    struct pool *pool = arg;

    pthread_mutex_lock(&shared.lock);
    for (;;) {
        struct job *job;

        while (!pool->queued.head) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &shared.lock);
            pool->idle--;
        }
        job = job_list_pop(&pool->queued);
        pthread_mutex_unlock(&shared.lock);
        job->fn(job->arg);
        pthread_mutex_lock(&shared.lock);
        job_list_append(&shared.done, job);
        if (shared.done.count == 1)
            notify_loop(shared.notify_fd);
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
    pthread_mutex_lock(&shared.lock);
    done = shared.done;
    memset(&shared.done, 0, sizeof shared.done);
    pthread_mutex_unlock(&shared.lock);
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
    shared.notify_fd = fds[1];
    evfd_init(&submitter.done_ev, fds[0]);
    evfd_watch(&submitter.done_ev, on_done, NULL);
    submitter.open = true;
}

/* Workers inherit the mask of their creator: signals are for the loop's thread. */
static int start_thread(struct pool *pool)
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
    error = pthread_create(&thread, &attr, worker, pool);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return error;
}

static void grow_pool(int which, size_t wanted)
{
    for (; wanted > 0 && submitter.threads[which] < pool_limits[which]; wanted--) {
        int error = start_thread(&shared.pools[which]);

        if (error) {
            msg_warn("cannot start a worker thread: %s", strerror(error));
            return;
        }
        submitter.threads[which]++;
    }
}

static void run_inline(struct job_list *jobs)
{
    while (jobs->head) {
        struct job *job = job_list_pop(jobs);

        job->fn(job->arg);
        fiber_unsuspend(job->fiber);
    }
}

static void wake_workers(struct pool *pool, size_t jobs, size_t idle)
{
    if (jobs >= idle) {
        pthread_cond_broadcast(&pool->work);
        return;
    }
    while (jobs-- > 0)
        pthread_cond_signal(&pool->work);
}

static void submit(int which)
{
    struct pool *pool = &shared.pools[which];
    struct job_list *jobs = &submitter.jobs[which];
    size_t added = jobs->count, queued, idle;

    if (added == 0)
        return;
    if (submitter.threads[which] == 0)
        grow_pool(which, added);
    if (submitter.threads[which] == 0) {
        run_inline(jobs);
        return;
    }
    pthread_mutex_lock(&shared.lock);
    job_list_join(&pool->queued, jobs);
    queued = pool->queued.count;
    idle = pool->idle;
    pthread_mutex_unlock(&shared.lock);
    if (idle > 0)
        wake_workers(pool, added, idle);
    if (queued > idle)
        grow_pool(which, queued - idle);
}

static void submit_all(UNUSED void *arg)
{
    open_notify_fd();
    for (int which = 0; which < POOL_COUNT; which++)
        submit(which);
}

static void run_in_pool(int which, void (*fn)(void *arg), void *arg)
{
    struct job job = {.fn = fn, .arg = arg, .fiber = fiber_self()};

    if (!job.fiber) {
        fn(arg);
        return;
    }
    job_list_append(&submitter.jobs[which], &job);
    loop_defer(&submitter.task, submit_all, NULL);
    fiber_suspend();
}

void offload(void (*fn)(void *arg), void *arg)
{
    run_in_pool(POOL_SHORT, fn, arg);
}

void offload_wait(void (*fn)(void *arg), void *arg)
{
    run_in_pool(POOL_WAIT, fn, arg);
}

/* Threads do not survive fork(), and one may have held the lock. */
void offload_reinit_after_fork(void)
{
    bool was_open = submitter.open;
    int read_fd = submitter.done_ev.fd, write_fd = shared.notify_fd;

    memset(&submitter, 0, sizeof submitter);
    memset(&shared, 0, sizeof shared);
    pthread_mutex_init(&shared.lock, NULL);
    for (int which = 0; which < POOL_COUNT; which++)
        pthread_cond_init(&shared.pools[which].work, NULL);
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
