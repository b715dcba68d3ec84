/* postqueue(1): list and flush the queue, for everybody the configuration allows.
 * Runs set-gid, to reach the public sockets. */
#include "postqueue/postqueue.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "dns/dns_name.h"
#include "global/match_list.h"
#include "global/trigger.h"
#include "master/service_log.h"
#include "util/ipc.h"
#include "util/msg.h"
#include "util/net.h"

#define USAGE                                                                          \
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | "      \
    "postqueue -s site"

struct request {
    const struct config *cfg;
    char mode; /* option letter */
    const char *arg;
};

/* -- who may -- */

static void require(const struct config *cfg, const char *name, const char *list,
                    const char *what)
{
    const struct passwd *pw = getpwuid(getuid());
    const char *user = pw ? pw->pw_name : "unknown";
    struct match_list *allowed;
    enum match_result result;

    if (getuid() == 0)
        return;
    allowed = match_list_open(cfg, name, list, MATCH_STRING);
    result = match_list_find(allowed, span_str(user));
    match_list_close(allowed);
    if (result != MATCH_YES)
        msg_fatal("User %s(%ld) is not allowed to %s", user, (long)getuid(), what);
}

/* -- listing -- */

/* In a fiber: frames from showq until the empty one. */
static bool list_from_showq(int fd, struct list_output *out)
{
    struct stream *stream = stream_new(fd);
    struct arena *arena = arena_new();
    struct queue_list_entry entry;
    const char *missing;
    struct frame frame;
    bool complete = false;

    stream_set_timeout(stream, out->cfg->ipc_timeout * 1000);
    while (ipc_read_frame(stream, &frame) == STREAM_OK) {
        complete = frame.body.len == 0;
        arena_reset(arena);
        if (complete || !queue_list_from_frame(frame.body, arena, &entry, &missing) ||
            !list_print(out, &entry))
            break;
    }
    arena_free(arena);
    stream_free(stream);
    return complete || ferror(stdout);
}

static void list_directly(struct list_output *out, int error)
{
    struct arena *arena = arena_new();
    struct queue queue;

    if (geteuid() != 0)
        msg_fatal("Queue report unavailable - mail system is down (Connect to the %s "
                  "showq service: %s)",
                  out->cfg->mail_name, strerror(error));
    msg_warn("Mail system is down -- accessing queue directly (Connect to the %s showq "
             "service: %s)",
             out->cfg->mail_name, strerror(error));
    queue_init(&queue, out->cfg, arena);
    struct arena *each = arena_new();
    queue_list(&queue, each, list_print, out);
    arena_free(each);
    arena_free(arena);
}

static int list(const struct config *cfg, bool json)
{
    struct list_output out = {.cfg = cfg, .json = json};
    char path[256];
    int fd;

    require(cfg, "authorized_mailq_users", cfg->authorized_mailq_users,
            "view the mail queue");
    snprintf(path, sizeof path, "public/%s", cfg->showq_service_name);
    fd = net_connect_unix_blocking(path, (int)cfg->ipc_timeout);
    if (fd < 0)
        list_directly(&out, errno);
    else if (!list_from_showq(fd, &out))
        msg_fatal("Queue report was cut short - see the mail log");
    list_end(&out);
    if (fflush(stdout) != 0 || ferror(stdout))
        msg_fatal("write error on standard output: %s", strerror(errno));
    return 0;
}

/* -- flushing -- */

static int flush_all(const struct config *cfg)
{
    char path[256];

    require(cfg, "authorized_flush_users", cfg->authorized_flush_users,
            "flush the mail queue");
    snprintf(path, sizeof path, "public/%s", cfg->queue_service_name);
    if (!trigger_send(path, "FADI", cfg->trigger_timeout))
        msg_fatal("Cannot flush mail queue - mail system is down");
    return 0;
}

static void say_why_down(const struct config *cfg, const char *path)
{
    int fd = net_connect_unix_blocking(path, (int)cfg->ipc_timeout);

    if (fd < 0)
        msg_warn("connect to %s: %s", path, strerror(errno));
    else
        close(fd);
}

