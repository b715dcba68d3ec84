#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "global/paths.h"
#include "master/master.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/strbuf.h"

#define MAIN_CF_MAX (16u << 20)

static void set_free_service(struct master_service *service)
{
    list_remove(&service->link);
    free(service->listeners);
    free(service->display);
    free(service->program);
    free(service);
}

static void set_free(struct master_set *set)
{
    if (!set)
        return;
    while (!list_empty(&set->services))
        set_free_service(list_first(&set->services, struct master_service, link));
    if (set->main_cf_fd >= 0)
        close(set->main_cf_fd);
    master_cf_free(set->mcf);
    config_free(set->cfg);
    free(set);
}

/* "name.type" or "type" in master_service_disable; "!pattern" before a match undoes
 * it, as in other match lists. */
static bool is_disabled(const struct config *cfg, const struct master_entry *entry)
{
    struct span rest = span_str(cfg->master_service_disable), word;
    const char *type = service_type_name(entry->type);
    char full[256];

    snprintf(full, sizeof full, "%s.%s", entry->name, type);
    while (span_token(&rest, ", \t\r\n", &word)) {
        bool negated = word.len > 1 && word.ptr[0] == '!';

        if (negated)
            word = span_skip(word, 1);
        if (span_ieq_str(word, full) || span_ieq_str(word, type))
            return !negated;
    }
    return false;
}

static char *program_path(const struct config *cfg, const char *command)
{
    struct strbuf sb = STRBUF_INIT;

    if (command[0] != '/')
        strbuf_addf(&sb, "%s/", cfg->daemon_directory);
    strbuf_add_str(&sb, command);
    return strbuf_detach(&sb);
}

/* A limit of this service alone, as "-o name=value" in master.cf, or the general
 * one. */
static bool service_limit(const struct master_entry *entry, const char *name,
                          int64_t general, int64_t minimum, int64_t *value_out,
                          struct err *err)
{
    *value_out = general;
    for (size_t i = 0; i + 1 < entry->argc; i++) {
        struct span value = span_str(entry->argv[i + 1]), word;

        if (strcmp(entry->argv[i], "-o") != 0)
            continue;
        word = span_cut(&value, '=');
        if (!span_eq_str(span_trim(word), name))
            continue;
        if (!span_i64(span_trim(value), value_out) || *value_out < minimum)
            return err_set(err, "bad value: -o %s", entry->argv[i + 1]);
    }
    return true;
}

static bool make_plan(const struct config *cfg, struct master_service *service,
                      size_t cores, struct err *err)
{
    const struct master_entry *entry = service->entry;
    int64_t sessions, processes;

    if (!service_limit(entry, "service_session_limit", cfg->service_session_limit, 1,
                       &sessions, err) ||
        !service_limit(entry, "service_process_limit", cfg->service_process_limit, 0,
                       &processes, err))
        return false;
    service->plan = plan_make(entry->process_limit, sessions, processes, cores);
    return true;
}

static bool add_service(struct master *master, struct master_set *set,
                        const struct master_entry *entry, struct err *err)
{
    struct master_service *service = xcalloc(1, sizeof *service);

    service->master = master;
    service->entry = entry;
    service->program = program_path(set->cfg, entry->command);
    list_init(&service->processes);
    list_append(&set->services, &service->link);
    if (make_plan(set->cfg, service, master->cores, err) &&
        sockets_claim(master, set->cfg, service, err))
        return true;
    return err_prefix(err, "file %s: line %d: service %s", set->mcf->path, entry->line,
                      entry->name);
}

bool master_look_up_owner(struct master *master, const struct config *cfg,
                          struct err *err)
{
    const struct passwd *owner;

    if (master->rootless)
        return true;
    owner = getpwnam(cfg->mail_owner);
    if (!owner || owner->pw_uid == 0)
        return err_set(err, "parameter mail_owner: \"%s\" is %s", cfg->mail_owner,
                       owner ? "the superuser" : "not known as a user");
    master->owner_uid = owner->pw_uid;
    master->owner_gid = owner->pw_gid;
    return true;
}

