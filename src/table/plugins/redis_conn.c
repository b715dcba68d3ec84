#include "table/plugins/redis_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util/escape.h"

struct redis_conn {
    const struct redis_settings *settings;
    char *host; /* as configured */
    int fd;
    SSL *ssl;
    redisReader *reader;
    int64_t deadline; /* of the call under way */
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* -- waiting -- */

static bool wait_for(const struct redis_conn *conn, short events, struct err *err)
{
    struct pollfd pfd = {.fd = conn->fd, .events = events};

    for (;;) {
        int64_t left = conn->deadline - now_ms();
        int ready = left > 0 ? poll(&pfd, 1, (int)left) : 0;
        if (ready > 0)
            return true;
        if (ready == 0)
            return err_set(err, "timeout");
        if (errno != EINTR)
            return err_set(err, "poll: %s", strerror(errno));
    }
}

static bool tls_error(const char *what, struct err *err)
{
    char text[160];
    unsigned long code = ERR_get_error();

    if (code == 0)
        return err_set(err, "TLS %s: connection lost", what);
    ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return err_set(err, "TLS %s: %s", what, text);
}

/* After an SSL call that returned rc <= 0: wait for what it needs, or false. */
static bool tls_wait(struct redis_conn *conn, int rc, const char *what, struct err *err)
{
    switch (SSL_get_error(conn->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(conn, POLLIN, err) || err_prefix(err, "TLS %s", what);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(conn, POLLOUT, err) || err_prefix(err, "TLS %s", what);
    case SSL_ERROR_ZERO_RETURN:
        return err_set(err, "connection closed by the server");
    default:
        return tls_error(what, err);
    }
}

/* -- reading and writing -- */

static bool send_all(struct redis_conn *conn, const char *data, size_t len,
                     struct err *err)
{
    while (len > 0) {
        ssize_t sent;
        if (conn->ssl) {
            ERR_clear_error(); /* of others on this thread */
            sent = SSL_write(conn->ssl, data, (int)len);
            if (sent <= 0 && !tls_wait(conn, (int)sent, "write", err))
                return false;
        } else {
            sent = send(conn->fd, data, len, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN && errno != EINTR)
                return err_set(err, "write: %s", strerror(errno));
            if (sent < 0 && !wait_for(conn, POLLOUT, err))
                return false;
        }
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        }
    }
    return true;
}

/* At least one byte; 0 with err. */
static size_t receive(struct redis_conn *conn, char *buf, size_t size, struct err *err)
{
    for (;;) {
        ssize_t got;
        if (conn->ssl) {
            ERR_clear_error();
            got = SSL_read(conn->ssl, buf, (int)size);
            if (got <= 0 && !tls_wait(conn, (int)got, "read", err))
                return 0;
        } else {
            got = recv(conn->fd, buf, size, 0);
            if (got == 0) {
                err_set(err, "connection closed by the server");
                return 0;
            }
            if (got < 0 && errno != EAGAIN && errno != EINTR) {
                err_set(err, "read: %s", strerror(errno));
                return 0;
            }
            if (got < 0 && !wait_for(conn, POLLIN, err))
                return 0;
        }
        if (got > 0)
            return (size_t)got;
    }
}

static redisReply *read_reply(struct redis_conn *conn, struct err *err)
{
    char buf[16 * 1024];
    size_t total = 0;

    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            err_set(err, "protocol error: %.100s", redis_reader_problem(conn->reader));
            return NULL;
        }
        if (reply && conn->reader->pos < conn->reader->len) {
            freeReplyObject(reply); /* the next question would get a wrong answer */
            err_set(err, "protocol error: more than one reply");
            return NULL;
        }
        if (reply)
            return reply;
        size_t got = receive(conn, buf, sizeof(buf), err);
        if (got == 0)
            return NULL;
        total += got;
        if (total > REDIS_MAX_REPLY) {
            err_set(err, "reply longer than %u bytes", REDIS_MAX_REPLY);
            return NULL;
        }
        redisReaderFeed(conn->reader, buf, got);
    }
}

