#include "local/local.h"

#include "util/msg.h"

struct macro_context {
    struct local_delivery *ld;
    const struct local_step *step;
    const struct local_user *user;
    const char *filter;
};

const char *local_filter(struct arena *arena, const char *text, const char *filter)
{
    char *copy = arena_str(arena, text);

    for (char *cp = copy; *cp; cp++)
        if (!strchr(filter, *cp))
            *cp = '_';
    return copy;
}

/* The delimiter that this address uses; without an extension the first of the set. */
static const char *delimiter(const struct macro_context *mc)
{
    const char *set = mc->ld->agent->cfg->recipient_delimiter;
    size_t user_len = strlen(mc->step->user);

    if (*mc->step->extension && strlen(mc->step->local) > user_len)
        return arena_printf(mc->ld->arena, "%c", mc->step->local[user_len]);
    return *set ? arena_printf(mc->ld->arena, "%c", *set) : NULL;
}

static const char *value_of(const struct macro_context *mc, struct span name)
{
    const struct local_step *step = mc->step;

    if (span_eq_str(name, "user"))
        return step->user;
    if (span_eq_str(name, "home"))
        return mc->user ? mc->user->home : NULL;
    if (span_eq_str(name, "shell"))
        return mc->user ? mc->user->shell : NULL;
    if (span_eq_str(name, "domain"))
        return *step->domain ? step->domain : NULL;
    if (span_eq_str(name, "local"))
        return step->local;
    if (span_eq_str(name, "recipient"))
        return step->rcpt.address;
    if (span_eq_str(name, "mailbox"))
        return step->local;
    if (span_eq_str(name, "extension"))
        return *step->extension ? step->extension : NULL;
    if (span_eq_str(name, "recipient_delimiter"))
        return delimiter(mc);
    if (span_eq_str(name, "client_hostname"))
        return mc->ld->req->env.client_name;
    if (span_eq_str(name, "client_address"))
        return mc->ld->req->env.client_address;
    if (span_eq_str(name, "client_protocol"))
        return mc->ld->req->env.protocol_name;
    if (span_eq_str(name, "client_helo"))
        return mc->ld->req->env.helo_name;
    if (span_eq_str(name, "sasl_method"))
        return mc->ld->req->env.sasl_method;
    if (span_eq_str(name, "sasl_sender"))
        return mc->ld->req->env.sasl_sender;
    if (span_eq_str(name, "sasl_username"))
        return mc->ld->req->env.sasl_username;
    return NULL;
}

static bool look_up(void *ctx, struct span name, const char **value_out,
                    struct err *err)
{
    struct macro_context *mc = ctx;
    const char *value = value_of(mc, name);

    (void)err;
    *value_out = value ? local_filter(mc->ld->arena, value, mc->filter) : NULL;
    return true;
}

const char *local_expand(struct local_delivery *ld, const struct local_step *step,
                         const struct local_user *user, const char *setting,
                         const char *text, const char *filter)
{
    struct macro_context mc = {ld, step, user, filter};
    struct macro_source source = {look_up, &mc};
    struct strbuf sb = STRBUF_INIT;
    const char *result = NULL;
    struct err err;

    if (macro_expand(&sb, span_str(text), &source, &err))
        result = arena_str(ld->arena, sb.ptr);
    else
        msg_warn("parameter %s: %s", setting, err.text);
    strbuf_free(&sb);
    return result;
}
