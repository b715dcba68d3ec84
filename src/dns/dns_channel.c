#include <ares.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dns/dns_internal.h"
#include "util/file.h"
#include "util/msg.h"

#define RESOLV_CONF        "/etc/resolv.conf"
#define RESOLV_CONF_MAX    65536
#define REFRESH_MS         1000
#define TIMEOUT_DEFAULT_MS 5000
#define ATTEMPTS_DEFAULT   2
#define TIMEOUT_MAX_MS     30000
#define ATTEMPTS_MAX       5
/* Fits into any path's packets (DNS flag day 2020). */
#define UDP_SIZE       1232
#define CLASS_IN       1
#define HEADER_FLAG_AD 0x20 /* in byte 3 */
#define EDNS_FLAG_DO   0x80 /* in the fourth byte from the end */
#define RCODE_NXDOMAIN 3

/* One c-ares channel. A change of servers makes a new one; the old one is kept until
 * its last question is answered. */
struct channel {
    struct list link;
    ares_channel ares;
    struct list sockets;
    struct loop_timer timer;
    int64_t timer_ms;
    size_t pending;
    bool inside; /* of a c-ares call that may end sockets */
};

struct socket_watch {
    struct list link;
    struct evfd ev;
    struct channel *channel;
    bool is_tcp, want_write, dead;
    struct loop_task write_task;
};

struct question {
    struct channel *channel;
    dns_answer_fn *fn;
    void *arg;
};

static struct resolver {
    struct list channels; /* the current one is first */
    bool started, have_current;
    char *servers; /* set by hand, or NULL */
    int timeout_ms, attempts;
    struct stat conf_stat;
    int64_t checked_at;
    uint16_t ids[128];
    size_t ids_left;
} resolver = {.channels = {&resolver.channels, &resolver.channels}};

/* -- sockets -- */

static void free_dead_sockets(struct channel *channel)
{
    list_each_safe(link, &channel->sockets)
    {
        struct socket_watch *watch = list_entry(link, struct socket_watch, link);

        if (!watch->dead)
            continue;
        list_remove(&watch->link);
        list_remove(&watch->write_task.link);
        free(watch);
    }
}

static void channel_free(struct channel *channel)
{
    list_remove(&channel->link);
    loop_timer_cancel(&channel->timer);
    channel->inside = true;
    ares_destroy(channel->ares);
    free_dead_sockets(channel);
    free(channel);
}

static bool is_current(const struct channel *channel)
{
    return resolver.have_current &&
           channel == list_first(&resolver.channels, struct channel, link);
}

static void channel_process(struct channel *channel, ares_socket_t read_fd,
                            ares_socket_t write_fd)
{
    channel->inside = true;
    ares_process_fd(channel->ares, read_fd, write_fd);
    channel->inside = false;
}

/* After the last use of channel by a callback. */
static void channel_leave(struct channel *channel)
{
    free_dead_sockets(channel);
    if (channel->pending == 0 && !is_current(channel))
        channel_free(channel);
}

/* c-ares reads UDP sockets until they are empty, but one piece at a time from TCP;
 * with edge-triggered events nobody would call again for the rest. */
