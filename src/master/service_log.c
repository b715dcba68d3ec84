#include "master/service_log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/msg.h"
#include "util/net.h"

static void set_ident(const struct config *cfg, const char *program)
{
    char ident[128];

    snprintf(ident, sizeof ident, "%s/%s", cfg->syslog_name, program);
    msg_init(ident);
    msg_set_host(cfg->myhostname);
}

void service_log_open(const struct config *cfg, const char *program)
{
    char path[108];

    set_ident(cfg, program);
    if (!cfg->maillog_file[0]) {
        msg_set_sink(MSG_SINK_SYSLOG, cfg->syslog_facility);
        return;
    }
    snprintf(path, sizeof path, "public/%s", cfg->postlog_service_name);
    msg_set_sink(MSG_SINK_POSTLOG, path);
}

/* A prefix matches whole path components: "/var" covers "/var/log", not "/variety". */
static bool path_has_prefix(struct span path, struct span prefix)
{
    while (prefix.len > 1 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    if (!span_starts(path, prefix))
        return false;
    return path.len == prefix.len || path.ptr[prefix.len] == '/' ||
           span_eq_str(prefix, "/");
}

bool service_log_file_allowed(const struct config *cfg)
{
    struct span rest = span_str(cfg->maillog_file_prefixes), prefix;

    if (strstr(cfg->maillog_file, "/../"))
        return false;
    while (span_token(&rest, ", \t\r\n", &prefix)) {
        if (path_has_prefix(span_str(cfg->maillog_file), prefix))
            return true;
    }
    return false;
}

static bool socket_answers(const char *path)
{
    struct net_addr addr;
    int fd;
    bool answers;

    if (!net_addr_unix(path, &addr))
        return false;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    answers = fd >= 0 && connect(fd, &addr.sa, addr.len) == 0;
    if (fd >= 0)
        close(fd);
    return answers;
}

void service_log_open_command(const struct config *cfg, const char *program)
{
    char path[108];

    set_ident(cfg, program);
    if (!cfg->maillog_file[0]) {
        msg_set_sink(MSG_SINK_SYSLOG, cfg->syslog_facility);
        return;
    }
    snprintf(path, sizeof path, "%s/public/%s", cfg->queue_directory,
             cfg->postlog_service_name);
    if (socket_answers(path))
        msg_set_sink(MSG_SINK_POSTLOG, path);
    else if (service_log_file_allowed(cfg) &&
             (strcmp(cfg->maillog_file, "/dev/stdout") == 0 ||
              access(cfg->maillog_file, W_OK) == 0 || errno == ENOENT))
        msg_set_sink(MSG_SINK_FILE, cfg->maillog_file);
}
