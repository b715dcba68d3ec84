/* A name on its way: loops, aliases, then the account or the unknown. */
#include "local/local.h"

#include "util/msg.h"

void local_step_set(struct local_delivery *ld, struct local_step *step,
                    const char *address)
{
    struct span local, domain, user, extension;

    step->rcpt.address = address;
    addr_split(span_str(address), &local, &domain);
    local = arena_span_lower(ld->arena, local);
    step->local = local.ptr ? local.ptr : "";
    step->domain = arena_span_str(ld->arena, domain);
    step->user = step->local;
    step->extension = "";
    if (addr_split_extension(local, ld->agent->cfg->recipient_delimiter, &user,
                             &extension)) {
        step->user = arena_span_str(ld->arena, user);
        step->extension = arena_span_str(ld->arena, extension);
    }
}

/* The request's own recipient does not count: an alias may lead back to it once, where
 * it is an account. */
static bool is_alias_loop(const struct local_step *step)
{
    const struct local_step *parent = step->parent;

    if (step->level >= LOCAL_LEVEL_MAX)
        return true;
    if (!parent || strcmp(parent->local, step->local) == 0)
        return false;
    for (parent = parent->parent; parent && parent->level > 0; parent = parent->parent)
        if (strcmp(parent->local, step->local) == 0)
            return true;
    return false;
}

static bool is_forwarding_loop(struct local_delivery *ld, const struct local_step *step)
{
    struct span address = arena_span_lower(ld->arena, span_str(step->rcpt.address));

    return hash_find(&ld->loops, address) != NULL;
}

static const char *quoted(struct arena *arena, const char *address)
{
    struct strbuf sb = STRBUF_INIT;
    const char *text;

    addr_quote(&sb, span_str(address));
    text = arena_str(arena, sb.ptr);
    strbuf_free(&sb);
    return text;
}

static bool first_time(struct local_delivery *ld, const char *what,
                       const struct local_step *step)
{
    return local_first_time(
        ld, arena_printf(ld->arena, "%s %s@%s", what, step->local, step->domain));
}

/* The name may come back by the user's own .forward file. */
static void mailbox_once(struct local_delivery *ld, const struct local_step *step,
                         const struct local_user *user)
{
    if (first_time(ld, "mailbox", step))
        local_mailbox(ld, step, user);
}

static void account(struct local_delivery *ld, const struct local_step *step)
{
    const struct local_user *user;
    bool own_forward;

    if (step->indirect &&
        !(step->forwarder && strcmp(step->forwarder->name, step->user) == 0)) {
        local_forward(ld, step);
        return;
    }
    switch (local_user_find(ld->agent, step->user, ld->arena, &user)) {
    case LOOKUP_RETRY:
        local_report(ld, step, "4.0.0", "", "user lookup error");
        return;
    case LOOKUP_UNKNOWN:
        if (first_time(ld, "user", step))
            local_unknown(ld, step);
        return;
    case LOOKUP_FOUND:
        own_forward = step->forwarder && step->forwarder->ids.uid == user->ids.uid;
        if (own_forward)
            mailbox_once(ld, step, user);
        else if (first_time(ld, "user", step) && !local_forward_file(ld, step, user))
            mailbox_once(ld, step, user);
        return;
    }
}

void local_recipient(struct local_delivery *ld, const struct local_step *step)
{
    if (is_alias_loop(step)) {
        const char *reason =
            arena_printf(ld->arena, "alias database loop for %s", step->local);

        msg_warn("%s: %s", ld->req->queue_id, reason);
        local_report(ld, step, "5.4.6", "", reason);
        return;
    }
    if (is_forwarding_loop(ld, step)) {
        local_report(ld, step, "5.4.6", "",
                     arena_printf(ld->arena, "mail forwarding loop for %s",
                                  quoted(ld->arena, step->rcpt.address)));
        return;
    }
    if (!local_alias(ld, step))
        account(ld, step);
}

/* -- addresses of lists -- */

/* user@domain -> user+extension@domain */
static const char *with_extension(struct local_delivery *ld, const char *address,
                                  const char *extension)
{
    struct span local, domain;

    addr_split(span_str(address), &local, &domain);
    if (!domain.ptr || domain.len == 0)
        return arena_printf(ld->arena, "%s%s", address, extension);
    return arena_printf(ld->arena, "%.*s%s@%.*s", SPAN_ARG(local), extension,
                        SPAN_ARG(domain));
}

static bool is_ours(const struct local_delivery *ld, const struct resolve *resolve)
{
    return !(resolve->flags & RESOLVE_ERROR) &&
           strcmp(resolve->transport, ld->agent->svc->name) == 0 &&
           strcasecmp(resolve->nexthop, ld->req->nexthop) == 0;
}

void local_address(struct local_delivery *ld, const struct local_step *from,
                   const char *address)
{
    struct rewrite_client *rewrite = ld->agent->rewrite;
    struct local_step step = *from;
    struct resolve resolve;

    if (!*address)
        return;
    if (*from->carry)
        address = with_extension(ld, address, from->carry);
    step.carry = "";
    if (rewrite_address(rewrite, "local", span_str(address), ld->arena, &address) !=
            REWRITE_OK ||
        rewrite_resolve(rewrite, step.sender, span_str(address), ld->arena, &resolve) !=
            REWRITE_OK ||
        (resolve.flags & RESOLVE_FAIL)) {
        local_report(ld, from, "4.3.0", "", "address resolver failure");
        return;
    }
    if (is_ours(ld, &resolve)) {
        local_step_set(ld, &step, resolve.recipient);
        local_recipient(ld, &step);
    } else {
        local_step_set(ld, &step, address);
        local_forward(ld, &step);
    }
}
