#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "master/master.h"
#include "util/msg.h"
#include "util/strbuf.h"

#define BACKLOG       4096 /* the kernel caps it at net.core.somaxconn */
#define BIND_TRIES    40   /* at start; a running master has no predecessor */
#define BIND_RETRY_MS 50
#define SOCKET_MODE   0666 /* the directory protects it */

/* -- the pool -- */

/* The file behind a UNIX socket may have been removed or replaced since. */
static bool socket_is_current(const struct master_socket *sock)
{
    struct stat st;

    return !sock->path || (lstat(sock->path, &st) == 0 && st.st_dev == sock->path_dev &&
                           st.st_ino == sock->path_ino);
}

static struct master_socket *socket_find(struct master *master, const char *key)
{
    list_each(link, &master->sockets)
    {
        struct master_socket *sock = list_entry(link, struct master_socket, link);

        if (strcmp(sock->key, key) == 0 && socket_is_current(sock))
            return sock;
    }
    return NULL;
}

static void socket_close(struct master_socket *sock)
{
    list_remove(&sock->link);
    close(sock->fd);
    free(sock->key);
    free(sock->path);
    free(sock);
}

static struct master_socket *socket_add(struct master *master, const char *key,
                                        const char *path, int fd, struct err *err)
{
    struct master_socket *sock;
    struct stat st = {0};
    int high = fcntl(fd, F_DUPFD_CLOEXEC, MASTER_FD_BASE);

    close(fd);
    if (high < 0) {
        err_set(err, "%s: %s", key, strerror(errno));
        return NULL;
    }
    if (path) {
        if (!master->rootless && chown(path, master->owner_uid, master->owner_gid) < 0)
            msg_warn("change owner of %s: %s", path, strerror(errno));
        if (lstat(path, &st) < 0)
            msg_warn("%s: %s", path, strerror(errno));
    }
    sock = xcalloc(1, sizeof *sock);
    sock->key = xstrdup(key);
    sock->path = path ? xstrdup(path) : NULL;
    sock->path_dev = st.st_dev;
    sock->path_ino = st.st_ino;
    sock->fd = high;
    sock->claimed = true;
    list_append(&master->sockets, &sock->link);
    return sock;
}

void sockets_commit(struct master *master)
{
    list_each_safe(link, &master->sockets)
    {
        struct master_socket *sock = list_entry(link, struct master_socket, link);

        if (!sock->claimed) {
            /* Only if no new socket has taken the name. */
            if (sock->path && socket_is_current(sock))
                unlink(sock->path);
            socket_close(sock);
            continue;
        }
        sock->claimed = false;
        sock->in_force = true;
    }
}

void sockets_rollback(struct master *master)
{
    list_each_safe(link, &master->sockets)
    {
        struct master_socket *sock = list_entry(link, struct master_socket, link);

        sock->claimed = false;
        if (!sock->in_force)
            socket_close(sock);
    }
}

void sockets_close_all(struct master *master, const struct master_service *spared)
{
    list_each_safe(link, &master->sockets)
    {
        struct master_socket *sock = list_entry(link, struct master_socket, link);

        if (!spared || sock != spared->listeners[0].socket)
            socket_close(sock);
    }
}

static bool add_listener(struct master_service *service, struct master_socket *sock,
                         struct err *err)
{
    struct master_listener *listener;

    for (size_t i = 0; i < service->listener_count; i++) {
        if (service->listeners[i].socket == sock)
            return true; /* the same address named twice */
    }
    if (service->listener_count == MASTER_LISTEN_MAX)
        return err_set(err, "more than %d addresses", MASTER_LISTEN_MAX);
    sock->claimed = true;
    listener = &service->listeners[service->listener_count++];
    listener->service = service;
    listener->socket = sock;
    evfd_init(&listener->ev, sock->fd);
    return true;
}

/* -- inet -- */

static void protocols(const struct config *cfg, bool *ipv4, bool *ipv6)
{
    struct span rest = span_str(cfg->inet_protocols), word;

    *ipv4 = *ipv6 = false;
    while (span_token(&rest, ", \t\r\n", &word)) {
        bool all = span_ieq_str(word, "all");

        *ipv4 = *ipv4 || all || span_ieq_str(word, "ipv4");
        *ipv6 = *ipv6 || all || span_ieq_str(word, "ipv6");
    }
}

