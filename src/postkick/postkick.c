/* Send a trigger to a service: a few bytes on its public or private socket, such
 * as "W" to wake the queue manager. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/config.h"
#include "master/service_log.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/net.h"

#define USAGE "usage: postkick [-c config_dir] [-v] class service request"

static bool is_fifo(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int open_endpoint(const struct config *cfg, const char *path, bool fifo)
{
    if (fifo)
        return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return net_connect_unix_blocking(path, (int)cfg->trigger_timeout);
}

/* The service closes the connection once it has read the request. */
static void wait_until_read(int fd, int64_t timeout_s)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    poll(&pfd, 1, timeout_s > 3600 ? 3600 * 1000 : (int)timeout_s * 1000);
}

static bool kick(const struct config *cfg, const char *class, const char *service,
                 const char *request)
{
    char path[512];
    int fd;
    bool sent, fifo;

    snprintf(path, sizeof path, "%s/%s", class, service);
    fifo = is_fifo(path);
    fd = open_endpoint(cfg, path, fifo);
    if (fd < 0) {
        msg_warn("connect to %s: %s", path, strerror(errno));
        msg_warn("Cannot contact class %s service %s - perhaps the mail system is down",
                 class, service);
        return false;
    }
    sent = file_write_full(fd, request, strlen(request));
    if (!sent)
        msg_warn("write to %s: %s", path, strerror(errno));
    else if (!fifo)
        wait_until_read(fd, cfg->application_event_drain_time);
    close(fd);
    return sent;
}

int main(int argc, char **argv)
{
    struct config_source source = {.program = "postkick"};
    struct config *cfg;
    struct err err;
    int option;

    msg_init("postkick");
    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt(argc, argv, "+c:v")) != -1) {
        if (option == 'c')
            source.dir = optarg;
        else if (option == 'v')
            msg_verbose++;
        else
            msg_fatal(USAGE);
    }
    if (argc - optind != 3)
        msg_fatal(USAGE);
    if (strcmp(argv[optind], "public") != 0 && strcmp(argv[optind], "private") != 0)
        msg_fatal("class must be \"public\" or \"private\", not \"%s\"", argv[optind]);
    if (strchr(argv[optind + 1], '/'))
        msg_fatal("service name must not hold \"/\": \"%s\"", argv[optind + 1]);
    cfg = config_load(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    service_log_open_command(cfg, "postkick");
    msg_also_stderr(true);
    if (chdir(cfg->queue_directory) < 0)
        msg_fatal("queue_directory %s: %s", cfg->queue_directory, strerror(errno));
    return kick(cfg, argv[optind], argv[optind + 1], argv[optind + 2]) ? 0 : 1;
}
