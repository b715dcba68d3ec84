#include "master/master.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/paths.h"
#include "master/master_start.h"
#include "master/service_log.h"
#include "util/msg.h"

/* Signal handlers get no argument; this is the one object of the process. */
static struct master master;

static void on_child(int signo)
{
    (void)signo;
    process_reap(&master);
}

static void on_reload(int signo)
{
    (void)signo;
    master_reload(&master);
}

static void on_stop(int signo)
{
    if (master.phase < MASTER_STOPPING)
        msg_info("terminating on signal %d", signo);
    master_stop(&master, MASTER_STOPPING);
}

static void on_abort(int signo)
{
    msg_info("terminating on signal %d", signo);
    master_stop(&master, MASTER_ABORTING);
}

static void on_drain(int signo)
{
    if (master.phase < MASTER_DRAINING)
        msg_info("terminating on signal %d", signo);
    master_stop(&master, MASTER_DRAINING);
}

static void on_exit_time(void *arg)
{
    msg_info("master exit time has arrived");
    master_stop(arg, MASTER_DRAINING);
}

static void install_signals(void)
{
    loop_on_signal(SIGCHLD, on_child);
    loop_on_signal(SIGHUP, on_reload);
    loop_on_signal(SIGTERM, on_stop);
    loop_on_signal(SIGINT, on_stop);
    loop_on_signal(SIGQUIT, on_abort);
    loop_on_signal(SIGUSR1, on_drain);
}

static size_t core_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (size_t)count : 1;
}

static void init_state(void)
{
    list_init(&master.sockets);
    list_init(&master.orphans);
    hash_init(&master.by_pid, false);
    master.cores = core_count();
    master.rootless = geteuid() != 0;
    umask(077);
}

static struct config *first_config(void)
{
    const struct config_source source = {.program = "master"};
    struct err err;
    struct config *cfg = config_load(&source, &err);

    if (!cfg)
        msg_fatal("%s", err.text);
    if (chdir(cfg->queue_directory) < 0)
        msg_fatal("queue_directory %s: %s", cfg->queue_directory, strerror(errno));
    return cfg;
}

static void start_set(struct config *cfg)
{
    struct err err;
    struct master_set *set;

    /* First the locks: opening sockets would disturb a master that runs already. */
    if (!master_look_up_owner(&master, cfg, &err))
        msg_fatal("%s", err.text);
    start_locks(&master, cfg);
    set = set_build(&master, &err);
    if (!set)
        msg_fatal("%s", err.text);
    start_limits(set);
    service_log_open(set->cfg, "master");
    start_ready(&master);
    msg_info("daemon started -- version %s, configuration %s", MAIL_VERSION,
             set->cfg->dir);
    if (master.rootless)
        msg_warn("not started by root: all services run as uid %ld, without chroot",
                 (long)geteuid());
    set_commit(&master, set);
}

int master_main(int argc, char **argv)
{
    struct config *cfg;

    msg_init("postfix/master");
    init_state();
    start_options(&master, argc, argv);
    cfg = first_config();
    if (master.options.test)
        start_test(cfg);
    if (master.options.wait)
        start_background();
    service_log_open_command(cfg, "master");
    msg_also_stderr(true);
    if (!master.options.init_mode && !master.options.foreground)
        setsid();
    start_environment(cfg);

    loop_init();
    install_signals();
    start_set(cfg);
    config_free(cfg);
    if (master.options.exit_after_s)
        loop_timer_set(&master.exit_timer, master.options.exit_after_s * 1000,
                       on_exit_time, &master);
    loop_run();
    return 0;
}
