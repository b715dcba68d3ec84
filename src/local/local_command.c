/* Delivery to commands: environment, input, and what their exit status means. */
#include "local/local.h"

#include <ctype.h>
#include <stdio.h>
#include <paths.h>
#include <stdlib.h>

#include "util/msg.h"

#define OUTPUT_MAX 4096 /* bytes of a command's output that go into a report */

/* -- environment -- */

struct environment {
    struct local_delivery *ld;
    const char **vars; /* NULL-terminated */
    size_t count, room;
};

static void put(struct environment *env, const char *name, const char *value)
{
    const char **vars;

    if (!value)
        return;
    if (env->count + 2 > env->room) {
        env->room = env->room ? env->room * 2 : 32;
        vars = arena_alloc(env->ld->arena, env->room * sizeof *vars);
        if (env->count)
            memcpy(vars, env->vars, env->count * sizeof *vars);
        env->vars = vars;
    }
    env->vars[env->count++] = arena_printf(env->ld->arena, "%s=%s", name, value);
    env->vars[env->count] = NULL;
}

/* Values from outside: nothing that a shell takes for more than text. */
static void put_filtered(struct environment *env, const char *name, const char *value)
{
    if (value && *value)
        put(env, name,
            local_filter(env->ld->arena, value,
                         env->ld->agent->cfg->command_expansion_filter));
}

/* export_environment: names, and name=value settings. */
static void put_exported(struct environment *env)
{
    struct span rest = span_str(env->ld->agent->cfg->export_environment), item;

    while (span_token_braces(&rest, ", \t\r\n", &item)) {
        const char *name = arena_span_str(env->ld->arena, item);
        char *equal;

        if (item.len > 2 && item.ptr[0] == '{')
            name = arena_span_str(env->ld->arena,
                                  span_trim(span_of(item.ptr + 1, item.len - 2)));
        equal = strchr(name, '=');
        if (!equal) {
            put(env, name, getenv(name));
        } else {
            *equal = '\0';
            put(env, arena_span_str(env->ld->arena, span_trim(span_str(name))),
                arena_span_str(env->ld->arena, span_trim(span_str(equal + 1))));
        }
    }
}

static void put_recipient(struct environment *env, const struct local_step *step)
{
    const struct envelope *e = &env->ld->req->env;

    put_filtered(env, "LOGNAME", step->user);
    put_filtered(env, "USER", step->user);
    put_filtered(env, "LOCAL", step->local);
    put_filtered(env, "EXTENSION", step->extension);
    put_filtered(env, "DOMAIN", step->domain);
    put_filtered(env, "RECIPIENT", step->rcpt.address);
    put_filtered(env, "ORIGINAL_RECIPIENT", step->rcpt.orig);
    put_filtered(env, "SENDER", step->sender);
    if (!*step->sender)
        put(env, "SENDER", "");
    put_filtered(env, "CLIENT_HOSTNAME", e->log_client_name);
    put_filtered(env, "CLIENT_ADDRESS", e->log_client_address);
    put_filtered(env, "CLIENT_HELO", e->log_helo_name);
    put_filtered(env, "CLIENT_PROTOCOL", e->log_protocol_name);
    put_filtered(env, "SASL_METHOD", e->sasl_method);
    put_filtered(env, "SASL_SENDER", e->sasl_sender);
    put_filtered(env, "SASL_USERNAME", e->sasl_username);
    put_filtered(env, "ENVID", e->envelope_id);
}

static const char *const *make_environment(struct local_delivery *ld,
                                           const struct local_step *step,
                                           const struct local_user *user)
{
    struct environment env = {.ld = ld};

    put_exported(&env);
    put(&env, "PATH", _PATH_DEFPATH);
    if (user) {
        put(&env, "HOME", user->home);
        put(&env, "SHELL", *user->shell ? user->shell : _PATH_BSHELL);
    }
    put_recipient(&env, step);
    return env.vars;
}

/* -- what the exit status means -- */

/* Output as part of one line. */
static const char *one_line(struct local_delivery *ld, const struct strbuf *output)
{
    char *text = arena_span_str(ld->arena, strbuf_span(output));

    for (char *cp = text; *cp; cp++)
        if (iscntrl((unsigned char)*cp))
            *cp = ' ';
    return text;
}

static const char *with_output(struct local_delivery *ld, const char *what,
                               const char *output)
{
    return *output ? arena_printf(ld->arena, "%s. Command output: %s", what, output)
                   : what;
}

/* Output that begins with an enhanced status code overrides everything. */
static bool report_own_status(struct local_delivery *ld, const struct local_step *step,
                              const char *output)
{
    char status[DSN_STATUS_LEN];
    struct span text = dsn_split(span_str(output), "", 0, status);

    if (status[0] != '4' && status[0] != '5')
        return false;
    local_report_diag(ld, step, status, arena_span_str(ld->arena, text),
                      arena_span_str(ld->arena, text));
    return true;
}

/* The command itself could not be started: that is our problem, not the mail's. */
static bool is_exec_failure(int status, const char *output)
{
    return (status == 126 || status == 127) && strncmp(output, "cannot ", 7) == 0;
}

