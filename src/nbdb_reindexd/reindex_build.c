#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "master/service_user.h"
#include "nbdb_reindexd/reindex.h"
#include "util/escape.h"
#include "util/msg.h"
#include "util/offload.h"

#define TIME_LIMIT_S 300
#define OUTPUT_MAX   8192
#define NSS_BUFFER   65536
#define SAFE_PATH    "/usr/sbin:/usr/bin:/sbin:/bin"

static bool names_path(struct span name, struct span path)
{
    static const char *const types[] = {"hash:", "btree:", "lmdb:"};

    while (span_starts(name, SPAN_LIT("proxy:")) ||
           span_starts(name, SPAN_LIT("debug:")))
        name = span_skip(name, strlen("proxy:"));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (span_starts(name, span_str(types[i])) &&
            span_eq(span_skip(name, strlen(types[i])), path))
            return true;
    return false;
}

bool reindex_is_alias(const struct config *cfg, struct span path)
{
    const char *const lists[] = {cfg->alias_maps, cfg->alias_database};
    struct span name;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct span rest = span_str(lists[i]);
        /* Braces separate, too: members of unionmap:{...} are found. */
        while (span_token(&rest, ", \t\r\n{}", &name))
            if (names_path(name, path))
                return true;
    }
    return false;
}

/* -- whose rights -- */

struct owner {
    uid_t uid;
    char *login; /* NULL: not known */
};

static void owner_thread(void *arg)
{
    struct owner *owner = arg;
    char *buf = xmalloc(NSS_BUFFER);
    struct passwd pwd, *result = NULL;

    if (getpwuid_r(owner->uid, &pwd, buf, NSS_BUFFER, &result) == 0 && result)
        owner->login = xstrdup(pwd.pw_name);
    free(buf);
}

/* The index gets the group of the source where its owner belongs to it. */
static void prefer_group(struct user_ids *ids, gid_t gid)
{
    for (size_t i = 0; i < ids->group_count; i++)
        if (ids->groups[i] == gid)
            ids->gid = gid;
}

static bool ids_of_owner(const struct reindex_check *check, struct user_ids *ids_out,
                         struct err *err)
{
    struct owner owner = {.uid = check->source.st_uid};
    bool found;

    *ids_out = (struct user_ids){.uid = owner.uid};
    if (owner.uid == geteuid())
        ids_out->gid = getegid();
    if (owner.uid == 0 || !user_switch_possible())
        return true;
    offload_wait(owner_thread, &owner);
    if (!owner.login)
        return err_set(err, "the owner of %s, uid %ld, is not known", check->real_path,
                       (long)owner.uid);
    found = user_ids_lookup(owner.login, ids_out, NULL, err);
    free(owner.login);
    prefer_group(ids_out, check->source.st_gid);
    return found && (ids_out->uid == owner.uid ||
                     err_set(err, "uid %ld has several names", (long)owner.uid));
}

/* -- the command -- */

static bool next_line(struct span *rest, struct span *line_out)
{
    while (rest->ptr) {
        struct span line = span_trim(span_cut(rest, '\n'));
        if (line.len == 0)
            continue;
        *line_out = line;
        return true;
    }
    return false;
}

static void log_lines(struct span output)
{
    struct strbuf text = STRBUF_INIT;
    struct span line;

    while (next_line(&output, &line)) {
        strbuf_reset(&text);
        escape_printable(&text, line, '?', true);
        msg_warn("%s", text.ptr);
    }
    strbuf_free(&text);
}

static bool command_failed(const char *program, enum user_outcome outcome, int status,
                           const struct strbuf *output, struct err *err)
{
    struct span rest = strbuf_span(output), line = SPAN_EMPTY;
    struct strbuf text = STRBUF_INIT;

    while (next_line(&rest, &line))
        ; /* the last one is what ended the command */
    escape_printable(&text, line, '?', true);
    switch (outcome) {
    case USER_EXITED:
        err_set(err, "exit status %d of %s: %s", status, program, text.ptr);
        break;
    case USER_SIGNALLED:
        err_set(err, "%s was killed by signal %d", program, status);
        break;
    case USER_TIMEOUT:
        err_set(err, "%s took longer than %d s", program, TIME_LIMIT_S);
        break;
    case USER_CANCELLED:
        err_set(err, "the mail system stops");
        break;
    case USER_FAILED:
        err_set(err, "cannot run %s: %s", program, text.ptr);
        break;
    }
    strbuf_free(&text);
    return false;
}

static bool run(const struct config *cfg, const struct user_ids *ids,
                const char *program, const char *table, struct err *err)
{
    struct arena *arena = arena_new();
    const char *argv[] = {arena_printf(arena, "%s/%s", cfg->command_directory, program),
                          table, NULL};
    const char *env[] = {
        arena_printf(arena, "MAIL_CONFIG=%s", cfg->config_directory), "PATH=" SAFE_PATH,
        "LANG=C", getenv("TZ") ? arena_printf(arena, "TZ=%s", getenv("TZ")) : NULL,
        NULL};
    struct user_command command = {.argv = argv,
                                   .env = env,
                                   .cwd = "/",
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .time_limit_s = TIME_LIMIT_S,
                                   .max_output = OUTPUT_MAX};
    struct strbuf output = STRBUF_INIT;
    int status;
    enum user_outcome outcome = user_command_run(ids, &command, &output, &status);
    bool ok = outcome == USER_EXITED && status == 0;

    if (!ok)
        command_failed(program, outcome, status, &output, err);
    else if (ids->uid != 0 && *cfg->maillog_file)
        /* Root's commands write to the log by themselves; this one could not. */
        log_lines(strbuf_span(&output));
    strbuf_free(&output);
    arena_free(arena);
    return ok;
}

bool reindex_build(const struct config *cfg, const struct reindex_check *check,
                   const char *type, struct err *err)
{
    bool is_alias = reindex_is_alias(cfg, span_str(check->path));
    struct strbuf table = STRBUF_INIT;
    struct user_ids ids;
    bool ok;

    if (!ids_of_owner(check, &ids, err))
        return false;
    strbuf_addf(&table, "%s:%s", type, check->real_path);
    ok = run(cfg, &ids, is_alias ? "postalias" : "postmap", table.ptr, err);
    strbuf_free(&table);
    user_ids_free(&ids);
    return ok;
}