/* State of one service's search for addresses. */
struct inet_claim {
    struct master *master;
    struct master_service *service;
    uint16_t port;
    bool ipv4, ipv6;
    size_t skipped; /* addresses of a family that this host lacks */
};

/* A host without IPv6 is normal, also with inet_protocols = all. */
static bool family_is_absent(const struct net_addr *addr, int error)
{
    return error == EAFNOSUPPORT || error == EPROTONOSUPPORT ||
           (addr->sa.sa_family == AF_INET6 && error == EADDRNOTAVAIL);
}

/* Services of a master that was killed close their sockets a moment later. */
static int listen_patiently(const struct inet_claim *claim, const struct net_addr *addr,
                            struct err *err)
{
    const struct timespec pause = {0, BIND_RETRY_MS * 1000000L};
    int tries = claim->master->set ? 1 : BIND_TRIES, fd;

    while ((fd = net_listen(addr, BACKLOG, err)) < 0 && errno == EADDRINUSE &&
           --tries > 0)
        nanosleep(&pause, NULL);
    return fd;
}

static bool claim_addr(struct inet_claim *claim, const struct net_addr *addr,
                       struct err *err)
{
    char host[NET_ADDR_STRLEN], key[NET_ADDR_STRLEN + 32];
    struct master_socket *sock;
    int fd;

    net_addr_host(addr, host);
    snprintf(key, sizeof key, "inet [%s]:%u", host, (unsigned)net_addr_port(addr));
    sock = socket_find(claim->master, key);
    if (sock && sock->claimed) {
        for (size_t i = 0; i < claim->service->listener_count; i++) {
            if (claim->service->listeners[i].socket == sock)
                return true;
        }
        return err_set(err, "%s is the address of another service, too", key + 5);
    }
    if (!sock) {
        fd = listen_patiently(claim, addr, err);
        if (fd < 0 && family_is_absent(addr, errno)) {
            claim->skipped++;
            return true;
        }
        if (fd < 0)
            return false;
        sock = socket_add(claim->master, key, NULL, fd, err);
        if (!sock)
            return false;
    }
    claim->service->exposed |= !net_addr_is_loopback(addr);
    return add_listener(claim->service, sock, err);
}

static bool claim_text(struct inet_claim *claim, const char *text, struct err *err)
{
    struct net_addr addr;

    return !net_addr_parse(span_str(text), claim->port, &addr) ||
           claim_addr(claim, &addr, err);
}

static bool claim_host(struct inet_claim *claim, struct span host, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *ai;
    struct net_addr addr;
    char name[256];
    bool good = true;
    int error;

    if (net_addr_parse(host, claim->port, &addr))
        return claim_addr(claim, &addr, err);
    snprintf(name, sizeof name, "%.*s", SPAN_ARG(host));
    hints.ai_family = !claim->ipv6 ? AF_INET : !claim->ipv4 ? AF_INET6 : AF_UNSPEC;
    error = getaddrinfo(name, NULL, &hints, &list);
    if (error != 0)
        return err_set(err, "host \"%s\": %s", name, gai_strerror(error));
    for (ai = list; ai && good; ai = ai->ai_next) {
        memcpy(&addr.ss, ai->ai_addr, ai->ai_addrlen);
        addr.len = ai->ai_addrlen;
        net_addr_set_port(&addr, claim->port);
        good = claim_addr(claim, &addr, err);
    }
    freeaddrinfo(list);
    return good;
}

static bool claim_interfaces(struct inet_claim *claim, const char *interfaces,
                             struct err *err)
{
    struct span rest = span_str(interfaces), word;
    bool good = true;

    while (good && span_token(&rest, ", \t\r\n", &word)) {
        bool all = span_ieq_str(word, "all");

        if (all || span_ieq_str(word, "loopback-only"))
            good = (!claim->ipv4 ||
                    claim_text(claim, all ? "0.0.0.0" : "127.0.0.1", err)) &&
                   (!claim->ipv6 || claim_text(claim, all ? "::" : "::1", err));
        else
            good = claim_host(claim, word, err) ||
                   err_prefix(err, "parameter inet_interfaces");
    }
    return good;
}

