#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postmulti/postmulti.h"
#include "util/msg.h"

static const struct config *primary(const struct postmulti *pm)
{
    return pm->instances[0].cfg;
}

static void export_instance(const struct postmulti *pm, const struct instance *instance)
{
    const char *path = getenv("PATH");

    setenv("command_directory", primary(pm)->command_directory, 1);
    setenv("daemon_directory", primary(pm)->daemon_directory, 1);
    setenv("config_directory", instance->dir, 1);
    setenv("queue_directory", instance->queue_directory, 1);
    setenv("data_directory", instance->data_directory, 1);
    setenv("multi_instance_name", instance->name, 1);
    setenv("multi_instance_group", instance->group, 1);
    setenv("multi_instance_enable", instance->enabled ? "yes" : "no", 1);
    setenv("PATH",
           arena_printf(pm->arena, "%s:%s", primary(pm)->command_directory,
                        path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"),
           1);
}

/* Its exit status, or 128 plus the signal number. dir: for MAIL_CONFIG; instance: to be
 * described in the environment, or NULL. */
static int run(const struct postmulti *pm, const char *dir,
               const struct instance *instance, char *const *argv)
{
    pid_t pid;
    int status;

    msg_flush();
    pid = fork();
    if (pid < 0)
        msg_fatal("fork: %s", strerror(errno));
    if (pid == 0) {
        setenv("MAIL_CONFIG", dir, 1);
        if (instance)
            export_instance(pm, instance);
        execvp(argv[0], argv);
        msg_error("execvp %s: %s", argv[0], strerror(errno));
        msg_flush();
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            msg_fatal("waitpid: %s", strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* command_directory/PROGRAM -c DIR OPTION WORDS... */
static int run_ours(const struct postmulti *pm, const char *dir, const char *program,
                    const char *option, const char *const *words)
{
    size_t count = 0, at = 0;
    const char **argv;

    while (words[count])
        count++;
    argv = arena_alloc(pm->arena, (count + 5) * sizeof *argv);
    argv[at++] =
        arena_printf(pm->arena, "%s/%s", primary(pm)->command_directory, program);
    argv[at++] = "-c";
    argv[at++] = dir;
    argv[at++] = option;
    memcpy(argv + at, words, count * sizeof *words);
    return run(pm, dir, NULL, (char *const *)argv);
}

bool run_postconf_try(const struct postmulti *pm, const char *dir,
                      const char *const *settings)
{
    return run_ours(pm, dir, "postconf", "-e", settings) == 0;
}

void run_postconf(const struct postmulti *pm, const char *dir,
                  const char *const *settings)
{
    if (!run_postconf_try(pm, dir, settings))
        msg_fatal("could not edit %s/main.cf", dir);
}

int run_postfix(const struct postmulti *pm, const struct instance *instance,
                char *const *command)
{
    return run_ours(pm, instance->dir, "postfix", "--", (const char *const *)command);
}

static bool word_in(const char *list, const char *word)
{
    struct span rest = span_str(list), token;

    while (span_token(&rest, ", \t\r\n", &token))
        if (span_eq_str(token, word))
            return true;
    return false;
}

/* What may not start is at least looked at. Its faults are logged; they are no failure
 * of the start. */
static bool run_one(struct postmulti *pm, const struct instance *instance)
{
    char *check[] = {"check", NULL};
    bool starts = word_in(primary(pm)->postmulti_start_commands, pm->argv[0]);

    if (!starts || instance->enabled)
        return run_postfix(pm, instance, pm->argv) == 0;
    run_postfix(pm, instance, check);
    return true;
}

int run_postfix_each(struct postmulti *pm)
{
    const struct config *cfg = primary(pm);
    bool stops = word_in(cfg->postmulti_stop_commands, pm->argv[0]);
    bool enabled_only = stops || word_in(cfg->postmulti_control_commands, pm->argv[0]);
    size_t matched = 0;
    int failed = 0;

    for (size_t i = 0; i < pm->count; i++) {
        /* The primary instance starts first and stops last: others may need it. */
        const struct instance *instance = &pm->instances[stops ? pm->count - 1 - i : i];

        if (!instance_is_selected(pm, instance) || (enabled_only && !instance->enabled))
            continue;
        matched++;
        if (!run_one(pm, instance))
            failed = 1;
    }
    if (matched == 0)
        msg_fatal("No matching instances");
    return failed;
}

int run_any_each(struct postmulti *pm)
{
    size_t matched = 0;
    int failed = 0;

    for (size_t i = 0; i < pm->count; i++) {
        const struct instance *instance =
            &pm->instances[pm->reverse ? pm->count - 1 - i : i];

        if (!instance_is_selected(pm, instance))
            continue;
        matched++;
        if (run(pm, instance->dir, instance, pm->argv) != 0)
            failed = 1;
    }
    if (matched == 0)
        msg_fatal("No matching instances");
    return failed;
}
