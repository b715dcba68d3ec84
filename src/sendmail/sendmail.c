/* sendmail(1), mailq(1), newaliases(1): the commands that programs and people use to
 * send mail and to look after it. All work is done by other commands. */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "global/command.h"
#include "master/service_log.h"
#include "sendmail/compose.h"
#include "sendmail/submit.h"
#include "util/msg.h"

#define ARGV_MAX 8

/* -- other commands -- */

static _Noreturn void run(const struct config *cfg, const char *directory,
                          const char *program, const char *const *arguments,
                          unsigned verbose)
{
    const char *path = arena_printf(cfg->arena, "%s/%s", directory, program);
    const char *argv[ARGV_MAX + 1] = {program};
    size_t count = 1;

    for (; verbose > 0 && count < 4; verbose--)
        argv[count++] = "-v";
    for (; *arguments && count < ARGV_MAX; arguments++)
        argv[count++] = *arguments;
    signal(SIGPIPE, SIG_DFL);
    execv(path, (char *const *)argv);
    msg_fatal("execute %s: %s", path, strerror(errno));
}

static _Noreturn void run_postqueue(const struct config *cfg,
                                    const struct sendmail_options *o)
{
    const char *const list[] = {"-p", NULL}, *const flush[] = {"-f", NULL};
    const char *const id[] = {"-i", o->argument, NULL};
    const char *const site[] = {"-s", o->argument, NULL};
    const char *const *arguments = o->mode == MODE_LIST       ? list
                                   : o->mode == MODE_FLUSH    ? flush
                                   : o->mode == MODE_FLUSH_ID ? id
                                                              : site;

    run(cfg, cfg->command_directory, "postqueue", arguments, o->verbose);
}

static int rebuild_aliases(const struct config *cfg, const struct sendmail_options *o)
{
    const char *list = o->alias_database ? o->alias_database : cfg->alias_database;
    const char *path = arena_printf(cfg->arena, "%s/postalias", cfg->command_directory);
    struct span rest = span_str(list), word;
    const char **argv = arena_alloc(cfg->arena, (rest.len / 2 + 8) * sizeof *argv);
    size_t count = 0;

    argv[count++] = "postalias";
    if (o->verbose)
        argv[count++] = "-v";
    argv[count++] = "--";
    while (span_token(&rest, ", \t\r\n", &word))
        argv[count++] = arena_span_str(cfg->arena, word);
    if (strcmp(argv[count - 1], "--") == 0)
        return 0;
    execv(path, (char *const *)argv);
    msg_fatal("execute %s: %s", path, strerror(errno));
}

/* -- who sends -- */

static const struct passwd *caller(void)
{
    const struct passwd *pw = getpwuid(getuid());

    if (!pw)
        msg_fatal("unable to find the login name of user id %ld", (long)getuid());
    return pw;
}

/* The first field of the password file's comment; "&" in it is the login name. */
static const char *gecos_name(struct arena *arena, const struct passwd *pw)
{
    struct strbuf name = STRBUF_INIT;
    const char *text;

    for (const char *cp = pw->pw_gecos; *cp && !strchr(",;%", *cp); cp++) {
        if (*cp == '&') {
            strbuf_add_char(&name, ascii_upper(pw->pw_name[0]));
            strbuf_add_str(&name, pw->pw_name[0] ? pw->pw_name + 1 : "");
        } else {
            strbuf_add_char(&name, *cp);
        }
    }
    text = arena_span_str(arena, strbuf_span(&name));
    strbuf_free(&name);
    return text;
}

static const char *parse_sender(struct arena *arena, const char *text)
{
    struct address_list list = {.arena = arena};
    struct span trimmed = span_trim(span_str(text));

    if (trimmed.len == 0 || span_eq_str(trimmed, "<>"))
        return "";
    address_list_add(&list, trimmed);
    if (list.count != 1)
        msg_warn("-f option specified malformed sender: %s", text);
    return list.count > 0 ? list.items[0] : text;
}

static void know_sender(struct arena *arena, const struct sendmail_options *o,
                        struct envelope_source *env)
{
    const struct passwd *pw = NULL;

    if (!o->sender || !o->full_name)
        pw = caller();
    env->sender =
        o->sender ? parse_sender(arena, o->sender) : arena_str(arena, pw->pw_name);
    env->full_name = o->full_name ? o->full_name : gecos_name(arena, pw);
}

static void know_recipients(struct arena *arena, const struct sendmail_options *o,
                            struct envelope_source *env)
{
    struct address_list list = {.arena = arena};

    for (char **arg = o->recipients; *arg; arg++) {
        size_t before = list.count;

        address_list_add(&list, span_str(*arg));
        /* An empty one is the postmaster's, as for everybody else in this system. */
        if (list.count == before && span_trim(span_str(*arg)).len == 0)
            address_list_add(&list, SPAN_LIT("MAILER-DAEMON"));
    }
    env->recipients = list.items;
    env->recipient_count = list.count;
}

