#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "master/service_lock.h"
#include "postfix/postfix.h"
#include "util/msg.h"

#define STOP_WAIT_MS  30000 /* master helps stubborn services along much earlier */
#define ABORT_WAIT_MS 10000
#define POLL_MS       50

pid_t control_master_pid(const struct postfix *pf)
{
    const char *path =
        arena_printf(pf->cfg->arena, "%s/%s/master.pid", pf->cfg->queue_directory,
                     pf->cfg->process_id_directory);

    return service_lock_holder(path);
}

static void sleep_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static pid_t running_master(struct postfix *pf)
{
    pid_t pid = control_master_pid(pf);

    if (pid == 0)
        msg_fatal("the Postfix mail system is not running");
    if (pid < 0)
        msg_fatal(
            "cannot tell which process is the master daemon: see %s/%s/master.pid",
            pf->cfg->queue_directory, pf->cfg->process_id_directory);
    return pid;
}

static void signal_master(pid_t pid, int signo)
{
    if (kill(pid, signo) < 0)
        msg_fatal("signal the master daemon, pid %ld: %s", (long)pid, strerror(errno));
}

static bool wait_for_end(struct postfix *pf, long limit_ms)
{
    for (long waited = 0; waited < limit_ms; waited += POLL_MS) {
        if (control_master_pid(pf) == 0)
            return true;
        sleep_ms(POLL_MS);
    }
    return false;
}

/* -- start -- */

static char *master_path(struct postfix *pf)
{
    return arena_printf(pf->cfg->arena, "%s/master", pf->cfg->daemon_directory);
}

static void prepare_start(struct postfix *pf)
{
    if (control_master_pid(pf) != 0)
        msg_fatal("the Postfix mail system is already running");
    if (!check_before_start(pf)) {
        msg_also_stderr(true);
        msg_fatal("Postfix integrity check failed!");
    }
}

int control_start(struct postfix *pf)
{
    char *argv[4] = {master_path(pf), "-w"};

    if (strcmp(pf->cfg->maillog_file, "/dev/stdout") == 0) {
        msg_also_stderr(true);
        msg_fatal("maillog_file = /dev/stdout needs \"postfix start-fg\"");
    }
    prepare_start(pf);
    msg_info("starting the Postfix mail system");
    msg_flush();
    if (pf->debug)
        argv[2] = "-D";
    if (run_program(argv) != 0) {
        msg_also_stderr(true);
        msg_fatal("mail system startup failed");
    }
    return 0;
}

int control_start_foreground(struct postfix *pf)
{
    char *argv[4] = {master_path(pf), getpid() == 1 ? "-i" : "-s"};

    prepare_start(pf);
    msg_info("starting the Postfix mail system");
    msg_flush();
    if (pf->debug)
        argv[2] = "-D";
    execv(argv[0], argv);
    msg_also_stderr(true);
    msg_fatal("execute %s: %s", argv[0], strerror(errno));
}

/* -- stop -- */

int control_stop(struct postfix *pf)
{
    pid_t pid = running_master(pf);

    msg_info("stopping the Postfix mail system");
    signal_master(pid, SIGTERM);
    if (wait_for_end(pf, STOP_WAIT_MS))
        return 0;
    msg_warn("the master daemon does not end -- use \"postfix abort\"");
    return 1;
}

/* For scripts that take the host down: nothing to stop is as good. */
int control_quick_stop(struct postfix *pf)
{
    pid_t pid;

    msg_set_fatal_status(0);
    pid = running_master(pf);

    msg_info("stopping the Postfix mail system");
    signal_master(pid, SIGTERM);
    return 0;
}

int control_drain(struct postfix *pf)
{
    pid_t pid = running_master(pf);

    msg_info("stopping the Postfix mail system");
    signal_master(pid, SIGUSR1);
    return 0;
}

int control_abort(struct postfix *pf)
{
    pid_t pid = running_master(pf);

    msg_info("aborting the Postfix mail system");
    signal_master(pid, SIGQUIT);
    if (!wait_for_end(pf, ABORT_WAIT_MS))
        signal_master(pid, SIGKILL);
    return 0;
}

/* -- others -- */

int control_reload(struct postfix *pf)
{
    pid_t pid = running_master(pf);

    if (!check_before_reload(pf)) {
        msg_also_stderr(true);
        msg_fatal("reload refused: the mail system goes on with its present "
                  "configuration");
    }
    msg_info("refreshing the Postfix mail system");
    signal_master(pid, SIGHUP);
    return 0;
}

int control_flush(struct postfix *pf)
{
    char *argv[] = {
        arena_printf(pf->cfg->arena, "%s/postqueue", pf->cfg->command_directory), "-f",
        NULL};

    return run_program(argv);
}
