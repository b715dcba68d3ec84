/* Delivery to /file/name. */
#include "local/local.h"

void local_file(struct local_delivery *ld, const struct local_step *step,
                const char *path)
{
    const struct local_user *rights;
    struct local_box box = {.path = path,
                            .size_limit = ld->agent->cfg->mailbox_size_limit};
    struct mailbox_message message =
        local_message(ld, step, ld->agent->delivered_header & TARGET_FILE);
    enum mailbox_result result;
    const char *why;

    if (!(ld->agent->file_origins & step->origin)) {
        local_report(ld, step, "5.7.1", "", "mail to file is restricted");
        return;
    }
    rights = local_rights(ld->agent, step->rights, ld->arena);
    if (!rights) {
        local_report(ld, step, "4.3.0", "", "mail system configuration error");
        return;
    }
    if (!local_first_time(
            ld, arena_printf(ld->arena, "file %s as %ld", path, (long)rights->ids.uid)))
        return;
    result = local_is_probe(ld) ? MAILBOX_DELIVERED
                                : local_write(ld, rights, &box, &message, &why);
    if (result == MAILBOX_DELIVERED)
        local_sent(ld, step, arena_printf(ld->arena, "file: %s", path));
    else
        local_report(
            ld, step, mailbox_dsn_status(result), "",
            arena_printf(ld->arena, "cannot append message to file %s: %s", path, why));
}
