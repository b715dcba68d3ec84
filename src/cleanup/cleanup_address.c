#include "cleanup/cleanup.h"

#include "global/addr.h"
#include "util/msg.h"

/* One address made complete; NULL after a failure, which is noted. */
static const char *complete(struct cleanup_msg *msg, const char *context,
                            struct span address, struct arena *arena)
{
    const char *result;

    if (addr_is_canonical(address))
        return arena_span_str(arena, address);
    if (rewrite_address(msg->cs->rewrite, context, address, arena, &result) ==
        REWRITE_OK)
        return result;
    cleanup_fail(msg, CLEANUP_STAT_DEFER, "4.3.0", "");
    return NULL;
}

static const char *complete_local(void *arg, struct span address, struct arena *arena)
{
    return complete(arg, "local", address, arena);
}

struct cleanup_rewriter cleanup_rewriter(struct cleanup_msg *msg)
{
    return (struct cleanup_rewriter){complete_local, msg, msg->out->id};
}

void cleanup_map_failed(struct cleanup_msg *msg, enum mapping_status status,
                        const char *address)
{
    if (status == MAPPING_LIMIT) {
        cleanup_fail(msg, CLEANUP_STAT_DEFER, "4.6.0", "Alias expansion error");
        return;
    }
    msg_warn(
        "%s: address mapping problem for %s -- message not accepted, try again later",
        msg->out->id, address);
    cleanup_fail(msg, CLEANUP_STAT_WRITE, "4.3.0", "");
}

const char *cleanup_complete_envelope(struct cleanup_msg *msg, struct span address)
{
    return address.len ? complete(msg, "local", address, msg->arena) : "";
}

static const char *canonical(struct cleanup_msg *msg, const char *address,
                             enum address_class class, struct arena *arena)
{
    struct cleanup_rewriter rw = cleanup_rewriter(msg);
    enum mapping_status status;
    const char *result;

    if (!address || !address[0] || !(msg->flags & CLEANUP_MAP_OK) ||
        !cleanup_maps_touch(msg->cs->maps, class))
        return address;
    status = cleanup_map_canonical(msg->cs->maps, &rw, address, class, arena, &result);
    if (status == MAPPING_OK)
        return result;
    cleanup_map_failed(msg, status, address);
    return NULL;
}

const char *cleanup_canonical(struct cleanup_msg *msg, const char *address,
                              enum address_class class)
{
    return canonical(msg, address, class, msg->arena);
}

struct header_rewrite {
    struct cleanup_msg *msg;
    enum address_class class;
    bool mapped;  /* tables may have a say */
    int64_t left; /* header_address_token_limit */
};

static const char *rewrite_header_address(void *arg, struct span address)
{
    struct header_rewrite *hr = arg;
    struct cleanup_msg *msg = hr->msg;
    const char *result;

    if (address.len == 0 || (!hr->mapped && addr_is_canonical(address)) ||
        hr->left-- <= 0)
        return NULL;
    result = complete(msg, msg->env.rewrite_context, address, msg->header_arena);
    result = canonical(msg, result, hr->class, msg->header_arena);
    if (!result || span_eq_str(address, result))
        return NULL;
    return result;
}

bool cleanup_header_addresses(struct cleanup_msg *msg, struct span value,
                              bool is_sender, struct strbuf *out)
{
    struct header_rewrite hr = {
        .msg = msg,
        .class = is_sender ? CLASS_HEADER_SENDER : CLASS_HEADER_RCPT,
        .left = msg->cs->cfg->header_address_token_limit,
    };
    bool changed;

    hr.mapped =
        msg->flags & CLEANUP_MAP_OK && cleanup_maps_touch(msg->cs->maps, hr.class);
    if (!msg->header_arena)
        msg->header_arena = arena_new();
    changed =
        addr_header_rewrite(value, msg->header_arena, rewrite_header_address, &hr, out);
    arena_reset(msg->header_arena);
    return changed;
}
