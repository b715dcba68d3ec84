#include "global/addr.h"
#include "smtpd/smtpd_policy.h"

/* "252": RFC 5321 section 3.5.3, the address looks good and nothing was verified
 * beyond that. The same rules as for RCPT decide, so that VRFY gives nothing away. */
void smtpd_cmd_vrfy(struct smtpd_session *s, struct span args)
{
    struct span rest = args, word, path, after;
    const char *refusal;

    if (s->cfg->disable_vrfy_command) {
        smtpd_error(s, "502 5.5.1 VRFY command is disabled");
        return;
    }
    if (!span_token(&rest, " \t", &word)) {
        smtpd_error(s, s->cfg->smtputf8_enable
                           ? "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"
                           : "501 5.5.4 Syntax: VRFY address");
        return;
    }
    if (addr_parse_path(args, false, s->scratch, &path, &after) != ADDR_PATH_OK ||
        path.len == 0 || !addr_is_wellformed(path) ||
        (after.len && !span_ieq_str(after, "SMTPUTF8"))) {
        smtpd_error(s, "501 5.1.3 Bad recipient address syntax");
        return;
    }
    refusal = smtpd_policy_vrfy(s, arena_span_str(s->scratch, path));
    if (refusal)
        smtpd_error(s, refusal);
    else
        smtpd_replyf(s, "252 2.0.0 %.*s", SPAN_ARG(word));
}
