#include "smtpd/smtpd_ehlo.h"
#include "smtpd/smtpd_lists.h"
#include "util/msg.h"

/* What cleanup is to do with each message. */
static void read_overrides(struct smtpd_service *ss, const struct config *cfg)
{
    static const struct {
        const char *option;
        int without;
    } options[] = {
        {"no_address_mappings", CLEANUP_MAP_OK | CLEANUP_BCC_OK},
        {"no_header_body_checks", CLEANUP_FILTER},
        {"no_milters", CLEANUP_MILTER},
        {"no_unknown_recipient_checks", 0},
    };
    struct span rest = span_str(cfg->receive_override_options), token;

    ss->cleanup_flags = CLEANUP_EXTERNAL | CLEANUP_SMTP_REPLY;
    while (span_token(&rest, ", \t\r\n", &token)) {
        size_t i = 0;

        while (i < ARRAY_LEN(options) && !span_eq_str(token, options[i].option))
            i++;
        if (i == ARRAY_LEN(options))
            msg_fatal("unknown receive_override_options value \"%.*s\"",
                      SPAN_ARG(token));
        ss->cleanup_flags &= ~options[i].without;
        if (options[i].without == 0)
            ss->any_recipient = true;
    }
}

void smtpd_configure(struct smtpd_service *ss, const struct config *cfg,
                     struct arena *arena)
{
    ss->cfg = cfg;
    read_overrides(ss, cfg);
    ss->lists = smtpd_lists_new(cfg, arena, ss->svc == NULL);
    ss->bare_lf = smtpd_bare_lf_parse(cfg->smtpd_forbid_bare_newline);
    ss->ehlo_hidden = smtpd_ehlo_parse(cfg->smtpd_discard_ehlo_keywords,
                                       "smtpd_discard_ehlo_keywords");
}
