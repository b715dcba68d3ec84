#include "table/plugins/ldap_deadline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

/* Above the socket, below TLS. */
#define LEVEL (LBER_SBIOD_LEVEL_PROVIDER + 1)

int64_t ldap_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* -- a layer of the library's input and output -- */

static int layer_setup(Sockbuf_IO_Desc *layer, void *arg)
{
    layer->sbiod_pvt = arg;
    return 0;
}

static int layer_ctrl(Sockbuf_IO_Desc *layer, int option, void *arg)
{
    return LBER_SBIOD_CTRL_NEXT(layer, option, arg);
}

/* False with errno. */
static bool wait_until_ready(Sockbuf_IO_Desc *layer, short events)
{
    const struct ldap_deadline *deadline = layer->sbiod_pvt;
    struct pollfd ready = {.fd = -1, .events = events};
    int count;

    if (ber_sockbuf_ctrl(layer->sbiod_sb, LBER_SB_OPT_GET_FD, &ready.fd) != 1) {
        errno = EBADF;
        return false;
    }
    do {
        int64_t left_ms = deadline->at_ms - ldap_now_ms();
        count = poll(&ready, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (count < 0 && errno == EINTR);
    if (count == 0)
        errno = ETIMEDOUT;
    return count > 0;
}

static ber_slen_t layer_read(Sockbuf_IO_Desc *layer, void *into, ber_len_t size)
{
    ber_slen_t count;

    do {
        if (LBER_SBIOD_CTRL_NEXT(layer, LBER_SB_OPT_DATA_READY, NULL) <= 0 &&
            !wait_until_ready(layer, POLLIN))
            return -1;
        count = LBER_SBIOD_READ_NEXT(layer, into, size);
    } while (count < 0 && errno == EAGAIN);
    return count;
}

static ber_slen_t layer_write(Sockbuf_IO_Desc *layer, void *from, ber_len_t size)
{
    ber_slen_t count;

    do {
        if (!wait_until_ready(layer, POLLOUT))
            return -1;
        count = LBER_SBIOD_WRITE_NEXT(layer, from, size);
    } while (count < 0 && errno == EAGAIN);
    return count;
}

static const Sockbuf_IO layer_ops = {.sbi_setup = layer_setup,
                                     .sbi_ctrl = layer_ctrl,
                                     .sbi_read = layer_read,
                                     .sbi_write = layer_write};

/* -- the library's callbacks -- */

/* The library sets the socket to blocking again once it is connected: a large write
 * would not end. */
static int socket_added(LDAP *ld UNUSED, Sockbuf *sb, LDAPURLDesc *server UNUSED,
                        struct sockaddr *addr UNUSED, struct ldap_conncb *callback)
{
    ber_socket_t fd = -1;

    if (ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) != 1 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return LDAP_LOCAL_ERROR;
    return ber_sockbuf_add_io(sb, (Sockbuf_IO *)&layer_ops, LEVEL, callback->lc_arg) < 0
               ? LDAP_NO_MEMORY
               : LDAP_SUCCESS;
}

static void socket_removed(LDAP *ld UNUSED, Sockbuf *sb UNUSED,
                           struct ldap_conncb *callback UNUSED)
{
}

int ldap_deadline_attach(struct ldap_deadline *deadline, LDAP *ld)
{
    deadline->callback = (struct ldap_conncb){
        .lc_add = socket_added, .lc_del = socket_removed, .lc_arg = deadline};
    return ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &deadline->callback);
}
