#include "local/local.h"

bool local_is_probe(const struct local_delivery *ld)
{
    return ld->req->flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY);
}

static void report(struct local_delivery *ld, const struct local_step *step,
                   const struct dsn *dsn)
{
    ld->parts++;
    gettimeofday(&ld->req->deliver_done, NULL);
    if (!deliver_part(ld->agent->deliver, ld->req, &step->rcpt, ld->agent->svc->name,
                      dsn))
        ld->unfinished = true;
}

static struct dsn make_dsn(const char *status, const char *action, const char *reason)
{
    struct dsn dsn = {.action = action,
                      .reason = reason,
                      .diag_type = "",
                      .diag_text = "",
                      .mta_type = "",
                      .mta_name = ""};

    if (!dsn_status_parse(span_str(status), dsn.status))
        panic("delivery status \"%s\"", status);
    return dsn;
}

void local_report(struct local_delivery *ld, const struct local_step *step,
                  const char *status, const char *action, const char *reason)
{
    struct dsn dsn = make_dsn(status, action, reason);

    report(ld, step, &dsn);
}

void local_report_diag(struct local_delivery *ld, const struct local_step *step,
                       const char *status, const char *reason, const char *diag)
{
    struct dsn dsn = make_dsn(status, "", reason);

    if (*diag) {
        dsn.diag_type = "x-unix";
        dsn.diag_text = diag;
    }
    report(ld, step, &dsn);
}

void local_sent(struct local_delivery *ld, const struct local_step *step,
                const char *what)
{
    const char *reason = arena_printf(
        ld->arena, local_is_probe(ld) ? "delivers to %s" : "delivered to %s", what);

    local_report(ld, step, "2.0.0", "delivered", reason);
}

void local_note_expanded(struct local_delivery *ld)
{
    const struct recipient *rcpt = &ld->req->env.rcpts[ld->index];
    struct dsn dsn = make_dsn("2.0.0", "expanded", "alias expanded");

    if (ld->expanded)
        return;
    ld->expanded = true;
    if ((rcpt->notify & NOTIFY_SUCCESS) && !local_is_probe(ld) &&
        !deliver_trace(ld->agent->deliver, ld->req, ld->index, ld->agent->svc->name,
                       &dsn))
        ld->unfinished = true;
}
