/* Recipients without alias and account. */
#include "local/local.h"

#include "util/msg.h"

static bool relay(struct local_delivery *ld, const struct local_step *step)
{
    const struct config *cfg = ld->agent->cfg;
    struct local_step list = *step;
    const char *target;

    if (!*cfg->luser_relay)
        return false;
    target = local_expand(ld, step, NULL, "luser_relay", cfg->luser_relay,
                          cfg->forward_expansion_filter);
    if (!target) {
        local_report(ld, step, "4.3.5", "", "mail system configuration error");
        return true;
    }
    local_note_expanded(ld);
    list.parent = step;
    list.level = step->level + 1;
    list.origin = ORIGIN_ALIAS;
    list.rights = NULL;
    list.forwarder = NULL;
    list.carry = "";
    if (local_list(ld, &list, span_str(target)) == 0) {
        msg_warn("parameter luser_relay: no recipient in \"%s\"", target);
        local_report(ld, step, "5.3.5", "", "mail system configuration error");
    }
    return true;
}

/* Mail to these names must never bounce: it may be about mail that bounced. */
static bool is_reserved(const struct local_delivery *ld, const char *local)
{
    return strcasecmp(local, "mailer-daemon") == 0 ||
           strcasecmp(local, "postmaster") == 0 ||
           strcasecmp(local, ld->agent->cfg->double_bounce_sender) == 0;
}

void local_unknown(struct local_delivery *ld, const struct local_step *step)
{
    struct local_agent *agent = ld->agent;

    if (local_transport(ld, step, agent->mailbox_transports,
                        agent->cfg->mailbox_transport) ||
        local_transport(ld, step, agent->fallback_transports,
                        agent->cfg->fallback_transport) ||
        relay(ld, step))
        return;
    if (is_reserved(ld, step->local)) {
        msg_warn("required alias not found: %s", step->local);
        local_report(ld, step, "2.0.0", "delivered", "discarded");
        return;
    }
    local_report(ld, step, "5.1.1", "",
                 arena_printf(ld->arena, "unknown user: \"%s\"", step->local));
}
