#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#include "util/net.h"
#include "util/offload.h"

struct forward_job {
    const char *name;
    int family;
    struct net_addr *list;
    size_t count;
    int status, error;
};

static bool is_listed(const struct forward_job *job, const struct net_addr *addr)
{
    for (size_t i = 0; i < job->count; i++) {
        if (net_addr_equal_host(&job->list[i], addr))
            return true;
    }
    return false;
}

static void add_addr(struct forward_job *job, const struct addrinfo *info)
{
    struct net_addr addr = {0};

    if (info->ai_addrlen > sizeof addr.ss)
        return;
    memcpy(&addr.ss, info->ai_addr, info->ai_addrlen);
    addr.len = info->ai_addrlen;
    net_addr_set_port(&addr, 0);
    if (is_listed(job, &addr))
        return;
    job->list = xrealloc(job->list, (job->count + 1) * sizeof *job->list);
    job->list[job->count++] = addr;
}

static void forward_work(void *arg)
{
    struct forward_job *job = arg;
    struct addrinfo hints = {.ai_family = job->family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;

    job->status = getaddrinfo(job->name, NULL, &hints, &all);
    job->error = errno;
    if (job->status != 0)
        return;
    for (struct addrinfo *info = all; info && job->count < NET_NAME_ADDRS_MAX;
         info = info->ai_next) {
        if (info->ai_family == AF_INET || info->ai_family == AF_INET6)
            add_addr(job, info);
    }
    freeaddrinfo(all);
}

int net_name_to_addrs(const char *name, int family, struct net_addr **list_out,
                      size_t *count_out)
{
    struct forward_job job = {.name = name, .family = family};

    offload_wait(forward_work, &job);
    *list_out = job.list;
    *count_out = job.count;
    errno = job.error;
    if (job.status == 0 && job.count == 0)
        return EAI_NONAME;
    return job.status;
}

struct reverse_job {
    const struct net_addr *addr;
    char *name;
    size_t size;
    int status, error;
};

static void reverse_work(void *arg)
{
    struct reverse_job *job = arg;

    job->status = getnameinfo(&job->addr->sa, job->addr->len, job->name,
                              (socklen_t)job->size, NULL, 0, NI_NAMEREQD);
    job->error = errno;
}

int net_addr_to_name(const struct net_addr *addr, char *name_out, size_t name_size)
{
    struct reverse_job job = {.addr = addr, .name = name_out, .size = name_size};

    name_out[0] = '\0';
    offload_wait(reverse_work, &job);
    errno = job.error;
    return job.status;
}
