#include "cleanup/cleanup_map.h"

#include <stdlib.h>

#include "cleanup/cleanup_masquerade.h"
#include "global/addr.h"
#include "global/mail_table.h"
#include "util/msg.h"

#define CANONICAL_STEPS 10 /* applications of one map to its own results */

struct cleanup_maps {
    const struct config *cfg;
    struct addr_finder finder;
    struct maps *canonical, *sender_canonical, *recipient_canonical;
    struct maps *virtual_alias, *sender_bcc, *recipient_bcc;
    unsigned canonical_classes, sender_classes, recipient_classes;
    struct masquerade *masquerade;
    bool propagate_canonical, propagate_virtual;
};

static const struct {
    const char *name;
    enum address_class class;
} class_names[] = {
    {"envelope_sender", CLASS_ENVELOPE_SENDER},
    {"envelope_recipient", CLASS_ENVELOPE_RCPT},
    {"header_sender", CLASS_HEADER_SENDER},
    {"header_recipient", CLASS_HEADER_RCPT},
};

static unsigned class_bit(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(class_names); i++)
        if (span_ieq_str(name, class_names[i].name))
            return class_names[i].class;
    return 0;
}

static unsigned parse_classes(const char *parameter, const char *text)
{
    struct span rest = span_str(text), name;
    unsigned classes = 0, bit;

    while (span_token(&rest, ", \t\r\n", &name)) {
        bit = class_bit(name);
        if (!bit)
            msg_fatal("bad %s value: \"%.*s\"", parameter, SPAN_ARG(name));
        classes |= bit;
    }
    return classes;
}

static void open_tables(struct cleanup_maps *cm, const struct config *cfg)
{
    cm->canonical = mail_maps(cfg, "canonical_maps", cfg->canonical_maps);
    cm->sender_canonical =
        mail_maps(cfg, "sender_canonical_maps", cfg->sender_canonical_maps);
    cm->recipient_canonical =
        mail_maps(cfg, "recipient_canonical_maps", cfg->recipient_canonical_maps);
    cm->virtual_alias = mail_maps(cfg, "virtual_alias_maps", cfg->virtual_alias_maps);
    cm->sender_bcc = mail_maps(cfg, "sender_bcc_maps", cfg->sender_bcc_maps);
    cm->recipient_bcc = mail_maps(cfg, "recipient_bcc_maps", cfg->recipient_bcc_maps);
}

struct cleanup_maps *cleanup_maps_open(const struct config *cfg, struct arena *arena)
{
    struct cleanup_maps *cm = xcalloc(1, sizeof *cm);
    struct err err;

    cm->cfg = cm->finder.cfg = cfg;
    cm->finder.local = local_host_open(cfg, &err);
    if (!cm->finder.local)
        msg_fatal("%s", err.text);
    open_tables(cm, cfg);
    cm->canonical_classes = parse_classes("canonical_classes", cfg->canonical_classes);
    cm->sender_classes =
        parse_classes("sender_canonical_classes", cfg->sender_canonical_classes);
    cm->recipient_classes =
        parse_classes("recipient_canonical_classes", cfg->recipient_canonical_classes);
    cm->masquerade = masquerade_new(
        cfg, parse_classes("masquerade_classes", cfg->masquerade_classes), arena);
    cm->propagate_canonical = addr_map_propagates(cfg, "canonical");
    cm->propagate_virtual = addr_map_propagates(cfg, "virtual");
    return cm;
}

void cleanup_maps_close(struct cleanup_maps *cm)
{
    if (!cm)
        return;
    maps_close(cm->canonical);
    maps_close(cm->sender_canonical);
    maps_close(cm->recipient_canonical);
    maps_close(cm->virtual_alias);
    maps_close(cm->sender_bcc);
    maps_close(cm->recipient_bcc);
    masquerade_free(cm->masquerade);
    local_host_close(cm->finder.local);
    free(cm);
}

const char *cleanup_maps_changed(const struct cleanup_maps *cm)
{
    const struct maps *all[] = {cm->canonical,           cm->sender_canonical,
                                cm->recipient_canonical, cm->virtual_alias,
                                cm->sender_bcc,          cm->recipient_bcc};
    const char *name;

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (!maps_empty(all[i]) && (name = maps_changed(all[i])) != NULL)
            return name;
    return local_host_changed(cm->finder.local);
}