/* -- submission -- */

static _Noreturn void fail(const struct envelope_source *env, const char *text)
{
    msg_fatal("%s(%ld): %s", env->sender, (long)getuid(), text);
}

static void check_result(const struct envelope_source *env, const struct submit *s,
                         enum compose_result composed, enum submit_result submitted,
                         const char *reason, int read_error)
{
    char text[512];

    if (submitted == SUBMIT_NOT_RUN) {
        snprintf(text, sizeof text, "unable to execute %s -r: Application error",
                 s->command);
        fail(env, text);
    }
    if (composed == COMPOSE_NO_RECIPIENTS)
        fail(env, "No recipient addresses found in message header");
    if (composed == COMPOSE_READ_ERROR) {
        snprintf(text, sizeof text, "error reading input: %s", strerror(read_error));
        fail(env, text);
    }
    if (submitted == SUBMIT_REFUSED)
        fail(env, reason);
    if (submitted == SUBMIT_ABORTED || composed != COMPOSE_OK)
        fail(env, "queue file write error");
}

static int deliver(const struct config *cfg, const struct sendmail_options *o)
{
    struct envelope_source env = {0};
    struct strbuf reason = STRBUF_INIT;
    enum compose_result composed;
    enum submit_result submitted;
    struct submit submit;
    struct record_sink sink = {submit_write, &submit};
    struct input in;

    know_sender(cfg->arena, o, &env);
    know_recipients(cfg->arena, o, &env);
    if (!o->extract && env.recipient_count == 0)
        fail(&env, "Recipient addresses must be specified on the command line or via "
                   "the -t option");
    if (!submit_start(&submit,
                      arena_printf(cfg->arena, "%s/postdrop", cfg->command_directory),
                      o->verbose > 1 ? o->verbose : 0))
        msg_fatal("%s(%ld): unable to execute %s -r: %s", env.sender, (long)getuid(),
                  submit.command, strerror(errno));
    input_init(&in, STDIN_FILENO);
    composed = compose(cfg, o, &env, &in, &sink);
    submitted = submit_finish(&submit, &reason);
    check_result(&env, &submit, composed, submitted, reason.ptr, in.error);
    if (o->verbose == 1 || o->mode == MODE_VERIFY)
        printf("Mail Delivery Status Report will be mailed to <%s>.\n", env.sender);
    input_free(&in);
    strbuf_free(&reason);
    return fflush(stdout) == 0 ? 0 : EX_TEMPFAIL;
}

static int perform(const struct config *cfg, const struct sendmail_options *o)
{
    const char *const standalone[] = {"-S", NULL}, *const start[] = {"start", NULL};
    struct err err;

    switch (o->mode) {
    case MODE_DELIVER:
    case MODE_VERIFY:
        if (!command_user_allowed(cfg, "authorized_submit_users",
                                  cfg->authorized_submit_users, "submit mail", &err))
            msg_fatal("%s", err.text);
        return deliver(cfg, o);
    case MODE_SMTP:
        run(cfg, cfg->daemon_directory, "smtpd", standalone, 0);
    case MODE_DAEMON:
        run(cfg, cfg->command_directory, "postfix", start, 0);
    case MODE_ALIASES:
        return rebuild_aliases(cfg, o);
    case MODE_NOTHING:
        return 0;
    default:
        run_postqueue(cfg, o);
    }
}

/* -C names main.cf or its directory. */
static const char *config_directory(struct arena *arena, const char *option)
{
    struct span name = span_str(option);

    if (span_ends(name, SPAN_LIT("/main.cf")))
        name.len -= strlen("/main.cf");
    return arena_span_str(arena, name);
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *program = slash ? slash + 1 : argc > 0 ? argv[0] : "sendmail";
    struct config_source source = {.program = "sendmail"};
    struct arena *arena = arena_new();
    struct sendmail_warnings warnings;
    struct sendmail_options options;
    struct config *cfg;
    struct err err;
    int status;

    if (!command_clean_descriptors())
        return EX_OSERR;
    msg_init("sendmail");
    msg_set_fatal_status(EX_TEMPFAIL);
    signal(SIGPIPE, SIG_IGN);
    if (!sendmail_options_parse(program, argc, argv, arena, &options, &warnings, &err))
        msg_fatal("%s", err.text);
    if (options.config)
        source.dir = config_directory(arena, options.config);
    if (!options.full_name && getenv("NAME"))
        options.full_name = arena_str(arena, getenv("NAME"));
    cfg = config_load(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    command_clean_environment(cfg);
    service_log_open_command(cfg, "sendmail");
    msg_also_stderr(true);
    for (size_t i = 0; i < warnings.count; i++)
        msg_warn("%s", warnings.text[i]);
    status = perform(cfg, &options);
    config_free(cfg);
    arena_free(arena);
    return status;
}
