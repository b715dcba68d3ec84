/* alias_maps: the list behind a name, who runs its commands, and its owner. */
#include "local/local.h"

#include <sys/stat.h>

#include "util/msg.h"

struct alias {
    const char *name; /* the key that was found */
    const char *text;
    const char *table; /* "type:name" */
    bool whole;        /* found with the extension */
};

static enum table_status find_alias(struct local_delivery *ld,
                                    const struct local_step *step, struct alias *alias)
{
    struct maps *maps = ld->agent->aliases;
    enum table_status status;

    alias->name = step->local;
    alias->whole = true;
    status = maps_find(maps, span_str(step->local), 0, ld->arena, &alias->text);
    if (status == TABLE_NOT_FOUND && *step->extension) {
        alias->name = step->user;
        alias->whole = false;
        status = maps_find(maps, span_str(step->user), 0, ld->arena, &alias->text);
    }
    if (status == TABLE_FOUND)
        alias->table = arena_str(ld->arena, maps_last(maps));
    return status;
}

/* -- whose rights -- */

/* The file behind a table that is a file; false for others. */
static bool table_file(const char *table, struct stat *st)
{
    static const struct {
        const char *type, *suffix;
    } types[] = {{"lmdb:", ".lmdb"}, {"hash:", ".lmdb"}, {"btree:", ".lmdb"},
                 {"cdb:", ".cdb"},   {"texthash:", ""},  {"sqlite:", ""}};
    struct strbuf path = STRBUF_INIT;
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(types) && !found; i++) {
        size_t len = strlen(types[i].type);

        if (strncmp(table, types[i].type, len) != 0)
            continue;
        strbuf_reset(&path);
        strbuf_addf(&path, "%s%s", table + len, types[i].suffix);
        found = stat(path.ptr, st) == 0;
    }
    strbuf_free(&path);
    return found;
}

/* Commands and files of an alias file that belongs to an ordinary user act as that
 * user; those of root's, and of tables that are no files, as default_privs. */
static const struct local_user *alias_rights(struct local_delivery *ld,
                                             const struct alias *alias)
{
    const struct local_user *owner;
    struct stat st;

    if (!table_file(alias->table, &st) || st.st_uid == 0)
        return NULL;
    if (local_user_by_uid(ld->agent, st.st_uid, ld->arena, &owner) == LOOKUP_FOUND)
        return owner;
    msg_warn("alias table %s belongs to unknown uid %ld", alias->table,
             (long)st.st_uid);
    return NULL;
}

/* -- owner- aliases -- */

static bool can_have_owner(const char *name)
{
    struct span s = span_str(name);

    return !span_istarts(s, SPAN_LIT("owner-")) && !span_iends(s, SPAN_LIT("-request"));
}

struct first_address {
    struct arena *arena;
    const char *text;
    size_t count;
};

static const char *take_address(void *arg, struct span internal)
{
    struct first_address *first = arg;

    if (first->count++ == 0)
        first->text = arena_span_str(first->arena, internal);
    return NULL;
}

/* expand_owner_alias: the owner alias's one address in place of its name. */
static const char *owner_address(struct local_delivery *ld, const char *name,
                                 const char *text)
{
    struct first_address first = {.arena = ld->arena};
    struct strbuf unused = STRBUF_INIT;

    if (!ld->agent->cfg->expand_owner_alias)
        return name;
    addr_header_rewrite(span_str(text), ld->arena, take_address, &first, &unused);
    strbuf_free(&unused);
    return first.count == 1 ? first.text : name;
}

/* Problems with a list's mail go to its owner, and success reports end here. */
static void set_owner(struct local_step *list, const char *sender)
{
    list->sender = sender;
    list->indirect = true;
    list->rcpt.orig = "";
    list->rcpt.dsn_orcpt = "";
    list->rcpt.notify = 0;
}

static bool apply_owner(struct local_delivery *ld, struct local_step *list,
                        const struct alias *alias)
{
    const char *text, *sender, *name = arena_printf(ld->arena, "owner-%s", alias->name);

    if (!can_have_owner(alias->name))
        return true;
    switch (maps_find(ld->agent->aliases, span_str(name), 0, ld->arena, &text)) {
    case TABLE_FOUND:
        sender = owner_address(ld, name, text);
        if (rewrite_address(ld->agent->rewrite, "local", span_str(sender), ld->arena,
                            &sender) != REWRITE_OK)
            return false;
        set_owner(list, sender);
        return true;
    case TABLE_NOT_FOUND:
        if (ld->agent->cfg->reset_owner_alias)
            list->sender = ld->req->env.sender;
        return true;
    default:
        return false;
    }
}

/* -- expansion -- */

static void expand(struct local_delivery *ld, const struct local_step *step,
                   const struct alias *alias)
{
    struct local_agent *agent = ld->agent;
    struct local_step list = *step;

    local_note_expanded(ld);
    list.parent = step;
    list.level = step->level + 1;
    list.origin = ORIGIN_ALIAS;
    list.rights = alias_rights(ld, alias);
    list.rcpt.notify &= ~NOTIFY_SUCCESS;
    if (step->rcpt.notify && !list.rcpt.notify)
        list.rcpt.notify = NOTIFY_NEVER;
    if (!agent->cfg->frozen_delivered_to)
        list.delivered_to = step->rcpt.address;
    if (!alias->whole && (agent->propagate & ORIGIN_ALIAS))
        list.carry = step->local + strlen(step->user);
    if (!apply_owner(ld, &list, alias)) {
        local_report(ld, step, "4.3.0", "", "alias database unavailable");
        return;
    }
    if (local_list(ld, &list, span_str(alias->text)) == 0) {
        msg_warn("no recipient in alias expansion of %s", alias->name);
        local_report(ld, step, "5.3.5", "", "mail system configuration error");
    }
}

/* An alias that several lists name is expanded once. Within itself it was reported as
 * a loop, or is the account of that name. */
static bool expanded_before(struct local_delivery *ld, const struct local_step *step)
{
    for (const struct local_step *p = step->parent; p; p = p->parent)
        if (strcmp(p->local, step->local) == 0)
            return false;
    return !local_first_time(
        ld, arena_printf(ld->arena, "alias %s from %s", step->local, step->sender));
}

bool local_alias(struct local_delivery *ld, const struct local_step *step)
{
    struct alias alias = {0};

    if (step->parent && strcmp(step->parent->local, step->local) == 0)
        return false;
    switch (find_alias(ld, step, &alias)) {
    case TABLE_FOUND:
        break;
    case TABLE_NOT_FOUND:
        return false;
    default:
        local_report(ld, step, "4.3.0", "", "alias database unavailable");
        return true;
    }
    if (!expanded_before(ld, step))
        expand(ld, step, &alias);
    return true;
}