/* The map that is for senders or recipients only, if it has a say in this class. */
static struct maps *special_map(const struct cleanup_maps *cm, enum address_class class)
{
    struct maps *maps =
        class & CLASS_SENDER ? cm->sender_canonical : cm->recipient_canonical;
    unsigned classes =
        class & CLASS_SENDER ? cm->sender_classes : cm->recipient_classes;

    return classes & class && !maps_empty(maps) ? maps : NULL;
}

static struct maps *common_map(const struct cleanup_maps *cm, enum address_class class)
{
    return cm->canonical_classes & class && !maps_empty(cm->canonical) ? cm->canonical
                                                                       : NULL;
}

bool cleanup_maps_touch(const struct cleanup_maps *cm, enum address_class class)
{
    return special_map(cm, class) || common_map(cm, class) ||
           masquerade_touches(cm->masquerade, class);
}

/* One look-up. *result_out: the full new address, NULL when there is none. */
static enum mapping_status map_once(struct cleanup_maps *cm,
                                    const struct cleanup_rewriter *rw,
                                    struct maps *maps, const char *address,
                                    struct arena *arena, const char **result_out)
{
    struct addr_list list;

    *result_out = NULL;
    switch (addr_map(&cm->finder, maps, span_str(address), ADDR_FIND_DEFAULT,
                     cm->propagate_canonical, arena, &list)) {
    case TABLE_NOT_FOUND:
        return MAPPING_OK;
    case TABLE_FOUND:
        break;
    default:
        return MAPPING_RETRY;
    }
    if (list.count == 0) {
        msg_warn("%s: %s entry for %s holds no address", rw->queue_id, maps_title(maps),
                 address);
        return MAPPING_RETRY;
    }
    if (list.count > 1)
        msg_warn("%s: multi-valued %s entry for %s", rw->queue_id, maps_title(maps),
                 address);
    *result_out = rw->rewrite(rw->arg, list.list[0], arena);
    return *result_out ? MAPPING_OK : MAPPING_RETRY;
}

/* Until the map has nothing more to say. A map that goes round in circles is the
 * operator's mistake: mail goes on with the address as it came. */
static enum mapping_status apply_map(struct cleanup_maps *cm,
                                     const struct cleanup_rewriter *rw,
                                     struct maps *maps, struct arena *arena,
                                     const char **address)
{
    const char *current = *address, *next;
    enum mapping_status status;

    if (!maps)
        return MAPPING_OK;
    for (int i = 0; i < CANONICAL_STEPS; i++) {
        status = map_once(cm, rw, maps, current, arena, &next);
        if (status != MAPPING_OK)
            return status;
        if (!next || strcasecmp(next, current) == 0) {
            *address = next ? next : current;
            return MAPPING_OK;
        }
        current = next;
    }
    msg_warn("%s: unreasonable %s map nesting for %s", rw->queue_id, maps_title(maps),
             *address);
    return MAPPING_OK;
}

enum mapping_status cleanup_map_canonical(struct cleanup_maps *cm,
                                          const struct cleanup_rewriter *rw,
                                          const char *address, enum address_class class,
                                          struct arena *arena, const char **result_out)
{
    enum mapping_status status;

    status = apply_map(cm, rw, special_map(cm, class), arena, &address);
    if (status == MAPPING_OK)
        status = apply_map(cm, rw, common_map(cm, class), arena, &address);
    if (status == MAPPING_OK &&
        !masquerade_apply(cm->masquerade, class, address, arena, &address))
        status = MAPPING_RETRY;
    *result_out = address;
    return status;
}

enum mapping_status cleanup_map_bcc(struct cleanup_maps *cm, enum address_class class,
                                    const char *address, struct arena *arena,
                                    const char **result_out)
{
    struct maps *maps = class & CLASS_SENDER ? cm->sender_bcc : cm->recipient_bcc;

    *result_out = NULL;
    if (maps_empty(maps) || !address[0])
        return MAPPING_OK;
    switch (addr_find(&cm->finder, maps, span_str(address), ADDR_FIND_DEFAULT, arena,
                      result_out, NULL)) {
    case TABLE_FOUND:
    case TABLE_NOT_FOUND:
        return MAPPING_OK;
    default:
        return MAPPING_RETRY;
    }
}

/* -- virtual aliases -- */