static redisReply *exchange(struct redis_conn *conn, const struct span *args,
                            size_t count, struct err *err)
{
    const char **argv = xcalloc(count, sizeof(*argv));
    size_t *lens = xcalloc(count, sizeof(*lens));
    char *text = NULL;
    redisReply *reply = NULL;

    for (size_t i = 0; i < count; i++) {
        argv[i] = args[i].ptr ? args[i].ptr : "";
        lens[i] = args[i].len;
    }
    long long len = redisFormatCommandArgv(&text, (int)count, argv, lens);
    free(argv);
    free(lens);
    if (len < 0)
        panic("redisFormatCommandArgv: out of memory");
    if (send_all(conn, text, (size_t)len, err))
        reply = read_reply(conn, err);
    explicit_bzero(text, (size_t)len); /* it may hold the password */
    redisFreeCommand(text);
    return reply;
}

redisReply *redis_conn_call(struct redis_conn *conn, const struct span *args,
                            size_t count, struct err *err)
{
    conn->deadline = now_ms() + conn->settings->timeout_ms;
    redisReply *reply = exchange(conn, args, count, err);
    if (!reply)
        err_prefix(err, "redis server %s", conn->host);
    return reply;
}

void redis_error_text(const redisReply *reply, struct strbuf *out)
{
    size_t len = (size_t)reply->len;

    escape_printable(out, span_of(reply->str, len < 200 ? len : 200), '?', false);
}

/* -- connecting -- */

bool redis_host_split(const char *text, char host[REDIS_MAX_HOST + 1], char port[6])
{
    struct span rest = span_str(text), name, number = SPAN_LIT("6379");
    uint32_t value;

    if (rest.len > 0 && rest.ptr[0] == '[') {
        ssize_t close = span_chr(rest, ']');
        if (close < 0)
            return false;
        name = span_of(rest.ptr + 1, (size_t)close - 1);
        rest = span_skip(rest, (size_t)close + 1);
        if (rest.len > 0 && rest.ptr[0] != ':')
            return false;
        if (rest.len > 0)
            number = span_skip(rest, 1);
    } else {
        name = span_cut(&rest, ':');
        if (rest.ptr)
            number = rest;
    }
    if (name.len == 0 || name.len > REDIS_MAX_HOST || !span_u32(number, &value) ||
        value == 0 || value > UINT16_MAX)
        return false;
    snprintf(host, REDIS_MAX_HOST + 1, "%.*s", SPAN_ARG(name));
    snprintf(port, 6, "%u", (unsigned)value);
    return true;
}

static bool connect_to(struct redis_conn *conn, const struct sockaddr *addr,
                       socklen_t len, struct err *err)
{
    int problem = 0;
    socklen_t size = sizeof(problem);

    conn->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return err_set(err, "socket: %s", strerror(errno));
    if (connect(conn->fd, addr, len) == 0)
        return true;
    if (errno != EINPROGRESS)
        problem = errno;
    else if (!wait_for(conn, POLLOUT, err))
        return false;
    else
        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    return problem == 0 || err_set(err, "connect: %s", strerror(problem));
}

static void close_socket(struct redis_conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
}

static bool connect_unix(struct redis_conn *conn, const char *path, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(addr.sun_path))
        return err_set(err, "the path is too long for a socket");
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    return connect_to(conn, (struct sockaddr *)&addr, sizeof(addr), err);
}

static bool connect_inet(struct redis_conn *conn, const char *name, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    char host[REDIS_MAX_HOST + 1], port[6];
    bool done = false;
    int one = 1;

    if (!redis_host_split(name, host, port))
        return err_set(err, "not a host, host:port or [address]:port");
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return err_set(err, "%s", gai_strerror(rc));
    int64_t end = conn->deadline;
    for (struct addrinfo *ai = list; ai && !done; ai = ai->ai_next) {
        int64_t now = now_ms();
        conn->deadline = ai->ai_next ? now + (end - now) / 2 : end;
        done = connect_to(conn, ai->ai_addr, ai->ai_addrlen, err);
        if (!done)
            close_socket(conn);
    }
    conn->deadline = end;
    freeaddrinfo(list);
    if (done)
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return done;
}