/* "25", or "127.0.0.1:25". */
static char *inet_display(struct span host, uint16_t port)
{
    struct strbuf sb = STRBUF_INIT;

    if (host.len > 0)
        strbuf_addf(&sb, "%.*s:", SPAN_ARG(host));
    strbuf_addf(&sb, "%u", (unsigned)port);
    return strbuf_detach(&sb);
}

static bool claim_inet(struct master *master, const struct config *cfg,
                       struct master_service *service, struct err *err)
{
    struct inet_claim claim = {.master = master, .service = service};
    struct span name = span_str(service->entry->name), host = SPAN_EMPTY, port = name;
    bool good;

    if (span_chr(name, ':') >= 0 && !net_split_hostport(name, &host, &port))
        return err_set(err, "not of the form host:port, [address]:port or port");
    if (!net_port_lookup(port, &claim.port))
        return err_set(err, "unknown port or service name \"%.*s\"", SPAN_ARG(port));
    protocols(cfg, &claim.ipv4, &claim.ipv6);
    service->display = inet_display(host, claim.port);
    if (host.len > 0)
        good = claim_host(&claim, host, err);
    else
        good = claim_interfaces(&claim, cfg->inet_interfaces, err);
    if (good && service->listener_count == 0)
        return err_set(err, claim.skipped
                                ? "none of the addresses exists on this host"
                                : "no address to listen on: check inet_interfaces and "
                                  "inet_protocols");
    return good;
}

/* -- unix, pass, unix-dgram, fifo -- */

static int open_fifo(const char *path, struct err *err)
{
    struct stat st;
    int fd;

    if (lstat(path, &st) == 0 && !S_ISFIFO(st.st_mode))
        unlink(path);
    if (mkfifo(path, SOCKET_MODE) < 0 && errno != EEXIST) {
        err_set(err, "make fifo %s: %s", path, strerror(errno));
        return -1;
    }
    /* For writing too, so that it never reports end of file. */
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || chmod(path, SOCKET_MODE) < 0)
        err_set(err, "open fifo %s: %s", path, strerror(errno));
    return fd;
}

static int open_local(enum service_type type, const char *path, struct err *err)
{
    if (type == SERVICE_FIFO)
        return open_fifo(path, err);
    return net_listen_unix(path, SOCKET_MODE,
                           type == SERVICE_UNIX_DGRAM ? SOCK_DGRAM : SOCK_STREAM, err);
}

static bool claim_local(struct master *master, struct master_service *service,
                        struct err *err)
{
    const struct master_entry *entry = service->entry;
    const char *class = entry->is_private ? "private" : "public";
    char path[256], key[300];
    struct master_socket *sock;
    int fd;

    if (strchr(entry->name, '/') || entry->name[0] == '.')
        return err_set(err, "service name must not hold \"/\" or start with \".\"");
    snprintf(path, sizeof path, "%s/%s", class, entry->name);
    snprintf(key, sizeof key, "%s %s",
             entry->type == SERVICE_UNIX_DGRAM ? "unix-dgram"
             : entry->type == SERVICE_FIFO     ? "fifo"
                                               : "unix",
             path);
    service->display = xstrdup(path);
    sock = socket_find(master, key);
    if (sock && sock->claimed)
        return err_set(err, "%s is the address of another service, too", path);
    if (!sock) {
        fd = open_local(entry->type, path, err);
        if (fd < 0)
            return false;
        sock = socket_add(master, key, path, fd, err);
        if (!sock)
            return false;
    }
    return add_listener(service, sock, err);
}

bool sockets_claim(struct master *master, const struct config *cfg,
                   struct master_service *service, struct err *err)
{
    service->listeners = xcalloc(MASTER_LISTEN_MAX, sizeof *service->listeners);
    service->listener_count = 0;
    if (service->entry->type == SERVICE_INET)
        return claim_inet(master, cfg, service, err);
    return claim_local(master, service, err);
}