/* A request to the flush service; its status. */
static int64_t ask_flush(const struct config *cfg, const char *request,
                         const char *name, const char *value)
{
    struct strbuf body = STRBUF_INIT, reply = STRBUF_INIT;
    char path[256];
    struct ipc_pool *pool;
    int64_t status = -1;

    snprintf(path, sizeof path, "public/%s", cfg->flush_service_name);
    pool = ipc_pool_new(path, cfg->ipc_timeout * 1000, 1000, 1);
    frame_str(&body, "request", request);
    frame_str(&body, name, value);
    if (ipc_call(pool, &body, &reply) == IPC_OK) {
        struct frame_reader r = frame_reader(strbuf_span(&reply));

        status = frame_opt_num(&r, "status", -1);
    } else {
        say_why_down(cfg, path);
    }
    ipc_pool_free(pool);
    strbuf_free(&body);
    strbuf_free(&reply);
    return status;
}

static int flush_message(const struct config *cfg, const char *id)
{
    require(cfg, "authorized_flush_users", cfg->authorized_flush_users,
            "flush the mail queue");
    if (!queue_id_valid(span_str(id)))
        msg_fatal("Cannot flush queue ID - invalid name: \"%s\"", id);
    if (ask_flush(cfg, "send_file", "queue_id", id) != 0)
        msg_fatal("Cannot flush mail queue - mail system is down");
    return 0;
}

/* An address is written as in SMTP: [192.0.2.1], [IPv6:2001:db8::1]. */
static bool valid_site(const char *site)
{
    struct span text = span_str(site);
    struct net_addr addr;
    bool v6;

    if (text.len > 2 && text.ptr[0] == '[') {
        if (text.ptr[text.len - 1] != ']')
            return false;
        text = span_of(text.ptr + 1, text.len - 2);
        v6 = text.len > 5 && span_ieq_str(span_first(text, 5), "IPv6:");
        return net_addr_parse(v6 ? span_skip(text, 5) : text, 0, &addr) &&
               v6 == (addr.ss.ss_family == AF_INET6);
    }
    return dns_hostname_valid(text) && !net_addr_parse(text, 0, &addr);
}

/* Asked here first: the service need not run for a site that it does not know. */
static bool is_flush_site(const struct config *cfg, const char *site)
{
    struct match_list *sites = match_list_open(cfg, "fast_flush_domains",
                                               cfg->fast_flush_domains, MATCH_DOMAIN);
    enum match_result result = match_list_find(sites, span_str(site));

    match_list_close(sites);
    return result != MATCH_NO;
}

static int flush_site(const struct config *cfg, const char *site)
{
    int64_t status = 1;

    require(cfg, "authorized_flush_users", cfg->authorized_flush_users,
            "flush the mail queue");
    if (!valid_site(site))
        msg_fatal("Cannot flush mail queue - invalid destination: \"%s\"", site);
    if (is_flush_site(cfg, site))
        status = ask_flush(cfg, "send_site", "site", site);
    if (status == 1)
        msg_fatal("Flush service is not configured for destination \"%s\"", site);
    if (status != 0)
        msg_fatal("Cannot flush mail queue - mail system is down");
    return 0;
}

static int run(void *arg)
{
    const struct request *r = arg;

    switch (r->mode) {
    case 'f':
        return flush_all(r->cfg);
    case 'i':
        return flush_message(r->cfg, r->arg);
    case 's':
        return flush_site(r->cfg, r->arg);
    default:
        return list(r->cfg, r->mode == 'j');
    }
}

static void parse(int argc, char **argv, struct config_source *source,
                  struct request *request)
{
    int c;

    while ((c = getopt(argc, argv, "+c:fi:jps:v")) != -1) {
        switch (c) {
        case 'c':
            source->dir = optarg;
            break;
        case 'v':
            if (geteuid() == 0)
                msg_verbose++;
            break;
        case '?':
            msg_fatal(USAGE);
        default:
            if (request->mode)
                msg_fatal(USAGE);
            request->mode = (char)c;
            request->arg = optarg;
        }
    }
    if (!request->mode || optind < argc)
        msg_fatal(USAGE);
}

int main(int argc, char **argv)
{
    struct config_source source = {.program = "postqueue"};
    struct request request = {0};
    struct config *cfg;
    struct err err;
    int status;

    msg_init("postqueue");
    msg_set_fatal_status(EX_UNAVAILABLE);
    signal(SIGPIPE, SIG_IGN);
    parse(argc, argv, &source, &request);
    cfg = config_load(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    service_log_open_command(cfg, "postqueue");
    msg_also_stderr(true);
    if (chdir(cfg->queue_directory) < 0)
        msg_fatal("queue_directory %s: %s", cfg->queue_directory, strerror(errno));
    request.cfg = cfg;
    loop_init();
    status = fiber_main(run, &request);
    config_free(cfg);
    return status;
}
