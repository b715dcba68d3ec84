/* Replies of hostile servers of tcp, socketmap, memcache and proxy tables. The first
 * byte picks the kind; a thread of this process answers on a UNIX socket with the rest,
 * except for tcp, which has no UNIX sockets and is asked for its parser. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "table/tcp_reply.h"
#include "util/msg.h"

#define ANSWERS_MAX 3
#define VALUE_MAX   200

static struct {
    char dir[64], path[128], socketmap[160], memcache[160];
    int listener;
    pthread_mutex_t lock; /* of the rest */
    struct span reply;
    int answers;
} server = {.dir = "/tmp/fuzz_table_wire.XXXXXX", .lock = PTHREAD_MUTEX_INITIALIZER};

static const char *param(void *arg UNUSED, const char *name)
{
    static const struct {
        const char *name, *value;
    } fixed[] = {{"queue_directory", server.dir},
                 {"fuzz_memcache", server.memcache},
                 {"fuzz_max_try", "1"},
                 {"fuzz_data_size_limit", "200"},
                 {"socketmap_max_reply_size", "200"},
                 {"cache_backup", "static:kept"},
                 {"cache_memcache", server.memcache}};

    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (strcmp(name, fixed[i].name) == 0)
            return fixed[i].value;
    return NULL;
}

static const struct table_env env = {.param = param};

/* Every connection gets the reply and an end, and the later ones just the end. */
static void *serve(void *arg UNUSED)
{
    char drain[4096];

    for (;;) {
        int fd = accept(server.listener, NULL, NULL);

        if (fd < 0)
            continue;
        pthread_mutex_lock(&server.lock);
        struct span reply = server.answers++ < ANSWERS_MAX ? server.reply : SPAN_EMPTY;
        ssize_t sent =
            reply.len ? send(fd, reply.ptr, reply.len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        pthread_mutex_unlock(&server.lock);
        shutdown(fd, SHUT_WR);
        while (sent >= 0 && recv(fd, drain, sizeof(drain), 0) > 0)
            ;
        close(fd);
    }
    return NULL;
}

static void remove_all(void)
{
    char private_dir[80];

    unlink(server.path);
    snprintf(private_dir, sizeof(private_dir), "%s/private", server.dir);
    rmdir(private_dir);
    rmdir(server.dir);
}

static void start_server(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;

    if (!mkdtemp(server.dir))
        panic("no folder for the socket");
    snprintf(server.path, sizeof(server.path), "%s/private", server.dir);
    mkdir(server.path, 0700);
    snprintf(server.path, sizeof(server.path), "%s/private/proxymap", server.dir);
    snprintf(server.memcache, sizeof(server.memcache), "unix:%s", server.path);
    snprintf(server.socketmap, sizeof(server.socketmap), "socketmap:unix:%s:m",
             server.path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server.path);
    server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server.listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(server.listener, 8) < 0 ||
        pthread_create(&thread, NULL, serve, NULL) != 0)
        panic("no server");
    pthread_detach(thread);
    atexit(remove_all);
}

static void set_reply(struct span reply)
{
    pthread_mutex_lock(&server.lock);
    server.reply = reply;
    server.answers = 0;
    pthread_mutex_unlock(&server.lock);
}

static void check_text(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            panic("a control character from outside is to be logged");
}

static void walk(struct table *table)
{
    struct span key, value;
    struct err err;

    for (int i = 0; i < 20; i++)
        if (table_next(table, i == 0, &key, &value, &err) != TABLE_FOUND)
            return;
}

static void ask(const char *name, bool is_proxy)
{
    struct err err;
    const char *value;
    struct table *table = table_open(&env, name, TABLE_READ, 0, &err);

    if (!table)
        panic("%s: %s", name, err.text);
    struct arena *arena = arena_new();
    enum table_status status =
        table_lookup(table, SPAN_LIT("key"), arena, &value, &err);
    if (status == TABLE_FOUND && !is_proxy && strlen(value) > VALUE_MAX)
        panic("%s: a value of %zu bytes", name, strlen(value));
    if (!is_proxy && (status == TABLE_RETRY || status == TABLE_BROKEN))
        check_text(err.text);
    if (is_proxy)
        walk(table);
    arena_free(arena);
    table_close(table);
}

static void parse_tcp(struct span in)
{
    struct strbuf value = STRBUF_INIT;
    struct err err;
    ssize_t end = tcp_reply_complete(NULL, in, &err);

    if (end < 0 || (end == 0 && in.len <= TCP_REPLY_MAX))
        return;
    if (end == 0 || in.ptr[end - 1] != '\n')
        panic("a line without an end");
    enum table_status status = tcp_reply_judge(
        "server", span_rtrim(span_first(in, (size_t)end)), &value, &err);
    if (status == TABLE_RETRY)
        check_text(err.text);
    else if (value.len + 4 >= (size_t)end || in.ptr[1] != '0')
        panic("more was found than the server said");
    strbuf_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 8192)
        return 0;
    if (!server.memcache[0]) {
        msg_set_sink(MSG_SINK_FILE, "/dev/null");
        start_server();
    }
    const char *const names[] = {server.socketmap, "memcache:fuzz", "memcache:cache",
                                 "proxy:inline:{a=b}"};
    struct span reply = span_of((const char *)data + 1, size - 1);
    size_t kind = data[0] % (ARRAY_LEN(names) + 1);
    if (kind == ARRAY_LEN(names)) {
        parse_tcp(reply);
        return 0;
    }
    set_reply(reply);
    ask(names[kind], kind == 3);
    set_reply(SPAN_EMPTY);
    return 0;
}