static void report_exit(struct local_delivery *ld, const struct local_step *step,
                        const char *command, int exit_status, const char *output)
{
    char status[DSN_STATUS_LEN];
    const char *text = dsn_sysexits(exit_status, status), *reason;

    if (is_exec_failure(exit_status, output)) {
        msg_warn("%s: %s", ld->req->queue_id, output);
        local_report_diag(ld, step, "4.3.0",
                          with_output(ld, "temporary failure", output),
                          "temporary failure");
        return;
    }
    if (report_own_status(ld, step, output))
        return;
    if (exit_status < 64 || exit_status > 78)
        reason = arena_printf(ld->arena, "Command died with status %d: \"%s\"",
                              exit_status, command);
    else
        reason = text;
    local_report_diag(ld, step, status, with_output(ld, reason, output), text);
}

static void report_outcome(struct local_delivery *ld, const struct local_step *step,
                           const char *command, enum user_outcome outcome, int status,
                           const char *output)
{
    switch (outcome) {
    case USER_EXITED:
        if (status == 0)
            local_sent(ld, step, arena_printf(ld->arena, "command: %s", command));
        else
            report_exit(ld, step, command, status, output);
        return;
    case USER_SIGNALLED:
        if (!report_own_status(ld, step, output))
            local_report_diag(
                ld, step, "4.3.0",
                with_output(ld,
                            arena_printf(ld->arena,
                                         "Command died with signal %d: \"%s\"", status,
                                         command),
                            output),
                "system resource problem");
        return;
    case USER_TIMEOUT:
        msg_warn("%s: command time limit exceeded", ld->req->queue_id);
        local_report_diag(
            ld, step, "5.3.0",
            with_output(
                ld,
                arena_printf(ld->arena, "Command time limit exceeded: \"%s\"", command),
                output),
            "system resource problem");
        return;
    case USER_CANCELLED:
        local_report(ld, step, "4.3.0", "", "delivery was interrupted");
        return;
    case USER_FAILED:
        local_report(ld, step, "4.3.0", "",
                     arena_printf(ld->arena, "cannot run command: %s", output));
        return;
    }
}

/* -- running -- */

static struct span next_piece(void *arg)
{
    return mailbox_copy_next(arg);
}

static const char *directory(struct local_delivery *ld, const struct local_step *step,
                             const struct local_user *user)
{
    const struct config *cfg = ld->agent->cfg;

    if (!*cfg->command_execution_directory)
        return NULL;
    return local_expand(ld, step, user, "command_execution_directory",
                        cfg->command_execution_directory,
                        cfg->execution_directory_expansion_filter);
}

static void run(struct local_delivery *ld, const struct local_step *step,
                const struct local_user *user, const struct local_user *rights,
                const char *command)
{
    const struct config *cfg = ld->agent->cfg;
    struct mailbox_message message =
        local_message(ld, step, ld->agent->delivered_header & TARGET_COMMAND);
    struct user_command uc = {.shell_command = command,
                              .env = make_environment(ld, step, user),
                              .cwd = directory(ld, step, user),
                              .shell = cfg->local_command_shell,
                              .stdin_fd = -1,
                              .stdout_fd = -1,
                              .time_limit_s = cfg->command_time_limit,
                              .max_output = OUTPUT_MAX};
    struct strbuf output = STRBUF_INIT;
    struct mailbox_copy copy;
    enum user_outcome outcome;
    const char *text;
    int status;

    mailbox_copy_init(&copy, &message, MAILBOX_FROM_LINE);
    outcome = user_command_feed(&rights->ids, &uc, next_piece, &copy, &output, &status);
    text = one_line(ld, &output);
    if (copy.failed)
        local_report(ld, step, "4.3.0", "", "error reading queue file");
    else
        report_outcome(ld, step, command, outcome, status, text);
    mailbox_copy_free(&copy);
    strbuf_free(&output);
}

void local_command_as(struct local_delivery *ld, const struct local_step *step,
                      const struct local_user *user, const char *command)
{
    const struct local_user *rights = local_rights(ld->agent, user, ld->arena);

    if (!rights)
        local_report(ld, step, "4.3.0", "", "mail system configuration error");
    else if (local_is_probe(ld))
        local_sent(ld, step, arena_printf(ld->arena, "command: %s", command));
    else
        run(ld, step, user, rights, command);
}

void local_command(struct local_delivery *ld, const struct local_step *step,
                   const char *command)
{
    if (!(ld->agent->command_origins & step->origin)) {
        local_report(ld, step, "5.7.1", "", "mail to command is restricted");
        return;
    }
    if (!*command) {
        msg_warn("%s: empty command for %s", ld->req->queue_id, step->local);
        local_report(ld, step, "5.3.5", "", "mail system configuration error");
        return;
    }
    if (local_first_time(
            ld, arena_printf(ld->arena, "command %s as %ld", command,
                             step->rights ? (long)step->rights->ids.uid : -1L)))
        local_command_as(ld, step, step->rights, command);
}