static bool tcp_has_more(const struct socket_watch *watch)
{
    char byte;

    return watch->is_tcp && !watch->dead &&
           recv(watch->ev.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void socket_ready(struct evfd *ev, void *arg)
{
    struct socket_watch *watch = arg;
    struct channel *channel = watch->channel;

    if (ev->writable && watch->want_write)
        channel_process(channel, ARES_SOCKET_BAD, ev->fd);
    if (!watch->dead && (ev->readable || ev->hangup)) {
        do {
            channel_process(channel, ev->fd, ARES_SOCKET_BAD);
        } while (tcp_has_more(watch));
        evfd_read_blocked(ev);
    }
    if (!watch->dead && watch->want_write)
        evfd_write_blocked(ev);
    channel_leave(channel);
}

static void write_now(void *arg)
{
    struct socket_watch *watch = arg;

    if (!watch->dead)
        socket_ready(&watch->ev, watch);
}

static struct socket_watch *find_socket(struct channel *channel, int fd)
{
    list_each(link, &channel->sockets)
    {
        struct socket_watch *watch = list_entry(link, struct socket_watch, link);

        if (!watch->dead && watch->ev.fd == fd)
            return watch;
    }
    return NULL;
}

static struct socket_watch *watch_socket(struct channel *channel, int fd)
{
    struct socket_watch *watch = xcalloc(1, sizeof *watch);
    int type = SOCK_DGRAM;
    socklen_t len = sizeof type;

    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    watch->channel = channel;
    watch->is_tcp = type == SOCK_STREAM;
    list_append(&channel->sockets, &watch->link);
    evfd_init(&watch->ev, fd);
    evfd_watch(&watch->ev, socket_ready, watch);
    return watch;
}

/* c-ares tells what it waits for; nothing at all: the socket is about to close. */
static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct channel *channel = arg;
    struct socket_watch *watch = find_socket(channel, fd);

    if (!readable && !writable) {
        if (watch) {
            evfd_forget(&watch->ev);
            watch->dead = true;
        }
        return;
    }
    if (!watch)
        watch = watch_socket(channel, fd);
    watch->want_write = writable;
    if (writable && watch->ev.writable)
        loop_defer(&watch->write_task, write_now, watch);
}

/* -- time -- */

static void timer_fired(void *arg)
{
    struct channel *channel = arg;

    channel_process(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (channel->pending > 0)
        loop_timer_set(&channel->timer, channel->timer_ms, timer_fired, channel);
    channel_leave(channel);
}

/* A coarse tick while something is in flight: asking c-ares for the next timeout
 * looks at every question each time. */
static void arm_timer(struct channel *channel)
{
    if (!heap_linked(&channel->timer.node))
        loop_timer_set(&channel->timer, channel->timer_ms, timer_fired, channel);
}

/* -- channels -- */

static int bounded_option(struct span option, const char *name, int otherwise, int max)
{
    struct span prefix = span_str(name);
    uint32_t value;

    if (!span_starts(option, prefix) ||
        !span_u32(span_skip(option, prefix.len), &value) || value == 0)
        return otherwise;
    return value > (uint32_t)max ? max : (int)value;
}

/* "options timeout:N attempts:N", which this generation of c-ares does not read. */
static void read_conf_options(int *timeout_ms, int *attempts)
{
    struct strbuf text = STRBUF_INIT;
    struct span rest, line, word;
    struct err err;

    if (file_read_all(RESOLV_CONF, RESOLV_CONF_MAX, &text, &err)) {
        rest = strbuf_span(&text);
        while (span_token(&rest, "\r\n", &line)) {
            if (!span_token(&line, " \t", &word) || !span_eq_str(word, "options"))
                continue;
            while (span_token(&line, " \t", &word)) {
                *timeout_ms =
                    1000 * bounded_option(word, "timeout:", *timeout_ms / 1000,
                                          TIMEOUT_MAX_MS / 1000);
                *attempts = bounded_option(word, "attempts:", *attempts, ATTEMPTS_MAX);
            }
        }
    }
    strbuf_free(&text);
}

static bool all_servers_are_local(ares_channel ares)
{
    struct ares_addr_node *servers = NULL;
    bool local = true;

    if (ares_get_servers(ares, &servers) != ARES_SUCCESS)
        return false;
    for (struct ares_addr_node *node = servers; node; node = node->next) {
        struct net_addr addr = {0};

        addr.sa.sa_family = (sa_family_t)node->family;
        if (node->family == AF_INET) {
            addr.in.sin_addr = node->addr.addr4;
            addr.len = sizeof addr.in;
        } else {
            memcpy(&addr.in6.sin6_addr, &node->addr.addr6, 16);
            addr.len = sizeof addr.in6;
        }
        local = local && net_addr_is_loopback(&addr);
    }
    local = local && servers != NULL;
    ares_free_data(servers);
    return local;
}

static int open_ares(struct channel *channel, const char *servers, int extra_flags)
{
    int timeout_ms = TIMEOUT_DEFAULT_MS, attempts = ATTEMPTS_DEFAULT, status;
    struct ares_options options = {
        .flags =
            ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS | extra_flags,
        .ednspsz = UDP_SIZE,
        .sock_state_cb = socket_state,
        .sock_state_cb_data = channel,
    };

    read_conf_options(&timeout_ms, &attempts);
    options.timeout = resolver.timeout_ms > 0 ? resolver.timeout_ms : timeout_ms;
    options.tries = resolver.attempts > 0 ? resolver.attempts : attempts;
    channel->timer_ms = options.timeout / 8;
    if (channel->timer_ms > 200)
        channel->timer_ms = 200;
    status = ares_init_options(&channel->ares, &options,
                               ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS |
                                   ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS || !servers)
        return status;
    status = ares_set_servers_ports_csv(channel->ares, servers);
    if (status != ARES_SUCCESS)
        ares_destroy(channel->ares);
    return status;
}

static struct channel *channel_new(const char *servers, int *status_out)
{
    struct channel *channel = xcalloc(1, sizeof *channel);

    list_init(&channel->sockets);
    *status_out = open_ares(channel, servers, 0);
    /* One socket for good saves four system calls a question. It would also make the
     * port guessable, which matters where answers cross a network. */
    if (*status_out == ARES_SUCCESS && all_servers_are_local(channel->ares)) {
        ares_destroy(channel->ares);
        *status_out = open_ares(channel, servers, ARES_FLAG_STAYOPEN);
    }
    if (*status_out != ARES_SUCCESS) {
        free(channel);
        return NULL;
    }
    return channel;
}

static void retire_current(void)
{
    struct channel *channel;

    if (!resolver.have_current)
        return;
    channel = list_first(&resolver.channels, struct channel, link);
    resolver.have_current = false;
    if (channel->pending == 0 && !channel->inside)
        channel_free(channel);
}

static struct channel *current_channel(void)
{
    struct channel *channel;
    int status;

    if (resolver.have_current)
        return list_first(&resolver.channels, struct channel, link);
    if (!resolver.started && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        panic("cannot initialise c-ares");
    resolver.started = true;
    channel = channel_new(resolver.servers, &status);
    if (!channel) {
        msg_warn("cannot start the DNS resolver: %s", ares_strerror(status));
        return NULL;
    }
    list_prepend(&resolver.channels, &channel->link);
    resolver.have_current = true;
    return channel;
}

bool dns_channel_refresh(void)
{
    struct stat st;
    bool changed;

    if (resolver.servers ||
        (resolver.checked_at > 0 && loop_now() - resolver.checked_at < REFRESH_MS))
        return false;
    resolver.checked_at = loop_now();
    if (stat(RESOLV_CONF, &st) < 0)
        return false;
    changed = st.st_mtim.tv_sec != resolver.conf_stat.st_mtim.tv_sec ||
              st.st_mtim.tv_nsec != resolver.conf_stat.st_mtim.tv_nsec ||
              st.st_ino != resolver.conf_stat.st_ino ||
              st.st_size != resolver.conf_stat.st_size;
    resolver.conf_stat = st;
    if (!changed || !resolver.have_current)
        return false;
    retire_current();
    return true;
}

void dns_channel_shutdown(void)
{
    resolver.have_current = false;
    while (!list_empty(&resolver.channels))
        channel_free(list_first(&resolver.channels, struct channel, link));
    if (resolver.started)
        ares_library_cleanup();
    resolver.started = false;
}

bool dns_channel_set_servers(const char *servers, struct err *err)
{
    char *copy = servers ? xstrdup(servers) : NULL;
    struct channel *channel;
    int status = ARES_SUCCESS;

    if (!resolver.started && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        panic("cannot initialise c-ares");
    resolver.started = true;
    channel = channel_new(copy, &status);
    if (!channel) {
        free(copy);
        return err_set(err, "DNS servers \"%s\": %s", servers ? servers : RESOLV_CONF,
                       ares_strerror(status));
    }
    retire_current();
    free(resolver.servers);
    resolver.servers = copy;
    list_prepend(&resolver.channels, &channel->link);
    resolver.have_current = true;
    return true;
}

void dns_set_timeouts(int timeout_ms, int attempts)
{
    resolver.timeout_ms = timeout_ms;
    resolver.attempts = attempts;
    retire_current();
}

/* -- questions -- */

/* Unpredictable, since it protects against forged replies (RFC 5452). */
static uint16_t random_id(void)
{
    if (resolver.ids_left == 0) {
        if (getrandom(resolver.ids, sizeof resolver.ids, 0) != sizeof resolver.ids)
            panic("getrandom: %s", strerror(errno));
        resolver.ids_left = ARRAY_LEN(resolver.ids);
    }
    return resolver.ids[--resolver.ids_left];
}

/* c-ares keeps replies that tell of a failed server to itself. It knows some names that
 * must not be asked (RFC 7686). */
static int rcode_of_status(int status)
{
    return status == ARES_ENOTFOUND ? RCODE_NXDOMAIN : 0;
}

static void answered(void *arg, int status, int timeouts UNUSED, unsigned char *reply,
                     int len)
{
    struct question *question = arg;
    struct span data = SPAN_EMPTY;

    question->channel->pending--;
    if (reply && len > 0)
        data = span_of((const char *)reply, (size_t)len);
    question->fn(question->arg, data, rcode_of_status(status));
    free(question);
}

void dns_channel_send(const char *name, enum dns_type type, bool want_dnssec,
                      dns_answer_fn *fn, void *arg)
{
    struct channel *channel = current_channel();
    struct question *question;
    unsigned char *query = NULL;
    int len = 0, status;

    if (!channel) {
        fn(arg, SPAN_EMPTY, 0);
        return;
    }
    status = ares_create_query(name, CLASS_IN, (int)type, random_id(), 1, &query, &len,
                               UDP_SIZE);
    if (status != ARES_SUCCESS) {
        fn(arg, SPAN_EMPTY, rcode_of_status(status));
        return;
    }
    if (want_dnssec) {
        query[3] |= HEADER_FLAG_AD;
        query[len - 4] |= EDNS_FLAG_DO;
    }
    question = xmalloc(sizeof *question);
    *question = (struct question){channel, fn, arg};
    channel->pending++;
    arm_timer(channel);
    channel->inside = true;
    ares_send(channel->ares, query, len, answered, question);
    channel->inside = false;
    ares_free_string(query);
    free_dead_sockets(channel);
}
