/* postsuper(1): the superuser's hand in the queue. */
#include "postsuper/postsuper.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/trigger.h"
#include "master/service_log.h"
#include "util/msg.h"

#define USAGE                                                                          \
    "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id "            \
    "(expire)] [-f queue_id (expire and release)] [-h queue_id (hold)] [-H "           \
    "queue_id (release)] [-p (purge temporary files)] [-r queue_id (requeue)] "        \
    "[-s (structure fix)] [-S (structure fix, long names too)] [-v] [queue...]"
#define TARGETS_MAX 1000

static const char *const all_queues[] = {
    QUEUE_MAILDROP, QUEUE_HOLD,  QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED,
    QUEUE_BOUNCE,   QUEUE_DEFER, QUEUE_TRACE,    "flush",      NULL};

struct target {
    enum action action;
    const char *id;
};

struct options {
    struct target targets[TARGETS_MAX];
    size_t count;
    bool check, check_long, purge;
};

static const struct {
    int option;
    enum action action;
} action_options[] = {{'d', ACT_DELETE}, {'e', ACT_EXPIRE},  {'f', ACT_EXPIRE_RELEASE},
                      {'h', ACT_HOLD},   {'H', ACT_RELEASE}, {'r', ACT_REQUEUE}};

static bool add_target(struct options *opt, int c, const char *id)
{
    for (size_t i = 0; i < ARRAY_LEN(action_options); i++) {
        if (action_options[i].option != c)
            continue;
        if (opt->count == TARGETS_MAX)
            msg_fatal("more than %d queue ids: use \"-\" and standard input",
                      TARGETS_MAX);
        opt->targets[opt->count++] = (struct target){action_options[i].action, id};
        return true;
    }
    return false;
}

static void parse(int argc, char **argv, struct options *opt,
                  struct config_source *source)
{
    int c;

    while ((c = getopt(argc, argv, "+c:d:e:f:h:H:pr:sSv")) != -1) {
        switch (c) {
        case 'c':
            if (*optarg != '/')
                msg_fatal("-c requires absolute pathname");
            source->dir = optarg;
            break;
        case 'p':
            opt->purge = true;
            break;
        case 'S':
            opt->check_long = true;
            opt->check = true;
            break;
        case 's':
            opt->check = true;
            break;
        case 'v':
            msg_verbose++;
            break;
        default:
            if (!add_target(opt, c, optarg))
                msg_fatal(USAGE);
        }
    }
    if (opt->count == 0 && !opt->check && !opt->purge)
        opt->check = opt->purge = true; /* as at system start */
}

/* From here on with the rights that the queue needs, and no more. */
static void drop_privileges(const struct config *cfg)
{
    const struct passwd *pw = getpwnam(cfg->mail_owner);
    struct stat st;

    if (geteuid() != 0) {
        if (stat(QUEUE_ACTIVE, &st) < 0 || st.st_uid != geteuid())
            msg_fatal("use of this command is reserved for the superuser");
        return;
    }
    if (!pw)
        msg_fatal("mail_owner: unknown user: %s", cfg->mail_owner);
    if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
        setuid(pw->pw_uid) < 0)
        msg_fatal("cannot become %s: %s", cfg->mail_owner, strerror(errno));
}

static void select_queues(struct super *s, char **names)
{
    for (size_t i = 0; names[i]; i++) {
        size_t k = 0;

        while (all_queues[k] && strcmp(all_queues[k], names[i]) != 0)
            k++;
        if (!all_queues[k])
            msg_fatal("invalid directory name: %s", names[i]);
    }
    s->queues = names[0] ? (const char *const *)names : all_queues;
}

static void one_message(struct super *s, enum action action, const char *id)
{
    if (queue_id_valid(span_str(id)))
        action_on_message(s, action, id);
    else
        msg_warn("invalid mail queue id: %s", id);
}

static void from_stdin(struct super *s, enum action action)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) >= 0) {
        struct span id = span_trim(span_of(line, (size_t)len));

        if (id.len == 0)
            continue;
        line[(size_t)(id.ptr - line) + id.len] = '\0';
        one_message(s, action, id.ptr);
    }
    free(line);
}

static void run_target(struct super *s, const struct target *target)
{
    if (strcmp(target->id, "ALL") == 0)
        action_on_all(s, target->action);
    else if (strcmp(target->id, "-") == 0)
        from_stdin(s, target->action);
    else
        one_message(s, target->action, target->id);
}

/* An id that was given may be that of another message by now. */
static void refuse_old_ids(const struct options *opt)
{
    for (size_t i = 0; i < opt->count; i++) {
        if (strcmp(opt->targets[i].id, "ALL") == 0)
            continue;
        msg_error("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS");
        msg_fatal("CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND");
    }
}

static void report(const struct super *s, const struct options *opt, int64_t renamed)
{
    unsigned requested = 0;

    for (size_t i = 0; i < opt->count; i++)
        requested |= 1u << opt->targets[i].action;
    action_report(s, requested);
    if (renamed == 0)
        return;
    msg_info("Renamed to match inode number: %lld message%s", (long long)renamed,
             renamed == 1 ? "" : "s");
    msg_warn("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS");
}

static void wake_up(const struct super *s)
{
    char path[128];

    /* When nobody listens the system is down and will look by itself at its start. */
    if (s->wake_qmgr) {
        snprintf(path, sizeof path, "public/%s", s->cfg->queue_service_name);
        trigger_send(path, "DI", s->cfg->trigger_timeout);
    }
    if (s->wake_pickup) {
        snprintf(path, sizeof path, "public/%s", s->cfg->pickup_service_name);
        trigger_send(path, "W", s->cfg->trigger_timeout);
    }
}

int main(int argc, char **argv)
{
    static struct options opt;
    struct config_source source = {.program = "postsuper"};
    struct super s = {0};
    struct arena *arena = arena_new();
    struct config *cfg;
    struct err err;
    int64_t renamed = 0;

    msg_init("postsuper");
    signal(SIGPIPE, SIG_IGN);
    parse(argc, argv, &opt, &source);
    cfg = config_load(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    service_log_open_command(cfg, "postsuper");
    msg_also_stderr(true);
    if (chdir(cfg->queue_directory) < 0)
        msg_fatal("queue_directory %s: %s", cfg->queue_directory, strerror(errno));
    drop_privileges(cfg);
    s.cfg = cfg;
    queue_init(&s.queue, cfg, arena);
    select_queues(&s, argv + optind);
    if (opt.check)
        renamed = structure_check(&s, opt.check_long);
    if (opt.purge)
        structure_purge(&s);
    if (renamed > 0)
        refuse_old_ids(&opt);
    for (size_t i = 0; i < opt.count; i++)
        run_target(&s, &opt.targets[i]);
    report(&s, &opt, renamed);
    wake_up(&s);
    msg_flush();
    arena_free(arena);
    config_free(cfg);
    return 0;
}