/* What is still to be looked up, the next one last: recipients come out in the order
 * in which the tables name them. */
struct expansion {
    struct cleanup_maps *cm;
    const struct cleanup_rewriter *rw;
    struct arena *arena;
    const char *original;
    struct pending {
        const char *address;
        int64_t depth;
    } * pending;
    size_t pending_count, pending_cap;
    const char **done;
    size_t done_count, done_cap;
};

static void *grow(struct arena *arena, void *old, size_t count, size_t *cap,
                  size_t size)
{
    void *fresh = old;

    if (count < *cap)
        return old;
    *cap = *cap ? *cap * 2 : 8;
    fresh = arena_alloc(arena, *cap * size);
    if (count)
        memcpy(fresh, old, count * size);
    return fresh;
}

static void push_pending(struct expansion *ex, const char *address, int64_t depth)
{
    ex->pending = grow(ex->arena, ex->pending, ex->pending_count, &ex->pending_cap,
                       sizeof *ex->pending);
    ex->pending[ex->pending_count++] = (struct pending){address, depth};
}

static void push_done(struct expansion *ex, const char *address)
{
    ex->done =
        grow(ex->arena, ex->done, ex->done_count, &ex->done_cap, sizeof *ex->done);
    ex->done[ex->done_count++] = address;
}

static enum mapping_status limit_exceeded(const struct expansion *ex, const char *what,
                                          const char *text)
{
    msg_warn("%s: unreasonable %s %s %.300s -- message not accepted, try again later",
             ex->rw->queue_id, maps_title(ex->cm->virtual_alias), what, text);
    return MAPPING_LIMIT;
}

/* The results of an alias take its place. One that names itself is final. */
static enum mapping_status push_results(struct expansion *ex, struct pending from,
                                        const struct addr_list *list)
{
    const struct config *cfg = ex->cm->cfg;
    const char *address;

    if (list->count > (size_t)cfg->virtual_alias_expansion_limit ||
        ex->pending_count + ex->done_count + list->count >
            (size_t)cfg->virtual_alias_expansion_limit)
        return limit_exceeded(ex, "map expansion size for", ex->original);
    for (size_t i = list->count; i-- > 0;) {
        address = ex->rw->rewrite(ex->rw->arg, list->list[i], ex->arena);
        if (!address)
            return MAPPING_RETRY;
        if (strlen(address) > (size_t)cfg->virtual_alias_address_length_limit)
            return limit_exceeded(ex, "result", address);
        if (strcasecmp(address, from.address) == 0)
            push_pending(ex, address, -1);
        else
            push_pending(ex, address, from.depth + 1);
    }
    return MAPPING_OK;
}

static enum mapping_status expand_next(struct expansion *ex)
{
    struct pending next = ex->pending[--ex->pending_count];
    struct cleanup_maps *cm = ex->cm;
    struct addr_list list;

    if (next.depth > cm->cfg->virtual_alias_recursion_limit)
        return limit_exceeded(ex, "map nesting for", ex->original);
    if (next.depth < 0) {
        push_done(ex, next.address);
        return MAPPING_OK;
    }
    switch (addr_map(&cm->finder, cm->virtual_alias, span_str(next.address),
                     ADDR_FIND_DEFAULT, cm->propagate_virtual, ex->arena, &list)) {
    case TABLE_NOT_FOUND:
        push_done(ex, next.address);
        return MAPPING_OK;
    case TABLE_FOUND:
        if (list.count > 0)
            return push_results(ex, next, &list);
        msg_warn("%s lookup of %s returns no address", maps_title(cm->virtual_alias),
                 next.address);
        return MAPPING_RETRY;
    default:
        return MAPPING_RETRY;
    }
}

enum mapping_status cleanup_map_virtual(struct cleanup_maps *cm,
                                        const struct cleanup_rewriter *rw,
                                        const char *address, struct arena *arena,
                                        const char ***list_out, size_t *count_out)
{
    struct expansion ex = {.cm = cm, .rw = rw, .arena = arena, .original = address};
    enum mapping_status status = MAPPING_OK;

    push_pending(&ex, address, maps_empty(cm->virtual_alias) ? -1 : 0);
    while (status == MAPPING_OK && ex.pending_count > 0)
        status = expand_next(&ex);
    *list_out = ex.done;
    *count_out = ex.done_count;
    return status;
}