/* An unnamed file with text in it, readable by whoever inherits it. */
static int make_snapshot(struct span text)
{
    int fd = memfd_create("main.cf", MFD_CLOEXEC), high;

    if (fd < 0)
        return -1;
    high = file_write_full(fd, text.ptr, text.len)
               ? fcntl(fd, F_DUPFD_CLOEXEC, MASTER_FD_BASE)
               : -1;
    close(fd);
    return high;
}

/* Services are to see the same main.cf as this set, whatever happens to the file
 * until the next reload. */
static bool read_main_cf(struct master_set *set, struct err *err)
{
    const char *dir = getenv("MAIL_CONFIG");
    struct config_source source = {.program = "master"};
    struct strbuf path = STRBUF_INIT, text = STRBUF_INIT;

    strbuf_addf(&path, "%s/main.cf", dir && *dir ? dir : SYSCONFDIR);
    if (file_read_all(path.ptr, MAIN_CF_MAX, &text, err)) {
        source.main_cf = strbuf_span(&text);
        set->cfg = config_load(&source, err);
        set->main_cf_fd = make_snapshot(strbuf_span(&text));
    }
    strbuf_free(&path);
    strbuf_free(&text);
    return set->cfg != NULL;
}

static bool fill_set(struct master *master, struct master_set *set, struct err *err)
{
    if (!read_main_cf(set, err))
        return false;
    if (!master_look_up_owner(master, set->cfg, err))
        return false;
    set->mcf = master_cf_load(set->cfg, err);
    if (!set->mcf)
        return false;
    for (size_t i = 0; i < set->mcf->count; i++) {
        const struct master_entry *entry = &set->mcf->entries[i];

        if (!is_disabled(set->cfg, entry) && !add_service(master, set, entry, err))
            return false;
    }
    return true;
}

struct master_set *set_build(struct master *master, struct err *err)
{
    struct master_set *set = xcalloc(1, sizeof *set);

    list_init(&set->services);
    set->main_cf_fd = -1;
    if (fill_set(master, set, err))
        return set;
    sockets_rollback(master);
    set_free(set);
    return NULL;
}

static struct master_service *find_twin(struct master_set *set,
                                        const struct master_service *service)
{
    list_each(link, &set->services)
    {
        struct master_service *other = list_entry(link, struct master_service, link);

        if (other->entry->type == service->entry->type &&
            other->entry->is_private == service->entry->is_private &&
            strcmp(other->entry->name, service->entry->name) == 0)
            return other;
    }
    return NULL;
}

/* Processes with the old configuration finish their sessions, under the service's
 * new name if it has one, so that its limits hold over both generations. */
static void hand_over(struct master *master, struct master_service *old,
                      struct master_service *twin)
{
    master_service_unwatch(old);
    loop_timer_cancel(&old->wakeup_timer);
    loop_timer_cancel(&old->throttle_timer);
    loop_timer_cancel(&old->stress_timer);
    if (twin) {
        twin->used = old->used;
        twin->limit_warned_at = old->limit_warned_at;
        master_service_keep_stress(twin, old);
    }
    list_each_safe(link, &old->processes)
    {
        struct master_process *process = list_entry(link, struct master_process, link);

        list_remove(&process->link);
        list_append(twin ? &twin->processes : &master->orphans, &process->link);
        process->service = twin;
        if (twin) /* which may have fewer slots now */
            process->slot %= twin->plan.processes;
        process_retire(process);
    }
}

void set_commit(struct master *master, struct master_set *set)
{
    struct master_set *old = master->set;

    if (old) {
        list_each(link, &old->services)
        {
            struct master_service *service =
                list_entry(link, struct master_service, link);

            hand_over(master, service, find_twin(set, service));
        }
    }
    master->set = set;
    master->generation++;
    sockets_commit(master);
    set_free(old);
    list_each(link, &set->services)
    {
        struct master_service *service = list_entry(link, struct master_service, link);

        master_service_update(service);
        master_service_start_wakeups(service);
    }
}
