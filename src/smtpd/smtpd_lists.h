/* Lists and tables that do not belong to a restriction, opened once at start. */
#ifndef SMTPD_SMTPD_LISTS_H
#define SMTPD_SMTPD_LISTS_H

#include "global/addr_find.h"
#include "smtpd/smtpd.h"

struct smtpd_lists {
    struct match_list *mynetworks;
    struct match_list *limit_exceptions;   /* clients without limits */
    struct match_list *bare_lf_exclusions; /* clients that may send bare newlines */
    struct match_list *forbidden, *noop;   /* commands */
    struct local_host *local_host;
    struct addr_finder finder;
    struct maps *command_filter; /* smtpd_command_filter */
    struct maps *ehlo_hidden;    /* smtpd_discard_ehlo_keyword_address_maps */
    /* What makes a recipient known; in every domain, and in those of one class. */
    struct maps *canonical, *recipient_canonical, *virtual_alias;
    struct maps *local_recipient, *relay_recipient, *virtual_mailbox;
};

/* standalone: only what concerns commands, the rest stays NULL. */
struct smtpd_lists *smtpd_lists_new(const struct config *cfg, struct arena *arena,
                                    bool standalone);
/* Name of a table that has changed on disk, or NULL. */
const char *smtpd_lists_changed(const struct smtpd_lists *lists);

#endif
