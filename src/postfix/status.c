#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "global/paths.h"
#include "postfix/postfix.h"
#include "util/escape.h"
#include "util/msg.h"

/* The master daemon writes its pid file once, when it starts. */
static int64_t uptime_s(const struct postfix *pf)
{
    const char *path =
        arena_printf(pf->cfg->arena, "%s/%s/master.pid", pf->cfg->queue_directory,
                     pf->cfg->process_id_directory);
    struct stat st;

    if (stat(path, &st) < 0)
        return -1;
    return st.st_mtime < time(NULL) ? (int64_t)(time(NULL) - st.st_mtime) : 0;
}

static void add_text(struct strbuf *sb, const char *name, const char *value)
{
    strbuf_addf(sb, ", \"%s\": ", name);
    json_string(sb, span_str(value));
}

static void print_json(const struct postfix *pf, pid_t pid)
{
    int64_t uptime = pid ? uptime_s(pf) : -1;
    struct strbuf sb = STRBUF_INIT;

    strbuf_addf(&sb, "{\"running\": %s", pid ? "true" : "false");
    if (pid > 0)
        strbuf_addf(&sb, ", \"pid\": %ld", (long)pid);
    if (uptime >= 0)
        strbuf_addf(&sb, ", \"uptime_seconds\": %lld", (long long)uptime);
    add_text(&sb, "version", MAIL_VERSION);
    add_text(&sb, "instance", pf->cfg->multi_instance_name);
    add_text(&sb, "config_directory", pf->cfg->dir);
    add_text(&sb, "queue_directory", pf->cfg->queue_directory);
    strbuf_add_str(&sb, "}\n");
    fwrite(sb.ptr, 1, sb.len, stdout);
    fflush(stdout);
    strbuf_free(&sb);
}

int status_command(struct postfix *pf)
{
    pid_t pid = control_master_pid(pf);

    if (pf->json)
        print_json(pf, pid);
    else if (pid == 0)
        msg_info("the Postfix mail system is not running");
    else
        msg_info("the Postfix mail system is running: PID: %ld", (long)pid);
    return pid ? 0 : 1;
}
