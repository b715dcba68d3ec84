/* Socket addresses and sockets. Every socket made here is non-blocking and
 * close-on-exec. */
#ifndef UTIL_NET_H
#define UTIL_NET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/err.h"
#include "util/fiber.h"
#include "util/span.h"

/* Longest printed form: "[IPv6]:port" with scope. */
#define NET_ADDR_STRLEN 80

struct net_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage ss;
    };
    socklen_t len; /* 0 = unset */
};

/* Numeric "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "IPv6:2001:db8::1". */
bool net_addr_parse(struct span text, uint16_t port, struct net_addr *addr_out);
bool net_addr_unix(const char *path, struct net_addr *addr_out); /* false: too long */
void net_addr_host(const struct net_addr *addr, char out[NET_ADDR_STRLEN]); /* no [] */
uint16_t net_addr_port(const struct net_addr *addr); /* host order */
void net_addr_set_port(struct net_addr *addr, uint16_t port);
bool net_addr_equal_host(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_loopback(const struct net_addr *addr);
/* An IPv4-mapped IPv6 address becomes IPv4. */
void net_addr_unmap(struct net_addr *addr);

/* "host:port", "[v6]:port", "port", "host"; no look-up. host may be empty. */
bool net_split_hostport(struct span text, struct span *host_out, struct span *port_out);
/* A port number or a service name of /etc/services ("smtp"); false: unknown. */
bool net_port_lookup(struct span text, uint16_t *port_out);

/* CIDR block: "192.0.2.0/24", "[2001:db8::]/32", "192.0.2.1". */
struct net_block {
    int family; /* AF_INET or AF_INET6 */
    uint8_t bytes[16];
    unsigned prefix_len;
};
/* Non-zero host bits are an error, as operators expect. */
bool net_block_parse(struct span text, struct net_block *block_out, struct err *err);
bool net_block_match(const struct net_block *block, const struct net_addr *addr);

/* Local interface addresses; with prefix length. Caller frees *list_out. */
struct net_interface {
    struct net_addr addr;
    unsigned prefix_len;
};
size_t net_interfaces(struct net_interface **list_out);

int net_listen(const struct net_addr *addr, int backlog,
               struct err *err); /* fd or -1 */
int net_listen_unix(const char *path, mode_t mode, int type, struct err *err);

enum net_connect { NET_CONNECTED, NET_TIMEOUT, NET_CANCELLED, NET_FAILED };
/* Fiber only. bind_to may be NULL. On NET_FAILED errno says why. */
enum net_connect net_connect(const struct net_addr *addr,
                             const struct net_addr *bind_to, int64_t deadline,
                             int *fd_out);
/* UNIX stream; EAGAIN (full backlog) is waited out until the deadline. */
enum net_connect net_connect_unix(const char *path, int64_t deadline, int *fd_out);
/* Blocking variant for commands; -1 and errno. */
int net_connect_unix_blocking(const char *path, int timeout_s);

/* The system's name service (nsswitch.conf) through the offload pool, for fibers.
 * Return 0 or an EAI_ code for gai_strerror(); EAI_SYSTEM leaves errno. A list
 * holds each address once, at most NET_NAME_ADDRS_MAX, port 0; the caller frees
 * it. family: AF_INET, AF_INET6 or AF_UNSPEC. */
#define NET_NAME_ADDRS_MAX 256
int net_name_to_addrs(const char *name, int family, struct net_addr **list_out,
                      size_t *count_out);
/* The name of an address; EAI_NONAME when it has none. */
int net_addr_to_name(const struct net_addr *addr, char *name_out, size_t name_size);

bool net_set_nonblocking(int fd, bool on);
bool net_set_cloexec(int fd, bool on);

#endif
