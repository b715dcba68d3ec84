#include "master/master.h"
#include "util/msg.h"

#include "global/paths.h"

/* All or nothing: with any error in the new configuration the present one stays. */
void master_reload(struct master *master)
{
    struct master_set *set;
    struct err err;

    if (master->phase != MASTER_RUNNING)
        return;
    set = set_build(master, &err);
    if (!set) {
        msg_error("%s", err.text);
        msg_error("reload refused: the mail system goes on with its present "
                  "configuration");
        return;
    }
    set_commit(master, set);
    msg_info("reload -- version %s, configuration %s", MAIL_VERSION, set->cfg->dir);
}
