#include "master/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master/service_frame.h"
#include "master/service_log.h"
#include "util/msg.h"

#define FATAL_PAUSE_S    1 /* so that a broken service does not keep master busy */
#define DEBUGGER_PAUSE_S 5

static struct service_frame *process_frame;

struct service_frame *frame_of_process(void)
{
    return process_frame;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void pause_before_exit(void)
{
    sleep(FATAL_PAUSE_S);
}

static bool is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void close_from(int first)
{
#if defined(__linux__) || defined(__FreeBSD__)
    close_range((unsigned)first, ~0U, 0);
#else
    closefrom(first);
#endif
}

/* Until the configuration is read: the log that master uses. */
static void open_early_log(const char *program)
{
    const char *service = getenv("POSTLOG_SERVICE");
    char text[128];

    snprintf(text, sizeof text, "postfix/%s", program);
    msg_init(text);
    if (service && *service && !strchr(service, '/')) {
        snprintf(text, sizeof text, "public/%s", service);
        msg_set_sink(MSG_SINK_POSTLOG, text);
    } else {
        msg_set_sink(MSG_SINK_SYSLOG, "mail");
    }
}

/* main.cf as it was when master read it: an edit takes effect with the next reload,
 * for all services at once, and a broken one does no harm before that. */
static void read_snapshot(struct strbuf *text)
{
    const char *fd_text = getenv(SERVICE_MAIN_CF_ENV);
    char buf[8192];
    uint32_t fd;
    off_t at = 0;
    ssize_t len;

    if (!fd_text || !span_u32(span_str(fd_text), &fd) || fd > INT32_MAX)
        return;
    /* The offset is shared with the other services: pread. */
    while ((len = pread((int)fd, buf, sizeof buf, at)) > 0) {
        strbuf_add(text, buf, (size_t)len);
        at += len;
    }
    if (len < 0)
        strbuf_reset(text);
    unsetenv(SERVICE_MAIN_CF_ENV);
}

static void load_config(struct service_frame *frame, const char *program)
{
    struct config_source source = {.program = program,
                                   .service = frame->args.name,
                                   .overrides = frame->args.overrides,
                                   .override_count = frame->args.override_count};
    struct err err;

    if (frame->main_cf.len > 0)
        source.main_cf = strbuf_span(&frame->main_cf);
    frame->svc.cfg = config_load(&source, &err);
    strbuf_free(&frame->main_cf);
    if (!frame->svc.cfg)
        msg_fatal("%s", err.text);
}

static void run_debugger(const struct service_frame *frame)
{
    const char *command = frame->svc.cfg->debugger_command;

    if (!command[0])
        msg_fatal("-D was given, but debugger_command is empty");
    if (system(command) != 0)
        msg_warn("debugger_command failed");
    sleep(DEBUGGER_PAUSE_S);
}

/* Shares of maxproc bound services that serve one client a session. A solitary
 * service or one that multiplexes has all its clients in few processes. */
static void set_limits(struct service_frame *frame)
{
    const struct service_ops *ops = frame->svc.ops;
    const struct config *cfg = frame->svc.cfg;
    bool by_session = ops->session && !ops->solitary;

    frame->quota = by_session && frame->args.quota ? frame->args.quota : SIZE_MAX;
    frame->stack_size = ops->stack_size ? ops->stack_size : FIBER_STACK_DEFAULT;
    if (!ops->solitary && cfg->max_use > 0)
        frame->use_limit =
            (uint64_t)cfg->max_use * (frame->args.quota ? frame->args.quota : 1);
}

static struct service_frame *frame_new(const struct service_ops *ops)
{
    struct service_frame *frame = xcalloc(1, sizeof *frame);
    const char *generation = getenv("GP_GENERATION");

    frame->svc.frame = frame;
    frame->svc.ops = ops;
    frame->svc.arena = arena_new();
    if (generation)
        span_u32(span_str(generation), &frame->generation);
    strbuf_init(&frame->main_cf);
    list_init(&frame->sessions);
    list_init(&frame->conns);
    hash_init(&frame->notes, false);
    return frame;
}

static void frame_configure(struct service_frame *frame, const char *program)
{
    struct service *svc = &frame->svc;

    load_config(frame, program);
    svc->name = frame->args.name;
    svc->type = frame->args.type;
    svc->args = frame->args.rest;
    svc->is_public = frame->args.is_public;
    if (chdir(svc->cfg->queue_directory) < 0)
        msg_fatal("queue_directory %s: %s", svc->cfg->queue_directory, strerror(errno));
    service_log_open(svc->cfg, program);
    set_limits(frame);
    if (frame->args.debug)
        run_debugger(frame);
}

int service_main(int argc, char **argv, const struct service_ops *ops)
{
    struct service_frame *frame = frame_new(ops);
    const char *program = last_part(argv[0]);
    struct err err;

    umask(077);
    msg_init(program);
    if (!service_args_parse(argc, argv, frame->svc.arena, &frame->args, &err))
        msg_fatal("%s", err.text);
    if (!is_socket(SERVICE_STATUS_FD))
        msg_fatal("this program is started by the master daemon, as master.cf says");
    read_snapshot(&frame->main_cf);
    close_from(SERVICE_LISTENER_FD + (int)frame->args.listener_count);
    net_set_cloexec(SERVICE_STATUS_FD, true);
    process_frame = frame;
    open_early_log(program);
    msg_on_exit(pause_before_exit);

    frame_configure(frame, program);
    crash_init(frame);
    if (ops->solitary)
        jail_lock(frame);
    loop_init();
    if (ops->pre_jail)
        ops->pre_jail(&frame->svc);
    jail_enter(frame);
    if (ops->post_jail)
        ops->post_jail(&frame->svc);
    msg_on_exit(NULL);

    accept_start(frame);
    life_start(frame);
    loop_run();
    msg_flush();
    exit(0);
}

void service_note_session(const char *text)
{
    struct service_frame *frame = process_frame;
    struct fiber *self = fiber_self();
    struct hash_node *node;

    if (!frame || !self)
        return;
    node = hash_find(&frame->notes, span_of((const char *)&self, sizeof self));
    if (node)
        snprintf(hash_entry(node, struct service_session, node)->note, SERVICE_NOTE_MAX,
                 "%s", text);
}
