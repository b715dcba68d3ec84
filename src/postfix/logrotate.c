#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "master/service_log.h"
#include "postfix/postfix.h"
#include "util/msg.h"

#define REOPEN_WAIT_S 1 /* for the old log service to write its last lines */

static bool is_plain(const char *suffix)
{
    for (; *suffix; suffix++) {
        if (!ascii_alnum(*suffix) && !strchr("-_.:+", *suffix))
            return false;
    }
    return true;
}

static const char *rotated_name(struct postfix *pf)
{
    char suffix[128];
    time_t now = time(NULL);
    struct tm tm;

    if (!localtime_r(&now, &tm) ||
        strftime(suffix, sizeof suffix, pf->cfg->maillog_file_rotate_suffix, &tm) ==
            0 ||
        !is_plain(suffix))
        msg_fatal("parameter maillog_file_rotate_suffix: \"%s\" gives no file name",
                  pf->cfg->maillog_file_rotate_suffix);
    return arena_printf(pf->cfg->arena, "%s.%s", pf->cfg->maillog_file, suffix);
}

/* The running log service holds the old file open, whatever its name, until the
 * reload; only then is the file complete and may be compressed. */
int logrotate(struct postfix *pf)
{
    const char *path = pf->cfg->maillog_file, *rotated;
    pid_t master = control_master_pid(pf);
    char *argv[3];

    msg_also_stderr(true);
    if (!path[0])
        msg_fatal("maillog_file is empty: there is no log file to rotate");
    if (strncmp(path, "/dev/", 5) == 0)
        msg_fatal("not rotating \"maillog_file = %s\"", path);
    if (!service_log_file_allowed(pf->cfg))
        msg_fatal(
            "maillog_file \"%s\" is not below one of maillog_file_prefixes \"%s\"",
            path, pf->cfg->maillog_file_prefixes);
    rotated = rotated_name(pf);
    if (access(rotated, F_OK) == 0)
        msg_fatal("%s exists already", rotated);
    if (rename(path, rotated) < 0)
        msg_fatal("rename %s to %s: %s", path, rotated, strerror(errno));
    if (master > 0) {
        if (kill(master, SIGHUP) < 0)
            msg_fatal("signal the master daemon: %s", strerror(errno));
        sleep(REOPEN_WAIT_S);
    }
    argv[0] = (char *)pf->cfg->maillog_file_compressor;
    argv[1] = (char *)rotated;
    argv[2] = NULL;
    return run_program(argv) == 0 ? 0 : 1;
}