static bool is_address(const char *host)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list;

    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return false;
    freeaddrinfo(list);
    return true;
}

/* Whom the certificate must be for; a server on a UNIX socket has no name. */
static void expect_name(struct redis_conn *conn)
{
    char host[REDIS_MAX_HOST + 1], port[6];
    const char *name = conn->settings->tls_server_name;

    if (!name && strncmp(conn->host, "unix:", 5) != 0 &&
        redis_host_split(conn->host, host, port))
        name = host;
    if (!name)
        return;
    if (is_address(name)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(conn->ssl), name);
    } else {
        SSL_set1_host(conn->ssl, name);
        SSL_set_tlsext_host_name(conn->ssl, name);
    }
}

static bool start_tls(struct redis_conn *conn, struct err *err)
{
    int rc;

    ERR_clear_error();
    conn->ssl = SSL_new(conn->settings->tls);
    if (!conn->ssl || !SSL_set_fd(conn->ssl, conn->fd))
        return tls_error("start", err);
    SSL_set_mode(conn->ssl,
                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    expect_name(conn);
    while ((rc = SSL_connect(conn->ssl)) <= 0) {
        long verdict = SSL_get_verify_result(conn->ssl);
        if (verdict != X509_V_OK && SSL_get_verify_mode(conn->ssl) != SSL_VERIFY_NONE) {
            ERR_clear_error();
            return err_set(err, "TLS certificate: %s",
                           X509_verify_cert_error_string(verdict));
        }
        if (!tls_wait(conn, rc, "handshake", err))
            return false;
    }
    return true;
}

/* A command of the beginning, which must not fail. what: for the message, without the
 * arguments, one of which is the password. */
static bool greet(struct redis_conn *conn, const char *what, const struct span *args,
                  size_t count, struct err *err)
{
    redisReply *reply = exchange(conn, args, count, err);

    if (!reply)
        return err_prefix(err, "%s", what);
    bool good = reply->type != REDIS_REPLY_ERROR;
    if (!good) {
        struct strbuf text = STRBUF_INIT;
        redis_error_text(reply, &text);
        err_set(err, "%s: %s", what, text.ptr);
        strbuf_free(&text);
    }
    freeReplyObject(reply);
    return good;
}

static bool begin_session(struct redis_conn *conn, struct err *err)
{
    const struct redis_settings *set = conn->settings;
    char db[16];

    if (set->password) {
        struct span args[3] = {SPAN_LIT("AUTH"), span_str(set->user)};
        size_t count = set->user ? 2 : 1;
        args[count++] = span_str(set->password);
        if (!greet(conn, "authentication failed", args, count, err))
            return false;
    }
    if (set->db == 0)
        return true;
    snprintf(db, sizeof(db), "%u", set->db);
    struct span args[] = {SPAN_LIT("SELECT"), span_str(db)};
    return greet(conn, "cannot select the data base", args, 2, err);
}

struct redis_conn *redis_conn_open(const struct redis_settings *settings,
                                   const char *host, struct err *err)
{
    struct redis_conn *conn = xcalloc(1, sizeof(*conn));

    conn->settings = settings;
    conn->host = xstrdup(host);
    conn->fd = -1;
    conn->reader = redis_reader_new();
    conn->deadline = now_ms() + settings->timeout_ms;
    bool good = strncmp(host, "unix:", 5) == 0 ? connect_unix(conn, host + 5, err)
                                               : connect_inet(conn, host, err);
    if (good && (!settings->tls || start_tls(conn, err)) && begin_session(conn, err))
        return conn;
    err_prefix(err, "redis server %s", host);
    redis_conn_close(conn);
    return NULL;
}

void redis_conn_close(struct redis_conn *conn)
{
    if (!conn)
        return;
    SSL_free(conn->ssl);
    close_socket(conn);
    redis_reader_free(conn->reader);
    free(conn->host);
    free(conn);
}

const char *redis_conn_host(const struct redis_conn *conn)
{
    return conn->host;
}
