#include "cleanup/cleanup.h"

#include "global/addr.h"

/* One address in the context; NULL after a failure, which is noted. */
static const char *rewrite_one(struct cleanup_msg *msg, const char *context,
                               struct span address)
{
    const char *result;

    if (addr_is_canonical(address))
        return arena_span_str(msg->arena, address);
    if (rewrite_address(msg->cs->rewrite, context, address, msg->arena, &result) ==
        REWRITE_OK)
        return result;
    cleanup_fail(msg, CLEANUP_STAT_DEFER, "4.3.0", "");
    return NULL;
}

const char *cleanup_rewrite_envelope(struct cleanup_msg *msg, struct span address)
{
    return rewrite_one(msg, "local", address);
}

struct header_rewrite {
    struct cleanup_msg *msg;
    bool is_sender;
    bool changed;
};

static const char *rewrite_header_address(void *arg, struct span address)
{
    struct header_rewrite *hr = arg;
    const char *result;

    if (address.len == 0 || addr_is_canonical(address))
        return NULL;
    result = rewrite_one(hr->msg, hr->msg->env.rewrite_context, address);
    if (!result || span_eq_str(address, result))
        return NULL;
    hr->changed = true;
    return result;
}

bool cleanup_header_addresses(struct cleanup_msg *msg, struct span value, bool is_sender,
                              struct strbuf *out)
{
    struct header_rewrite hr = {.msg = msg, .is_sender = is_sender};

    addr_header_rewrite(value, msg->arena, rewrite_header_address, &hr, out);
    return hr.changed;
}
